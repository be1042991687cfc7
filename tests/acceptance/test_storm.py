"""When a server comes back, everybody who watched it comes back at once."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import urlsplit

import pytest

from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.crowd import Onlooker, crowd
from tests.clients import GraphQLHttp, Json
from tests.processes import Holdfast, eventually

WATCHERS = 1_000


def server_for_many(cluster: Cluster) -> Holdfast:
    """They all come from one address here."""
    return cluster.start(requests_per_minute_per_address=100_000, log_level="warning")


async def hold_one(server: Holdfast, departure: Json) -> None:
    target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    async with GraphQLHttp(server.url) as http:
        await field_of(http.run(documents.RESERVE, {"target": target}))


def promised() -> float:
    """Seconds, where the server has a core for itself; in a run of all tests it has to share."""
    return 5 * max(1, os.getloadavg()[0] / 1.5)


def told(watcher: Onlooker) -> list[Json]:
    return [result["data"]["seatChanges"] for result in watcher.results]


def heard_up_to(watcher: Onlooker) -> int:
    return max((message.get("version", 0) for message in told(watcher)), default=0)


async def watchers(server: Holdfast, count: int, variables: Json) -> list[Onlooker]:
    return list(await crowd(urlsplit(server.url).port or 0, count, documents.WATCH, variables))


def leave(everybody: list[Onlooker]) -> None:
    for watcher in everybody:
        watcher.transport.abort()


@pytest.mark.feature("S4.60")
async def test_a_thousand_watchers_come_back_at_once_and_are_live_with_their_gap_filled(
    cluster: Cluster,
) -> None:
    departure = await cluster.departure()
    target = {"target": {"scheduleId": departure["id"]}}
    with server_for_many(cluster) as first:
        await asyncio.to_thread(first.ready)
        everybody = await watchers(first, WATCHERS, target)
        await eventually(lambda: all(watcher.results for watcher in everybody), 20)
        first.kill()
    cursor = told(everybody[0])[0]["cursor"]
    assert {message["cursor"] for watcher in everybody for message in told(watcher)} == {cursor}
    leave(everybody)
    for _ in range(3):
        await hold_one(cluster.a, departure)
    with server_for_many(cluster) as second:
        await asyncio.to_thread(second.ready)
        statuses: list[int] = []

        async def look_after_it() -> None:
            while True:
                statuses.append((await asyncio.to_thread(second.get, "/health/ready"))[0])

        looking = asyncio.create_task(look_after_it())
        async with asyncio.timeout(promised()):
            everybody = await watchers(second, WATCHERS, target | {"after": cursor})
            while not all(heard_up_to(watcher) == 3 for watcher in everybody):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await hold_one(cluster.b, departure)
        await eventually(lambda: all(heard_up_to(watcher) == 4 for watcher in everybody))
        looking.cancel()
        assert statuses
        assert set(statuses) == {200}
        for watcher in everybody:
            versions = [message["version"] for message in told(watcher)]
            assert versions == sorted(set(versions))
            assert {message["__typename"] for message in told(watcher)} == {"SeatDelta"}
        leave(everybody)
