"""Buyers who keep a server busy, never give up on a wish, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx2

from schema.ids import decode
from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, value_of
from tests.clients import GraphQLHttp, Json

Say = Callable[..., Awaitable[Json]]
CONTACT = {"name": "A Buyer", "email": "buyer@people.example"}


@dataclass
class Buyers:
    """Each reserves, then books and cancels, or releases, over and over, at whatever address is good now.

    A wish that was cut off, or met UNAVAILABLE, is sent again with its key. Any other failure fails the test.
    """

    cluster: Cluster
    departures: Sequence[Json]
    address: Callable[[], str]
    told: dict[UUID, str] = field(default_factory=dict)
    """What the last answer about each reservation said of it."""
    failures: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, number: int) -> None:
        for seed in range(number):
            token = (await self.cluster.person()).token
            self._tasks.append(asyncio.create_task(self._buy(token, random.Random(seed))))

    async def stop(self) -> None:
        """Let each end what it is about, until there is nothing that was not answered."""
        self._enough.set()
        await asyncio.gather(*self._tasks)

    async def _buy(self, token: str, dice: random.Random) -> None:
        kept: list[str] = []
        async with GraphQLHttp("") as http:
            say = partial(self._insist, http, token)
            while not self._enough.is_set():
                target = _target(dice.choice(self.departures), dice)
                reservation = await say(documents.RESERVE, target=target)
                if reservation["__typename"] == "Reservation":
                    kept.append(reservation["id"])
                    self._note(reservation["id"], reservation["status"])
                while len(kept) > 2:
                    await self._let_go(say, kept.pop(0), book=dice.random() < 0.5)

    async def _let_go(self, say: Say, reservation: str, *, book: bool) -> None:
        if not book:
            released = await say(documents.RELEASE, id=reservation)
            self._note(reservation, released["status"])
            return
        booking = await say(documents.BOOK, id=reservation, contact=CONTACT)
        assert booking["__typename"] == "Booking", booking
        self._note(reservation, "CONVERTED")
        cancelled = await say(documents.CANCEL, id=booking["id"])
        assert cancelled["status"] == "CANCELLED", cancelled

    def _note(self, reservation: str, status: str) -> None:
        self.told[decode(reservation, "Reservation")[1]] = status

    async def _insist(self, http: GraphQLHttp, token: str, document: str, **variables: Any) -> Json:
        variables["key"] = uuid4().hex
        while True:
            http.url = self.address()
            try:
                answer = await http.run(document, variables, token)
            except httpx2.TransportError:
                self.failures["CUT OFF"] += 1
                await asyncio.sleep(0.02)
                continue
            if "errors" not in answer:
                self.answers += 1
                outcome: Json = value_of(answer)
                return outcome
            self._failed(answer["errors"][0])

    def _failed(self, error: Json) -> None:
        code = error["extensions"]["code"]
        assert code == "UNAVAILABLE", error
        self.failures[code] += 1


def _target(departure: Json, dice: random.Random) -> Json:
    if dice.random() < 0.5:
        return {"bestAvailable": {"scheduleId": departure["id"], "count": dice.choice((1, 2))}}
    seats = departure["resource"]["layout"]["seats"]
    labels = [seat["label"] for seat in dice.sample(seats, 2)]
    return {"seats": {"scheduleId": departure["id"], "labels": labels}}


async def must_be_in_the_tables(buyers: Buyers) -> None:
    """Fail unless the tables hold what the buyers were told, no more and no less, and no seat has two owners."""
    ids = [decode(departure["id"], "Schedule")[1] for departure in buyers.departures]
    async with buyers.cluster.database() as database:
        reservations = await database.fetch(
            "SELECT id, schedule_id, status, seats FROM reservation WHERE schedule_id = ANY ($1)", ids
        )
        allocations = await database.fetch(
            "SELECT schedule_id, seat, reservation_id FROM allocation WHERE schedule_id = ANY ($1)", ids
        )
    assert {row["id"]: row["status"] for row in reservations} == buyers.told
    owned = [
        (row["schedule_id"], seat, row["id"])
        for row in reservations
        if row["status"] == "ACTIVE"
        for seat in row["seats"]
    ]
    assert len({(schedule, seat) for schedule, seat, _ in owned}) == len(owned), "a seat has two owners"
    assert sorted(owned) == sorted(tuple(row.values()) for row in allocations)
