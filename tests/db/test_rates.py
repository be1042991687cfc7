"""Rates over a real Redis: what several processes used, in its own time, and its absence."""

from __future__ import annotations

import pytest

from db.rates import AT_ONCE, RedisRates
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
