"""Sessions that end in the middle of a change: a process stood still, or the database was started anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db.engine import Kept
from domain.viewer import Viewer
from tests.graphql.documents import EXTEND, RESERVE
from tests.graphql.trading import best, named, reserved, stranger
from tests.processes import eventually
from tests.world import Departure, World

KEYS = pytest.mark.parametrize("key", [None, "once"])
END_WHO_WAITS = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> ALL ($1::integer[])
"""


@pytest.fixture
async def departure(world: World) -> Departure:
    return await world.departure(seats=4)


async def interrupted(world: World, times: int, document: str, viewer: Viewer, input: Any) -> Any:
    """What comes of a mutation of seats, of which this many sessions are ended while they wait for the schedule."""
    async with world.tables.acquire() as another, another.transaction():
        await another.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await another.execute("SELECT FROM schedule FOR UPDATE")
        asked = asyncio.create_task(world.run(document, viewer, input=input))
        ended: list[int] = []

        async def all_ended() -> bool:
            ended.extend(row["pid"] for row in await another.fetch(END_WHO_WAITS, ended))
            return len(ended) == times

        await eventually(all_ended)
    return await asked


async def state(world: World) -> list[tuple[Any, ...]]:
    found = await world.tables.fetch("SELECT status, extensions, version FROM reservation")
    return [tuple(row) for row in found]


@KEYS
async def test_a_reservation_whose_session_ends_is_made_by_another(
    world: World, departure: Departure, key: str | None
) -> None:
    wish = {**named(departure, "A1"), "idempotencyKey": key}
    made = await interrupted(world, 1, RESERVE, stranger(world), wish)
    assert made["data"]["reserve"]["__typename"] == "Reservation"
    assert await state(world) == [("ACTIVE", 0, 1)]


@KEYS
async def test_a_change_whose_session_ends_is_made_by_another(
    world: World, departure: Departure, key: str | None
) -> None:
    viewer = stranger(world)
    held = await reserved(world, departure, "A1", viewer=viewer)
    wish = {"id": held["id"], "token": held["token"], "idempotencyKey": key}
    made = await interrupted(world, 1, EXTEND, viewer, wish)
    assert made["data"]["extendReservation"]["__typename"] == "Reservation"
    assert await state(world) == [("ACTIVE", 1, 2)]


async def test_who_is_interrupted_again_is_told_and_nothing_has_changed(
    world: World, departure: Departure
) -> None:
    made = await interrupted(world, 2, RESERVE, stranger(world), named(departure, "A1"))
    assert made["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert await state(world) == []


async def test_what_may_have_been_kept_already_is_not_done_again(
    world: World, departure: Departure, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Kept.execute
    lost: list[Kept] = []

    async def lose_the_answer(self: Kept, query: str, *values: Any, **more: Any) -> str:
        told: str = await execute(self, query, *values, **more)
        if query == "COMMIT" and not lost:
            lost.append(self)
            raise ConnectionResetError
        return told

    monkeypatch.setattr(Kept, "execute", lose_the_answer)
    made = await world.run(RESERVE, stranger(world), input=best(departure, 1))
    assert made["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert await state(world) == [("ACTIVE", 0, 1)], "and not a second one beside it"
