"""PostgreSQL that goes away in the middle of everything, and comes back."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster
from tests.acceptance.watchers import LogReader, Watcher, all_agree, listening
from tests.processes import eventually
from tests.servers import PostgresServer

SOON = 2.0
OUTAGES = (0.0, 1.0, 7.0)
"""Seconds; a request waits for 5."""


@pytest.mark.durability
@pytest.mark.timeout(90)
@pytest.mark.feature("S4.54")
async def test_restarts_of_postgresql_under_load_lose_nothing_and_watchers_are_soon_live_again(
    durable_cluster: Cluster, durable_postgres: PostgresServer
) -> None:
    cluster = durable_cluster
    departures = [await cluster.departure() for _ in range(3)]
    watchers = [Watcher(departure) for departure in departures]
    staff = (await cluster.sign_in("staff"))["accessToken"]
    log = LogReader(cluster, departures[0]["resource"]["organization"]["id"], staff)
    addresses = itertools.cycle((cluster.a.url, cluster.b.url))
    buyers = Buyers(cluster, departures, lambda: next(addresses))
    async with listening(cluster.b, watchers, log):
        await buyers.start(6)
        for outage in OUTAGES:
            answered = buyers.answers
            await eventually(lambda: buyers.answers > answered + 40)  # noqa: B023 - awaited at once
            async with away(durable_postgres):
                await asyncio.sleep(outage)
                assert cluster.a.get("/health/ready")[0] == 503 or outage == 0
                assert cluster.a.get("/health/live")[0] == 200
            await live_again(watchers, log)
        await buyers.stop()
        await all_agree(cluster, watchers, log)
    assert set(buyers.failures) == {"UNAVAILABLE"}, "each was told so, and none was cut off"
    assert '"feed.lost"' in cluster.b.said, "the operator is told"
    assert "Traceback" not in cluster.said
    assert {watcher.told.count("SeatSnapshot") for watcher in watchers} == {1}
    await must_be_in_the_tables(buyers)


async def live_again(watchers: list[Watcher], log: LogReader) -> None:
    """Wait, not for long, until something that happened since has been heard by each."""
    heard, returned = len(log.heard), asyncio.get_running_loop().time()
    async with asyncio.timeout(SOON):
        await eventually(lambda: any(watcher.heard_at[-1] > returned for watcher in watchers))
        await eventually(lambda: len(log.heard) > heard)


@asynccontextmanager
async def away(postgres: PostgresServer) -> AsyncIterator[None]:
    """Stop it as ``pg_ctl stop -m immediate`` does: sessions end where they are, and the next start recovers."""
    postmaster = psutil.Process(postgres.pid)
    postmaster.send_signal(signal.SIGQUIT)
    await eventually(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.start_again)
