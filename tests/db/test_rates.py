"""Rates over a real Redis: what several processes used, in its own time, and its absence."""

from __future__ import annotations

import asyncio

import pytest

from db.rates import AT_ONCE, RedisRates
from domain import rates
from domain.errors import RateLimited
from domain.rates import Rates
from domain.viewer import Viewer
from tests.processes import eventually
from tests.redis_server import RedisServer


async def test_what_processes_used_adds_up_in_redis() -> None:
    async with RedisServer() as server:
        one, other = RedisRates(server.url), RedisRates(server.url)
        try:
            assert (await one.add({b"ada": 10.0}))[b"ada"] == pytest.approx(10, abs=0.5)
            left = await other.add({b"ada": 5.0, b"bob": 1.0})
            assert left[b"ada"] == pytest.approx(15, abs=1)
            assert left[b"bob"] == pytest.approx(1, abs=0.5)
            assert b"holdfast:rate:ada" in await server.command("KEYS", "*")
            milliseconds = int((await server.command("PTTL", "holdfast:rate:ada")).strip(b":\r\n"))
            assert 0 < milliseconds <= 15_000
        finally:
            await one.close()
            await other.close()


async def test_many_callers_are_told_in_several_steps() -> None:
    async with RedisServer() as server:
        shared = RedisRates(server.url)
        used = {b"%d" % number: float(number + 1) for number in range(2 * AT_ONCE + 1)}
        left = await shared.add(used)
        assert left.keys() == used.keys()
        assert all(left[name] == pytest.approx(seconds, abs=1) for name, seconds in used.items())
        await shared.close()


async def test_a_redis_that_is_away_or_frozen_is_a_connection_error() -> None:
    async with RedisServer() as server:
        shared = RedisRates(server.url)
        await shared.add({b"ada": 1.0})
        await server.freeze()
        with pytest.raises(ConnectionError):
            await shared.add({b"ada": 1.0})
        await server.thaw()
        await server.stop()
        with pytest.raises(ConnectionError):
            await shared.add({b"ada": 1.0})
        await server.start()
        assert await shared.add({b"ada": 1.0})
        await shared.close()


@pytest.mark.feature("S2.29")
async def test_two_servers_hold_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "INTERVAL", 0.02)
    async with RedisServer() as server:
        links = [RedisRates(server.url) for _ in range(2)]
        servers = [Rates(100, 100, b"s" * 32) for _ in range(2)]
        sharing = [asyncio.create_task(each.share(link)) for each, link in zip(servers, links, strict=True)]
        await asyncio.sleep(0)
        guest, through, refused = Viewer("192.0.2.1", "request"), 0, 0

        async def send() -> bool:
            nonlocal through, refused
            for each in servers:
                try:
                    each.admit(guest)
                    through += 1
                except RateLimited:
                    refused += 1
            await asyncio.sleep(0.002)  # as requests come
            return refused >= 50

        await eventually(send)
        assert through <= 130  # a hundred, and what slipped through between two exchanges
        for task in sharing:
            task.cancel()
        await asyncio.gather(*sharing, return_exceptions=True)
        for link in links:
            await link.close()
