"""``holdfast serve --workers N``: one port, several processes, replaced one by one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance import documents
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.faithful import faithfully
from tests.acceptance.test_running import AT_ONCE, SEATED, living, unused_port
from tests.acceptance.watchers import LogReader, Watcher, all_agree
from tests.clients import GraphQLHttp
from tests.processes import Holdfast, eventually


def parts(server: Holdfast) -> dict[int, int]:
    """The process that serves at each number, as the log has it; the newest counts."""
    lines = [line for line in server.said.splitlines() if "server.serves" in line]
    return {int(_value(line, "number")): int(_value(line, "process")) for line in lines}


def _value(line: str, name: str) -> str:
    found = re.search(rf'\b{name}"?[=:] ?(\d+)', line)
    assert found is not None, line
    return found[1]


class Strangers:
    """Callers who come once each, on a connection of their own, one after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers = 0

    async def call(self) -> None:
        """Ask for ever; what is not answered fails the test."""
        while True:
            async with GraphQLHttp(self.url) as http:
                await field_of(http.run(documents.SERVER))
                self.answers += 1


@pytest.mark.feature("S0.24", "S3.54", "S4.56")
async def test_a_rolling_restart_fails_no_request_and_loses_no_event(cluster: Cluster) -> None:
    """Under load: buyers who keep their connections, strangers who do not, watchers who come back."""
    server = await asyncio.to_thread(cluster.start("serve --workers 2").ready)
    departures = [await cluster.departure() for _ in range(2)]
    watchers = [Watcher(departure) for departure in departures]
    staff = (await cluster.sign_in("staff"))["accessToken"]
    log = LogReader(cluster, departures[0]["resource"]["organization"]["id"], staff)
    buyers = Buyers(cluster, departures, lambda: server.url)
    strangers = Strangers(server.url)
    before = parts(server)
    assert before.keys() == {1, 2}
    async with faithfully(server.url, watchers, log) as faithful:
        calling = [asyncio.create_task(strangers.call()) for _ in range(2)]
        await buyers.start(3)
        await eventually(lambda: buyers.answers > 10)
        os.kill(server.pid, signal.SIGHUP)
        await eventually(lambda: "restart.done" in server.said, 40)
        answered, asked = buyers.answers, strangers.answers
        await eventually(lambda: buyers.answers > answered + 20 and strangers.answers > asked + 20)
        await buyers.stop()
        for each in calling:
            assert not each.done()
            each.cancel()
        await all_agree(cluster, watchers, log)
        assert set(faithful.returns) == {*watchers, log}, "all their servers went away"
    assert buyers.failures == Counter()
    assert {watcher.told.count("SeatSnapshot") for watcher in watchers} == {1}
    assert not set(before.values()) & set(parts(server).values())
    await must_be_in_the_tables(buyers)
    server.interrupt()
    assert await asyncio.to_thread(server.ended) == 0
    assert "Traceback" not in server.said


@pytest.mark.timeout(90)
@pytest.mark.feature("S0.24", "S3.54")
async def test_several_processes_share_an_embedded_database_a_crash_is_mended_and_nothing_outlives_them(
    fresh_folder: Path,
) -> None:
    settings: dict[str, Any] = {"database_pool_max": 4, "log_format": "json"}
    server = await asyncio.to_thread(Holdfast("serve --workers 3", fresh_folder, **settings).ready, 60)
    assert set(server.passwords) == {"customer", "provider", "staff", "admin"}
    assert server.said.count("Filling in demo data") == 1
    assert "none between the processes" in server.said, "without Redis it says what that means"
    async with GraphQLHttp(server.url) as http:
        assert len((await field_of(http.run(documents.FIND, SEATED)))["nodes"]) == 42

    before = parts(server)
    os.kill(before[2], signal.SIGKILL)
    await eventually(lambda: parts(server)[2] != before[2], 20)
    assert {**parts(server), 2: None} == {**before, 2: None}, "the others were left alone"
    assert '"code":-9' in server.said

    server.kill()
    await eventually(lambda: living(fresh_folder) == [], 20)
    with await asyncio.to_thread(Holdfast("serve --workers 2", fresh_folder, **settings).ready, 60) as again:
        began = time.monotonic()
        again.interrupt()
        assert await asyncio.to_thread(again.ended) == 0
        assert time.monotonic() - began < AT_ONCE
        assert "Traceback" not in again.said
    assert living(fresh_folder) == []


async def test_of_two_first_starts_at_the_same_instant_one_fills_in_the_demo(fresh_folder: Path) -> None:
    both = [Holdfast("serve", fresh_folder) for _ in range(2)]
    try:
        await asyncio.gather(*(asyncio.to_thread(each.ready, 60) for each in both))
        assert sorted(len(each.passwords) for each in both) == [0, 4]
        for each in both:
            async with GraphQLHttp(each.url) as http:
                assert len((await field_of(http.run(documents.FIND, SEATED)))["nodes"]) == 42
            assert "Traceback" not in each.said
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.close) for each in both))
    assert living(fresh_folder) == []


async def test_processes_that_cannot_be_say_why_and_end(cluster: Cluster, fresh_folder: Path) -> None:
    taken = unused_port()
    given: dict[str, Any] = {"database_url": cluster.database_url, "port": taken}
    with await asyncio.to_thread(Holdfast("serve --workers 2", fresh_folder, **given).ready) as there:
        attempts: dict[str, tuple[dict[str, Any], int, str]] = {
            "serve --workers 2": (given, 1, f"Cannot listen on 127.0.0.1:{taken}: Address already in use"),
            "serve": (given, 1, f"Cannot listen on 127.0.0.1:{taken}: Address already in use"),
            "serve --workers 0": ({}, 2, "give 1 or more"),
            "serve --workers 9": ({}, 1, "lower HOLDFAST_DATABASE_POOL_MAX"),
        }
        for command, (settings, code, words) in attempts.items():
            with Holdfast(command, fresh_folder, **settings) as process:
                assert await asyncio.to_thread(process.ended) == code
                assert words in process.said.splitlines()[-1]
        assert there.running
        assert psutil.pid_exists(there.pid)
