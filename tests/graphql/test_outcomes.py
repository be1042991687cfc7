"""Every member of every result union of the trade, reached; and after each refusal, that nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from graphql import GraphQLUnionType

from domain.viewer import Viewer
from schema.ids import decode, encode
from schema.root import schema
from tests.audit import broken_rules, trade_tables
from tests.graphql.documents import BLOCK, BOOK, CANCEL, EXTEND, FORCE_RELEASE, RELEASE, RESERVE
from tests.graphql.trading import EMAIL, best, booked, departing, let_time_pass, named, reserved, stranger
from tests.world import Departure, World, new_world

FIELDS = {
    "reserve": ("ReserveResult", RESERVE),
    "extendReservation": ("ReservationResult", EXTEND),
    "releaseReservation": ("ReservationResult", RELEASE),
    "forceReleaseReservation": ("ReservationResult", FORCE_RELEASE),
    "book": ("BookResult", BOOK),
    "cancelBooking": ("CancelResult", CANCEL),
    "blockSeats": ("ScheduleResult", BLOCK),
}
HOUR = timedelta(hours=1)
LIMIT = 2


class Wish(NamedTuple):
    """What is asked for, by whom."""

    viewer: Viewer | None
    input: dict[str, Any]


Case = Callable[[World, Departure], Awaitable[Wish]]
CASES: dict[tuple[str, str], Case] = {}


def leads_to(field: str, member: str) -> Callable[[Case], Case]:
    """Note how a member of a field's union is reached."""

    def note(case: Case) -> Case:
        CASES[field, member] = case
        return case

    return note


@pytest.fixture
async def strict(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """Give a world where an account holds two reservations at most."""
    async with new_world(data_dir, database_url, max_active_reservations=LIMIT) as made:
        yield made


@pytest.mark.feature("S3.17", "S3.18", "S4.50")
@pytest.mark.parametrize("field", FIELDS)
async def test_every_outcome_is_reached_and_a_refusal_changes_nothing(strict: World, field: str) -> None:
    union, document = FIELDS[field]
    for member in members_of(union):
        departure = await strict.departure(seats=8)
        wish = await CASES[field, member](strict, departure)
        before = await trade_tables(strict.tables)
        answer = await strict.data(document, wish.viewer, input=wish.input)
        assert answer["__typename"] == member, answer
        unchanged = await trade_tables(strict.tables) == before
        assert unchanged == ("code" in answer), member
        assert "code" not in answer or answer["message"]
    assert await broken_rules(strict.tables) == []


def test_every_member_of_the_unions_has_a_case() -> None:
    wanted = {(field, member) for field, (union, _) in FIELDS.items() for member in members_of(union)}
    assert CASES.keys() == wanted


def members_of(union: str) -> list[str]:
    """The names of a union's types."""
    found = schema._schema.type_map[union]
    assert isinstance(found, GraphQLUnionType)
    return [each.name for each in found.types]


def own(held: Any, **more: Any) -> dict[str, Any]:
    """A guest's reference to a reservation."""
    return {"id": held["id"], "token": held["token"], **more}


def to_book(held: Any, **more: Any) -> dict[str, Any]:
    """A guest's wish to book a reservation."""
    return {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}, **more}


async def ended(world: World, departure: Departure) -> Any:
    """A reservation whose time is over."""
    held = await reserved(world, departure, "A1", "A2")
    await world.age(decode(held["id"], "Reservation")[1], HOUR)
    return held


@leads_to("reserve", "Reservation")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, best(departure, 3))


@leads_to("reserve", "SeatsUnavailable")
async def _(world: World, departure: Departure) -> Wish:
    await reserved(world, departure, "A2")
    return Wish(None, named(departure, "A1", "A2"))


@leads_to("reserve", "ReservationLimitReached")
async def _(world: World, departure: Departure) -> Wish:
    viewer = await world.person()
    for label in ("A1", "A2"):
        await reserved(world, departure, label, viewer=viewer)
    return Wish(viewer, named(departure, "A3"))


@leads_to("reserve", "InvalidInput")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, named(departure, "A1", "Z9"))


@leads_to("reserve", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    target = {"scheduleId": encode("Schedule", departure.resource.id), "labels": ["A1"]}
    return Wish(None, {"target": {"seats": target}})


@leads_to("reserve", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    viewer = await world.person()
    await world.data(RESERVE, viewer, input={**named(departure, "A1"), "idempotencyKey": "k"})
    return Wish(viewer, {**named(departure, "A2"), "idempotencyKey": "k"})


@leads_to("extendReservation", "Reservation")
@leads_to("releaseReservation", "Reservation")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, own(await reserved(world, departure, "A1", "A2")))


@leads_to("extendReservation", "ReservationExpired")
@leads_to("releaseReservation", "ReservationExpired")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, own(await ended(world, departure)))


@leads_to("extendReservation", "PolicyViolation")
async def _(world: World, departure: Departure) -> Wish:
    held = await reserved(world, departure, "A1")
    for _ in range(2):
        await world.data(EXTEND, input=own(held))
    return Wish(None, own(held))


@leads_to("releaseReservation", "PolicyViolation")
async def _(world: World, departure: Departure) -> Wish:
    held = await reserved(world, departure, "A1")
    await world.data(BOOK, input=to_book(held))
    return Wish(None, own(held))


@leads_to("extendReservation", "NotFound")
@leads_to("releaseReservation", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    held, other = await reserved(world, departure, "A1"), await reserved(world, departure, "A2")
    return Wish(await world.person(), {"id": held["id"], "token": other["token"]})


@leads_to("extendReservation", "IdempotencyMismatch")
@leads_to("releaseReservation", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    viewer = await world.person()
    await world.data(RESERVE, viewer, input={**named(departure, "A1"), "idempotencyKey": "k"})
    held = await reserved(world, departure, "A2")
    return Wish(viewer, own(held, idempotencyKey="k"))


@leads_to("forceReleaseReservation", "Reservation")
async def _(world: World, departure: Departure) -> Wish:
    held = await reserved(world, departure, "A1")
    return Wish(departure.staff, {"id": held["id"], "reason": "The customer called."})


@leads_to("forceReleaseReservation", "ReservationExpired")
async def _(world: World, departure: Departure) -> Wish:
    held = await ended(world, departure)
    return Wish(departure.staff, {"id": held["id"], "reason": "Too late."})


@leads_to("forceReleaseReservation", "PolicyViolation")
async def _(world: World, departure: Departure) -> Wish:
    held = await reserved(world, departure, "A1")
    await world.data(BOOK, input=to_book(held))
    return Wish(departure.staff, {"id": held["id"], "reason": "Sold already."})


@leads_to("forceReleaseReservation", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    held, elsewhere = await reserved(world, departure, "A1"), await world.departure()
    return Wish(elsewhere.staff, {"id": held["id"], "reason": "None of my business."})


@leads_to("forceReleaseReservation", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    one, two = await reserved(world, departure, "A1"), await reserved(world, departure, "A2")
    first = {"id": one["id"], "reason": "The customer called.", "idempotencyKey": "k"}
    await world.data(FORCE_RELEASE, departure.staff, input=first)
    return Wish(departure.staff, {**first, "id": two["id"]})


@leads_to("book", "Booking")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, to_book(await reserved(world, departure, "A1", "A2")))


@leads_to("book", "ReservationExpired")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, to_book(await ended(world, departure)))


@leads_to("book", "InvalidInput")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, {**to_book(await reserved(world, departure, "A1")), "contact": {"name": "No Address"}})


@leads_to("book", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, {**to_book(await reserved(world, departure, "A1")), "token": "guessed"})


@leads_to("book", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    viewer = stranger(world)
    one, two = await reserved(world, departure, "A1"), await reserved(world, departure, "A2")
    await world.data(BOOK, viewer, input=to_book(one, idempotencyKey="k"))
    return Wish(viewer, to_book(two, idempotencyKey="k"))


@leads_to("cancelBooking", "Booking")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, own(await booked(world, departure, "A1"), reason="Changed plans"))


@leads_to("cancelBooking", "PolicyViolation")
async def _(world: World, departure: Departure) -> Wish:
    leaving = await departing(world, timedelta(minutes=5))
    made = await booked(world, leaving, "A1")
    await let_time_pass(world, leaving, HOUR)
    return Wish(None, own(made))


@leads_to("cancelBooking", "Conflict")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(None, own(await booked(world, departure, "A1"), expectedVersion=7))


@leads_to("cancelBooking", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    made = await booked(world, departure, "A1")
    return Wish(await world.person(), {"id": made["id"]})


@leads_to("cancelBooking", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    viewer = await world.person()
    one, two = [await booked(world, departure, label, viewer=viewer) for label in ("A1", "A2")]
    await world.data(CANCEL, viewer, input={"id": one["id"], "idempotencyKey": "k"})
    return Wish(viewer, {"id": two["id"], "idempotencyKey": "k"})


def to_block(departure: Departure, *labels: str, **more: Any) -> dict[str, Any]:
    """The input that takes seats out of sale."""
    return {"scheduleId": departure.id, "labels": [*labels], "blocked": True, **more}


@leads_to("blockSeats", "Schedule")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(departure.staff, to_block(departure, "A1", "B4"))


@leads_to("blockSeats", "SeatsUnavailable")
async def _(world: World, departure: Departure) -> Wish:
    await reserved(world, departure, "A2")
    return Wish(departure.staff, to_block(departure, "A1", "A2"))


@leads_to("blockSeats", "InvalidInput")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(departure.staff, to_block(departure, "A1", "A1"))


@leads_to("blockSeats", "NotFound")
async def _(world: World, departure: Departure) -> Wish:
    return Wish(departure.staff, {**to_block(departure, "A1"), "scheduleId": departure.id[:-4]})


@leads_to("blockSeats", "IdempotencyMismatch")
async def _(world: World, departure: Departure) -> Wish:
    await world.data(BLOCK, departure.staff, input=to_block(departure, "A1", idempotencyKey="k"))
    return Wish(departure.staff, to_block(departure, "A2", idempotencyKey="k"))


@pytest.mark.feature("S3.18")
async def test_who_is_no_staff_may_not_block_and_the_error_has_a_code(world: World) -> None:
    departure, elsewhere = await world.departure(), await world.departure()
    before = await trade_tables(world.tables)
    wish = to_block(departure, "A1")
    assert await world.code(BLOCK, None, input=wish) == "UNAUTHENTICATED"
    for viewer in (await world.person(), elsewhere.staff):
        assert await world.code(BLOCK, viewer, input=wish) == "FORBIDDEN"
    assert await trade_tables(world.tables) == before
