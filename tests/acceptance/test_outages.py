"""What is there while Redis, a worker or another server is not, and how soon all is well again."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from schema.ids import decode
from tests.acceptance import documents
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster, field_of, value_of
from tests.acceptance.watchers import Watcher, all_agree, listening
from tests.clients import GraphQLHttp, Json
from tests.processes import eventually

FREEZING = (sys.executable, str(Path(__file__).with_name("freezing_server.py")))
SOON = 2.0
TICK = 1.0


async def reserve(http: GraphQLHttp, departure: Json, *labels: str) -> Json:
    """What a guest is answered who wants these seats, or any one."""
    named = {"seats": {"scheduleId": departure["id"], "labels": labels}}
    target = named if labels else {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    return await http.run(documents.RESERVE, {"target": target})


@dataclass
class Link:
    """How long a change made at ``a`` takes to reach a watcher at ``b``."""

    cluster: Cluster
    http: GraphQLHttp
    watcher: Watcher

    async def delay(self) -> float:
        """Seconds from the answer until it was heard, in which 2 s must be enough."""
        made = value_of(await reserve(self.http, self.watcher.schedule))
        label, answered = made["seats"][0]["seat"]["label"], time.monotonic()
        await eventually(lambda: self.watcher.state(label) == "H", SOON)
        return time.monotonic() - answered

    async def hurries(self) -> bool:
        """Whether changes come at once: by the clock's tick alone each that follows another takes a second."""
        return statistics.median([await self.delay() for _ in range(5)]) < TICK / 2


async def test_without_redis_requests_and_watchers_go_on_and_afterwards_changes_are_heard_at_once(
    cluster: Cluster,
) -> None:
    """Paused for 5 s under load, then stopped and started; everything happens at ``a``, the watchers are at ``b``."""
    departures = [await cluster.departure() for _ in range(2)]
    watcher, busy = (Watcher(departure) for departure in departures)
    buyers = Buyers(cluster, departures[1:], lambda: cluster.a.url)

    def broker_is(state: str) -> bool:
        return all(f'"broker":"{state}"' in each.get("/health/ready")[1] for each in (cluster.a, cluster.b))

    async with listening(cluster.b, [watcher, busy]), GraphQLHttp(cluster.a.url) as http:
        link = Link(cluster, http, watcher)
        assert await link.hurries()
        await buyers.start(2)
        await cluster.redis.freeze()
        paused = time.monotonic()
        while time.monotonic() - paused < 5:
            await link.delay()
        await cluster.redis.thaw()
        await link.delay()
        await eventually(lambda: broker_is("ok"))
        await buyers.stop()
        assert await link.hurries()

        await cluster.redis.stop()
        await link.delay()
        await eventually(lambda: broker_is("away"))
        assert cluster.b.get("/health/ready")[0] == 200
        await cluster.redis.start()
        await link.delay()
        await eventually(lambda: broker_is("ok"))
        assert await link.hurries()
        await all_agree(cluster, [watcher, busy])
    assert buyers.failures == Counter()
    await must_be_in_the_tables(buyers)


async def test_a_server_frozen_within_a_transaction_keeps_a_seat_from_others_for_less_than_two_seconds(
    cluster: Cluster,
) -> None:
    departure, contact = await cluster.departure(), {"email": "frozen@guests.example"}
    frozen = await asyncio.to_thread(cluster.start(program=FREEZING).ready)
    async with GraphQLHttp(frozen.url) as slow, GraphQLHttp(cluster.a.url) as http:
        await http.run(documents.SERVER)  # connected, so that only the lock is measured
        late = asyncio.create_task(reserve(slow, departure, "A1", "A2"))
        await eventually(lambda: frozen.stopped)
        began = time.monotonic()
        answer = await reserve(http, departure, "A2", "A3")
        assert time.monotonic() - began < SOON
        won = value_of(answer)
        assert won["__typename"] == "Reservation"
        frozen.thaw()
        refused = value_of(await late)  # begun anew, it finds what has happened meanwhile
        assert refused["code"] == "SEATS_UNAVAILABLE"
        variables = {"id": won["id"], "token": won["token"], "contact": contact}
        assert (await field_of(http.run(documents.BOOK, variables)))["status"] == "CONFIRMED"
    assert await cluster.seats(departure) == "ABB" + "A" * 37


async def test_an_expired_hold_has_one_next_owner_while_no_worker_sweeps(cluster: Cluster) -> None:
    departure, contact = await cluster.departure(), {"email": "late@guests.example"}
    watcher = Watcher(departure)
    cluster.worker.freeze()
    try:
        async with GraphQLHttp(cluster.a.url) as here, GraphQLHttp(cluster.b.url) as there:
            first = value_of(await reserve(here, departure, "A1"))
            await cluster.let_time_pass(first["id"], timedelta(hours=1))
            async with listening(cluster.b, [watcher]):
                assert watcher.map == "A" * 40, "it is free for whoever looks"
                buyers = [reserve(server, departure, "A1") for server in (here, there) * 20]
                outcomes = Counter(value_of(each)["__typename"] for each in await asyncio.gather(*buyers))
                assert outcomes == {"Reservation": 1, "SeatsUnavailable": 39}
                await all_agree(cluster, [watcher])
            late = {"id": first["id"], "token": first["token"], "contact": contact}
            assert (await field_of(there.run(documents.BOOK, late)))["__typename"] == "ReservationExpired"
    finally:
        cluster.worker.thaw()
    async with cluster.database() as database:
        its = decode(first["id"], "Reservation")[1]
        await eventually(lambda: _swept(database, its))
    assert await cluster.seats(departure) == "H" + "A" * 39, "the sweeper ends what is over and nothing else"


async def _swept(database: asyncpg.Connection[asyncpg.Record], reservation: UUID) -> bool:
    status = await database.fetchval("SELECT status FROM reservation WHERE id = $1", reservation)
    return bool(status == "EXPIRED")
