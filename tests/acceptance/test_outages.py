"""What is there while Redis, a worker or another server is not, and how soon all is well again."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from schema.ids import decode
from tests.acceptance import documents
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster, field_of, value_of
from tests.acceptance.watchers import Watcher, listening
from tests.clients import GraphQLHttp, Json
from tests.processes import Holdfast, eventually

FREEZING = (sys.executable, str(Path(__file__).with_name("freezing_server.py")))
SOON = 2.0


async def reserve(server: Holdfast, departure: Json, *labels: str) -> Json:
    """What a guest is answered who wants these seats, or any one."""
    named = {"seats": {"scheduleId": departure["id"], "labels": labels}}
    target = named if labels else {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    async with GraphQLHttp(server.url) as http:
        answer: Json = await http.run(documents.RESERVE, {"target": target})
        return answer


async def test_without_redis_requests_and_watchers_go_on_and_afterwards_changes_are_heard_at_once(
    cluster: Cluster,
) -> None:
    """Paused for 5 s, then stopped and started; buyers at ``a`` all the while, watchers at ``b``."""
    departures = [await cluster.departure() for _ in range(2)]
    watcher, busy = (Watcher(departure) for departure in departures)
    buyers = Buyers(cluster, departures[1:], lambda: cluster.a.url)

    async def a_change_is_seen(seconds: float) -> None:
        reservation = await field_of(reserve(cluster.a, departures[0]))
        assert reservation["__typename"] == "Reservation"
        await eventually(lambda: watcher.agrees(cluster), seconds)

    async def the_broker_is(state: str) -> None:
        def told() -> bool:
            return all(
                f'"broker":"{state}"' in each.get("/health/ready")[1] for each in (cluster.a, cluster.b)
            )

        await eventually(told, SOON)

    async def changes_are_heard_at_once() -> None:
        """Four in a row in two seconds: by the clock's tick alone each would take one."""
        async with asyncio.timeout(SOON):
            for _ in range(4):
                await a_change_is_seen(SOON)

    async with listening(cluster.b, [watcher, busy]):
        await buyers.start(2)
        await changes_are_heard_at_once()
        paused = time.monotonic()
        await cluster.redis.freeze()
        while time.monotonic() - paused < 5:
            await a_change_is_seen(SOON)
        await cluster.redis.thaw()
        await a_change_is_seen(SOON)
        await the_broker_is("ok")
        await changes_are_heard_at_once()

        await cluster.redis.stop()
        await a_change_is_seen(SOON)
        await the_broker_is("away")
        await cluster.redis.start()
        await the_broker_is("ok")
        await changes_are_heard_at_once()
        await buyers.stop()
        await eventually(lambda: busy.agrees(cluster), SOON)
    assert buyers.failures == Counter()
    await must_be_in_the_tables(buyers)


async def test_a_server_frozen_within_a_transaction_keeps_a_seat_from_others_for_less_than_two_seconds(
    cluster: Cluster,
) -> None:
    departure, contact = await cluster.departure(), {"email": "frozen@guests.example"}
    with await asyncio.to_thread(cluster.start(program=FREEZING).ready) as frozen:
        lost = asyncio.create_task(reserve(frozen, departure, "A1", "A2"))
        await eventually(lambda: frozen.stopped)
        began = time.monotonic()
        answer = await reserve(cluster.a, departure, "A2", "A3")
        assert time.monotonic() - began < SOON
        won = value_of(answer)
        assert won["__typename"] == "Reservation"
        frozen.thaw()
        (error,) = (await lost)["errors"]
        assert error["extensions"]["code"] == "UNAVAILABLE"
        variables = {"id": won["id"], "token": won["token"], "contact": contact}
        async with GraphQLHttp(cluster.b.url) as http:
            assert (await field_of(http.run(documents.BOOK, variables)))["status"] == "CONFIRMED"
    assert await cluster.seats(departure) == "ABB" + "A" * 37


async def test_an_expired_hold_has_one_next_owner_while_no_worker_sweeps(cluster: Cluster) -> None:
    departure, contact = await cluster.departure(), {"email": "late@guests.example"}
    cluster.worker.freeze()
    try:
        first = value_of(await reserve(cluster.a, departure, "A1"))
        await cluster.let_time_pass(first["id"], timedelta(hours=1))
        watcher = Watcher(departure)
        async with listening(cluster.b, [watcher]):
            assert watcher.map == "A" * 40, "it is free for whoever looks"
            servers = itertools.cycle((cluster.a, cluster.b))
            answers = await asyncio.gather(*(reserve(next(servers), departure, "A1") for _ in range(40)))
            outcomes = Counter(value_of(answer)["__typename"] for answer in answers)
            assert outcomes == {"Reservation": 1, "SeatsUnavailable": 39}
            await eventually(lambda: watcher.agrees(cluster))
        async with GraphQLHttp(cluster.b.url) as http:
            late = {"id": first["id"], "token": first["token"], "contact": contact}
            assert (await field_of(http.run(documents.BOOK, late)))["__typename"] == "ReservationExpired"
    finally:
        cluster.worker.thaw()
    async with cluster.database() as database:
        its = decode(first["id"], "Reservation")[1]
        await eventually(lambda: _swept(database, its))
    assert await cluster.seats(departure) == "H" + "A" * 39, "the sweeper ends what is over and nothing else"


async def _swept(database: asyncpg.Connection[asyncpg.Record], reservation: UUID) -> bool:
    status = await database.fetchval("SELECT status FROM reservation WHERE id = $1", reservation)
    return bool(status == "EXPIRED")
