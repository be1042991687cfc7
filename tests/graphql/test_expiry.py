"""Holds that run out: free by the clock alone; the sweeper only tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from schema.ids import decode
from tests.audit import broken_rules, trade_tables
from tests.graphql.documents import BOOK, EXTEND, FORCE_RELEASE, RELEASE, RESERVATION, RESERVE, SCHEDULE
from tests.graphql.trading import EMAIL, best, named, reserved
from tests.world import Departure, Watch, World

HOUR = timedelta(hours=1)
SEATS = """
subscription Watch($target: SeatChangesTarget!) {
  seatChanges(target: $target) {
    __typename
    ... on SeatSnapshot { schedules { seatString version } }
    ... on SeatDelta { version changed { label status heldUntil } counts { available held } }
  }
}
"""
ONE = """
subscription Watch($id: ID!, $token: String) {
  reservation(id: $id, token: $token) { ... on ReservationChanged { reservation { status expiresAt } } }
}
"""


async def run_out(world: World, held: Any) -> None:
    """Let a reservation's time be over."""
    await world.age(decode(held["id"], "Reservation")[1], HOUR)


@asynccontextmanager
async def working(world: World) -> AsyncIterator[None]:
    """A worker that runs meanwhile."""
    task = asyncio.create_task(world.app.worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watched(watch: Watch) -> Any:
    """The snapshot that a subscription begins with."""
    shown = await watch.next()
    assert shown["__typename"] == "SeatSnapshot"
    return shown["schedules"]


def target(departure: Departure) -> dict[str, Any]:
    """What is watched."""
    return {"scheduleId": departure.id}


@pytest.mark.feature("S4.50", "S4.39", "S4.32")
async def test_by_the_clock_alone_a_hold_is_over_for_every_reader_and_every_step(world: World) -> None:
    departure, viewer = await world.departure(seats=4), await world.person()
    held = await reserved(world, departure, "A1", "A2", viewer=viewer)
    await run_out(world, held)
    before = await trade_tables(world.tables)
    looked = await world.data(RESERVATION, viewer, id=held["id"])
    assert (looked["status"], looked["extensionsLeft"], looked["booking"]) == ("EXPIRED", 0, None)
    assert {(seat["status"], seat["mine"]) for seat in looked["seats"]} == {("AVAILABLE", False)}
    schedule = await world.data(SCHEDULE, viewer, id=departure.id)
    assert (schedule["seatString"], schedule["status"]) == ("AAAA", "ON_SALE")
    assert schedule["counts"] == {"total": 4, "available": 4, "held": 0, "booked": 0, "blocked": 0}
    assert {(seat["status"], seat["heldUntil"], seat["mine"]) for seat in schedule["seats"]} == {
        ("AVAILABLE", None, False)
    }
    for document, caller, wish in (
        (BOOK, viewer, {"reservationId": held["id"]}),
        (EXTEND, viewer, {"id": held["id"]}),
        (RELEASE, viewer, {"id": held["id"]}),
        (FORCE_RELEASE, departure.staff, {"id": held["id"], "reason": "late"}),
    ):
        refused = await world.data(document, caller, input=wish)
        named = "reservationId" if document is BOOK else "id"
        assert (refused["code"], refused["path"]) == ("RESERVATION_EXPIRED", [named])
        assert refused["expiredAt"] == looked["expiresAt"]
    assert await trade_tables(world.tables) == before
    assert (await world.data(RESERVE, input=best(departure, 4)))["__typename"] == "Reservation"
    assert await broken_rules(world.tables) == []


async def test_the_sold_out_are_on_sale_again_when_a_hold_runs_out(world: World) -> None:
    departure = await world.departure(seats=2)
    held = await reserved(world, departure, "A1", "A2")
    assert (await world.data(SCHEDULE, id=departure.id))["status"] == "SOLD_OUT"
    assert (await world.data(RESERVE, input=best(departure, 1)))["alternatives"] == []
    await run_out(world, held)
    assert (await world.data(SCHEDULE, id=departure.id))["status"] == "ON_SALE"


async def test_a_hold_of_a_second_ends_by_itself_and_the_worker_tells(world: World) -> None:
    """No time is moved here: the database's clock and the worker's own pauses."""
    departure = await world.departure(seats=2, reservation_ttl=timedelta(seconds=1))
    async with working(world), world.watching(SEATS, target=target(departure)) as watch:
        await watched(watch)
        held = await reserved(world, departure, "A1")
        assert (await watch.next())["changed"] == [
            {"label": "A1", "status": "HELD", "heldUntil": held["expiresAt"]}
        ]
        assert (await watch.next())["changed"] == [{"label": "A1", "status": "AVAILABLE", "heldUntil": None}]
        late = await world.tables.fetchval(
            "SELECT e.at - r.expires_at FROM event e, reservation r WHERE e.type = 'seats.expired'"
        )
        assert timedelta(0) <= late < timedelta(seconds=2)


@pytest.mark.feature("S4.50")
async def test_the_sweeper_tells_the_watchers_of_the_seats_and_of_the_reservation(world: World) -> None:
    departure = await world.departure(seats=4)
    held = await reserved(world, departure, "A1", "A2")
    mine = {"id": held["id"], "token": held["token"]}
    async with (
        world.watching(SEATS, target=target(departure)) as seats,
        world.watching(ONE, **mine) as one,
    ):
        assert (await watched(seats))[0]["seatString"] == "HHAA"
        assert (await one.next())["reservation"]["status"] == "ACTIVE"
        await run_out(world, held)
        assert await world.app.worker.expiry.sweep() == 1
        delta = await seats.next()
        assert (delta["version"], delta["counts"]) == (2, {"available": 4, "held": 0})
        assert delta["changed"] == [
            {"label": "A1", "status": "AVAILABLE", "heldUntil": None},
            {"label": "A2", "status": "AVAILABLE", "heldUntil": None},
        ]
        assert (await one.next())["reservation"]["status"] == "EXPIRED"
    before = await trade_tables(world.tables)
    assert await world.app.worker.expiry.sweep() == 0
    assert await trade_tables(world.tables) == before
    assert await world.allocations(departure.schedule_id) == {}


async def test_a_seat_taken_over_before_the_sweep_stays_with_its_new_holder(world: World) -> None:
    departure = await world.departure(seats=4)
    over = await reserved(world, departure, "A1", "A2", "A3")
    await run_out(world, over)
    async with world.watching(SEATS, target=target(departure)) as watch:
        assert (await watched(watch))[0]["seatString"] == "AAAA"
        theirs = await reserved(world, departure, "A2")
        assert [change["label"] for change in (await watch.next())["changed"]] == ["A2"]
        assert await world.app.worker.expiry.sweep() == 1
        assert [change["label"] for change in (await watch.next())["changed"]] == ["A1", "A3"]
    assert (await world.data(SCHEDULE, id=departure.id))["seatString"] == "AHAA"
    sold = await world.data(
        BOOK, input={"reservationId": theirs["id"], "token": theirs["token"], "contact": {"email": EMAIL}}
    )
    assert sold["status"] == "CONFIRMED"
    assert await broken_rules(world.tables) == []


async def test_a_hold_taken_over_whole_ends_without_a_word_about_its_seats(world: World) -> None:
    departure = await world.departure(seats=4)
    over = await reserved(world, departure, "A1")
    await run_out(world, over)
    await reserved(world, departure, "A1")
    assert await world.app.worker.expiry.sweep() == 1
    schedule = await world.data(SCHEDULE, id=departure.id)
    assert (schedule["seatString"], schedule["version"]) == ("HAAA", 2)
    looked = await world.data(RESERVATION, id=over["id"], token=over["token"])
    assert looked["status"] == "EXPIRED"
    assert {(seat["status"], seat["mine"]) for seat in looked["seats"]} == {("HELD", False)}
    assert await broken_rules(world.tables) == []


async def test_several_sweepers_end_each_reservation_once(world: World) -> None:
    departures = [await world.departure(seats=4) for _ in range(5)]
    for departure in departures:
        for label in ("A1", "A2"):
            await run_out(world, await reserved(world, departure, label))
        await reserved(world, departure, "A3")
    swept = await asyncio.gather(*(world.app.worker.expiry.sweep() for _ in range(4)))
    assert sum(swept) == 10
    ended = "SELECT count(*) FROM event WHERE type = 'reservation.expired'"
    assert await world.tables.fetchval(ended) == 10
    for departure in departures:
        assert await world.allocations(departure.schedule_id) == {2: "HELD"}
    assert await broken_rules(world.tables) == []


async def test_staff_block_a_seat_whose_hold_has_run_out(world: World) -> None:
    departure = await world.departure(seats=4)
    await run_out(world, await reserved(world, departure, "A1"))
    block = "mutation B($input: BlockSeatsInput!) { blockSeats(input: $input) { ... on Schedule { seatString } } }"
    wish = {"scheduleId": departure.id, "labels": ["A1"], "blocked": True}
    assert (await world.data(block, departure.staff, input=wish))["seatString"] == "XAAA"
    assert await world.app.worker.expiry.sweep() == 1
    assert (await world.data(RESERVE, input=named(departure, "A1")))["code"] == "SEATS_UNAVAILABLE"
    assert await broken_rules(world.tables) == []
