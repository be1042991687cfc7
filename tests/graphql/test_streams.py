"""Subscriptions: a snapshot, or exactly what was missed since a cursor; then everything, once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import db.feed
import db.reads
from domain.access import Role
from domain.holding import Seats
from domain.reads import Board
from domain.reservations import OnReservation
from domain.reserving import Reserve
from domain.timetable import BlockSeats
from domain.viewer import Viewer
from schema.ids import encode, encode_cursor
from tests.graphql.documents import BOOK, CANCEL, RESERVE
from tests.world import Departure, Watch, World, new_world

Json = dict[str, Any]

SEATS = """
subscription ($target: SeatChangesTarget!, $after: Cursor) {
  seatChanges(target: $target, after: $after) {
    __typename
    ... on StreamMessage { cursor }
    ... on SeatSnapshot { schedules { id version seatString counts { available } } }
    ... on SeatDelta {
      scheduleId version counts { total available held booked blocked } changed { label status heldUntil }
    }
    ... on Resync { reason }
  }
}
"""
RESERVATION = """
subscription ($id: ID!, $token: String, $after: Cursor) {
  reservation(id: $id, token: $token, after: $after) {
    __typename ... on StreamMessage { cursor }
    ... on ReservationChanged { reservation { id status booking { id } seats { mine } } }
  }
}
"""
BOOKINGS = """
subscription ($organizationId: ID, $after: Cursor) {
  bookings(organizationId: $organizationId, after: $after) {
    __typename ... on StreamMessage { cursor }
    ... on BookingSnapshot { bookings { id status } }
    ... on BookingChanged { booking { id status version } }
  }
}
"""
EVENTS = """
subscription ($filter: EventFilter, $after: Cursor) {
  events(filter: $filter, after: $after) {
    __typename ... on StreamMessage { cursor } ... on EventDelivered { event { id type subjectId } }
  }
}
"""  # fmt: skip


async def hold(world: World, departure: Departure, *labels: str, viewer: Viewer | None = None) -> UUID:
    request = Reserve(departure.schedule_id, Seats(labels))
    made = await world.app.services.reservations.reserve(viewer or world.guest(), request)
    return made.id


async def block(world: World, departure: Departure, label: str, blocked: bool = True) -> None:
    await world.app.services.timetable.block_seats(
        departure.staff, BlockSeats(departure.schedule_id, [label], blocked)
    )


async def booked(world: World, departure: Departure, label: str, viewer: Viewer | None = None) -> Json:
    target = {"seats": {"scheduleId": departure.id, "labels": [label]}}
    held = await world.data(RESERVE, viewer, input={"target": target})
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": "a@test.example"}}
    sold: Json = await world.data(BOOK, viewer, input=wish)
    return sold | {"token": held["token"]}


async def end_of_log(world: World) -> str:
    """The cursor behind everything committed so far; the first reading may have begun before that."""
    for _ in range(2):
        await world.app.feed.turn()
    return str((await world.data("{ server { cursor } }"))["cursor"])


def of_schedule(departure: Departure) -> Json:
    return {"target": {"scheduleId": departure.id}}


async def versions_to(watch: Watch, version: int) -> list[Json]:
    """The deltas until one of them leads to ``version``."""
    deltas: list[Json] = []
    while not deltas or deltas[-1]["version"] < version:
        deltas.append(await watch.next())
        assert deltas[-1]["__typename"] == "SeatDelta"
    return deltas


# ------------------------------------------------------------------ one schedule


@pytest.mark.feature("S3.5", "S3.12", "S3.16", "S3.46")
async def test_a_watcher_gets_the_whole_map_and_then_each_change(world: World) -> None:
    departure = await world.departure(seats=8)
    async with world.watching(SEATS, **of_schedule(departure)) as watch:
        first = await watch.next()
        assert first["__typename"] == "SeatSnapshot"
        assert first["schedules"][0]["seatString"] == "AAAAAAAA"
        await hold(world, departure, "A1")
        delta = await watch.next()
        assert [(seat["label"], seat["status"]) for seat in delta["changed"]] == [("A1", "HELD")]
        assert delta["changed"][0]["heldUntil"] is not None
        assert (delta["version"], delta["scheduleId"]) == (1, departure.id)
        assert delta["counts"] == {"total": 8, "available": 7, "held": 1, "booked": 0, "blocked": 0}


async def test_thirty_who_come_at_once_are_shown_one_reading_of_the_map(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    departure, readings = await world.departure(seats=8), list[UUID]()
    board = db.reads.Reads.board

    async def noted(reads: db.reads.Reads, schedule_id: UUID) -> Board:
        readings.append(schedule_id)
        return await board(reads, schedule_id)

    monkeypatch.setattr(db.reads.Reads, "board", noted)
    await hold(world, departure, "A1", viewer=departure.staff)
    async with AsyncExitStack() as stack:
        watches = [
            await stack.enter_async_context(world.watching(SEATS, viewer, **of_schedule(departure)))
            for viewer in [departure.staff, *[None] * 29]
        ]
        shown = await asyncio.gather(*(watch.next() for watch in watches))
    assert {message["schedules"][0]["seatString"] for message in shown} == {"HAAAAAAA"}
    assert 1 <= len(readings) <= 10  # each by itself would be thirty


async def test_a_slow_reader_gets_the_newest_state_of_each_seat(world: World) -> None:
    departure = await world.departure(seats=8)
    async with world.watching(SEATS, **of_schedule(departure)) as watch:
        await watch.next()
        await block(world, departure, "A1")
        await block(world, departure, "A2")
        await block(world, departure, "A1", blocked=False)
        await hold(world, departure, "B1")
        deltas = await versions_to(watch, 4)
        newest = {seat["label"]: seat["status"] for delta in deltas for seat in delta["changed"]}
        assert newest == {"A1": "AVAILABLE", "A2": "BLOCKED", "B1": "HELD"}
        assert deltas[-1]["counts"] == {"total": 8, "available": 6, "held": 1, "booked": 0, "blocked": 1}
        assert len(deltas) < 4, "what waits together comes together"


async def test_going_on_from_any_version_gives_exactly_what_was_missed(world: World) -> None:
    departure = await world.departure(seats=8)
    cursors = []
    async with world.watching(SEATS, **of_schedule(departure)) as watch:
        cursors.append((await watch.next())["cursor"])
        for number in range(1, 6):
            await block(world, departure, f"A{number}" if number < 5 else "B1")
            cursors.append((await watch.next())["cursor"])
    for version, cursor in enumerate(cursors):
        async with world.watching(SEATS, **of_schedule(departure), after=cursor) as watch:
            await block(world, departure, "B4", blocked=not version % 2)
            deltas = await versions_to(watch, 6 + version)
            missed = [seat["label"] for delta in deltas for seat in delta["changed"]]
            assert missed[: 5 - version] == ["A1", "A2", "A3", "A4", "B1"][version:]
            assert set(missed[5 - version :]) <= {"B4"}


async def test_a_cursor_of_something_else_is_refused(world: World) -> None:
    departure, other = await world.departure(), await world.departure()
    async with world.watching(SEATS, **of_schedule(other)) as watch:
        foreign = (await watch.next())["cursor"]
    log = await end_of_log(world)
    epoch = world.app.feed.epoch.hex[:8]
    forged = [
        encode_cursor(["stream", epoch, departure.schedule_id.hex, True]),
        encode_cursor(["stream", epoch, departure.schedule_id.hex]),
        encode_cursor(["log", epoch, -1, 0]),
        encode_cursor(["schedules", "x", "y"]),
        "",
        "x",
        "é",
        foreign[:-1],
    ]
    for cursor in (foreign, log, *forged):
        async with world.watching(SEATS, **of_schedule(departure), after=cursor) as watch:
            assert await watch.code() == "BAD_USER_INPUT", cursor
    for cursor in (foreign, *forged):
        for document, variables in (SEATS, days_of(departure)), (EVENTS, {}), (BOOKINGS, {}):
            async with world.watching(document, departure.staff, **variables, after=cursor) as watch:
                assert await watch.code() == "BAD_USER_INPUT", (document, cursor)


async def test_what_is_not_there_is_not_watched(world: World) -> None:
    for target in ({"scheduleId": encode("Schedule", UUID(int=1))}, {"scheduleId": "x"}):
        async with world.watching(SEATS, target=target) as watch:
            assert await watch.code() == "NOT_FOUND"
    board = {
        "resource": {"resourceId": encode("Resource", UUID(int=1)), "from": "2027-01-01", "to": "2027-01-01"}
    }
    async with world.watching(SEATS, target=board) as watch:
        assert await watch.code() == "NOT_FOUND"


async def forget_the_log(world: World) -> None:
    """What retention does: drop what is old, and write down how far the log reaches back."""
    await world.app.feed.turn()
    await world.tables.execute("""
      WITH gone AS (DELETE FROM event RETURNING xid, id)
      UPDATE installation SET (log_start_xid, log_start_id)
        = (SELECT xid, id FROM gone ORDER BY gone.xid DESC, id DESC LIMIT 1)
    """)


async def test_a_cursor_older_than_the_log_is_a_resync_and_a_snapshot(world: World) -> None:
    departure = await world.departure(seats=8)
    board = days_of(departure)
    old: dict[str, str] = {}
    sold = await booked(world, departure, "A2", departure.staff)
    streams: list[tuple[str, str, Json]] = [
        ("schedule", SEATS, of_schedule(departure)),
        ("board", SEATS, board),
        ("bookings", BOOKINGS, {}),
        ("events", EVENTS, {"after": await end_of_log(world)}),
    ]
    for name, document, variables in streams:
        async with world.watching(document, departure.staff, **variables) as watch:
            await world.data(CANCEL, departure.staff, input={"id": sold["id"]}) if name == "events" else None
            old[name] = (await watch.next())["cursor"]
    await block(world, departure, "A1")
    await forget_the_log(world)
    for name, document, variables in streams:
        async with world.watching(document, departure.staff, **variables | {"after": old[name]}) as watch:
            resync = await watch.next()
            assert resync["__typename"] == "Resync", name
            if name != "events":
                assert (await watch.next())["__typename"].endswith("Snapshot"), name
        if name != "events":
            await is_resynced_again(world, document, departure.staff, variables, resync)


async def test_a_cursor_of_the_log_before_a_restore_is_a_resync(world: World) -> None:
    departure = await world.departure(seats=8)
    stale = encode_cursor(["stream", "00000000", departure.schedule_id.hex, 0])
    async with world.watching(SEATS, **of_schedule(departure), after=stale) as watch:
        resync = await watch.next()
        assert resync["__typename"] == "Resync"
        assert (await watch.next())["__typename"] == "SeatSnapshot"
    await is_resynced_again(world, SEATS, None, of_schedule(departure), resync)


async def is_resynced_again(
    world: World, document: str, viewer: Viewer | None, variables: Json, resync: Json
) -> None:
    """Whoever was cut off between a Resync and its snapshot has nothing, and is told everything."""
    async with world.watching(document, viewer, **variables | {"after": resync["cursor"]}) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        assert (await watch.next())["__typename"].endswith("Snapshot")


async def test_another_process_goes_on_where_the_first_one_stopped(
    world: World, data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two have no broker between them: each finds by itself what the other wrote."""
    monkeypatch.setattr(db.feed, "TICK", 0.05)
    departure = await world.departure(seats=8)
    cursor = await end_of_log(world)
    async with new_world(data_dir, database_url) as other:
        for label in "A1", "A2", "A3":
            await hold(world, departure, label, viewer=departure.staff)
            async with world.watching(EVENTS, departure.staff, after=cursor) as watch:
                seen = [await watch.next() for _ in range(2)]
            async with other.watching(EVENTS, departure.staff, after=seen[0]["cursor"]) as watch:
                assert (await watch.next())["event"]["id"] == seen[1]["event"]["id"]
            async with other.watching(EVENTS, departure.staff, after=seen[1]["cursor"]) as watch:
                await hold(other, departure, label.replace("A", "B"), viewer=departure.staff)
                further = [await watch.next() for _ in range(2)]
            assert [each["event"]["type"] for each in further] == ["seats.held", "reservation.created"]
            cursor = further[1]["cursor"]


# ------------------------------------------------------------------ the board of a resource


def days_of(departure: Departure, days: int = 14) -> Json:
    today = datetime.now(UTC).date()
    window = {"from": today.isoformat(), "to": (today + timedelta(days=days)).isoformat()}
    return {"target": {"resource": {"resourceId": encode("Resource", departure.resource.id), **window}}}


async def open_another(world: World, departure: Departure, days_ahead: int) -> Departure:
    start = (datetime.now(UTC) + timedelta(days=days_ahead)).replace(tzinfo=None, microsecond=0)
    (id_,) = await world.open(departure.staff, departure.offering, departure.resource, [start])
    return Departure(departure.organization, departure.staff, departure.resource, departure.offering, id_)


@pytest.mark.feature("S2.20", "S3.5", "S3.21")
async def test_a_board_shows_all_schedules_of_its_days_and_each_change_of_each(world: World) -> None:
    first = await world.departure(seats=8)
    second, beyond = await open_another(world, first, 8), await open_another(world, first, 30)
    async with world.watching(SEATS, **days_of(first)) as watch:
        snapshot = await watch.next()
        assert [schedule["id"] for schedule in snapshot["schedules"]] == [first.id, second.id]
        await block(world, beyond, "A1")
        await block(world, first, "A1")
        await block(world, second, "A1")
        await block(world, first, "A2")
        deltas = [await watch.next() for _ in range(3)]
        assert [(d["scheduleId"], d["version"]) for d in deltas] == [
            (first.id, 1),
            (second.id, 1),
            (first.id, 2),
        ]
    for number, delta in enumerate(deltas[:-1], start=1):
        async with world.watching(SEATS, **days_of(first), after=delta["cursor"]) as watch:
            assert [await watch.next() for _ in deltas[number:]] == deltas[number:]


async def test_a_schedule_opened_meanwhile_begins_the_board_anew(world: World) -> None:
    first = await world.departure(seats=8)
    async with world.watching(SEATS, **days_of(first)) as watch:
        before = (await watch.next())["cursor"]
        await open_another(world, first, 30)  # beyond the days shown
        second = await open_another(world, first, 8)
        resync = await watch.next()
        assert resync["__typename"] == "Resync"
        snapshot = await watch.next()
        assert [schedule["id"] for schedule in snapshot["schedules"]] == [first.id, second.id]
        await block(world, second, "A1")
        delta = await watch.next()
        assert (delta["scheduleId"], delta["version"]) == (second.id, 1)
    async with world.watching(SEATS, **days_of(first), after=before) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        assert len((await watch.next())["schedules"]) == 2
    async with world.watching(SEATS, **days_of(first), after=snapshot["cursor"]) as watch:
        assert await watch.next() == delta
    await is_resynced_again(world, SEATS, None, days_of(first), resync)


async def test_an_empty_board_fills(world: World) -> None:
    far = await world.departure(seats=8, days_ahead=40)
    async with world.watching(SEATS, **days_of(far)) as watch:
        empty = await watch.next()
        assert empty["schedules"] == []
        await block(world, far, "A1")
        near = await open_another(world, far, 3)
        assert (await watch.next())["__typename"] == "Resync"
        assert [schedule["id"] for schedule in (await watch.next())["schedules"]] == [near.id]
    async with world.watching(SEATS, **days_of(far), after=empty["cursor"]) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        assert [schedule["id"] for schedule in (await watch.next())["schedules"]] == [near.id]


@pytest.mark.parametrize(("days", "code"), [(-1, "BAD_USER_INPUT"), (31, "BAD_USER_INPUT")])
async def test_a_board_is_bounded(world: World, days: int, code: str) -> None:
    departure = await world.departure(seats=8)
    async with world.watching(SEATS, **days_of(departure, days)) as watch:
        assert await watch.code() == code
    async with world.watching(SEATS, **days_of(departure, 30)) as watch:
        assert (await watch.next())["__typename"] == "SeatSnapshot"


# ------------------------------------------------------------------ reservations, bookings, events


async def test_a_reservation_is_followed_by_its_token_and_by_staff(world: World) -> None:
    departure = await world.departure(seats=8)
    guest = world.guest()
    id_ = await hold(world, departure, "A1", viewer=guest)
    gid, token = encode("Reservation", id_), world.app.services.guests.token(id_)
    async with (
        world.watching(RESERVATION, guest, id=gid, token=token) as own,
        world.watching(RESERVATION, departure.staff, id=gid) as staff,
    ):
        mine, theirs = await own.next(), await staff.next()
        assert mine["reservation"]["seats"] == [{"mine": True}]
        assert theirs["reservation"]["seats"] == [{"mine": False}]
        await world.app.services.reservations.extend(guest, OnReservation(id_, token))
        assert (await own.next())["reservation"]["status"] == "ACTIVE"
        await world.app.services.reservations.release(guest, OnReservation(id_, token))
        assert (await own.next())["reservation"]["status"] == "RELEASED"
    async with world.watching(RESERVATION, guest, id=gid, token=token, after=mine["cursor"]) as own:
        assert (await own.next())["reservation"]["status"] == "RELEASED"


@pytest.mark.feature("S2.19", "S2.20", "S2.21", "S2.23")
async def test_bookings_reach_their_customer_their_organization_and_their_provider(world: World) -> None:
    departure, customer = await world.departure(seats=8), await world.person()
    provider = await world.member(departure.organization, Role.PROVIDER)
    await world.tables.execute("UPDATE resource SET provider_id = $1", provider.user_id)
    whose = {"organizationId": encode("Organization", departure.organization.id)}
    async with (
        world.watching(BOOKINGS, customer) as own,
        world.watching(BOOKINGS, departure.staff, **whose) as staff,
        world.watching(BOOKINGS, provider, **whose) as with_provider,
    ):
        for watch in own, staff, with_provider:
            assert (await watch.next())["bookings"] == []
        sold = await booked(world, departure, "A1", customer)
        for watch in own, staff, with_provider:
            told = await watch.next()
            assert told["booking"] == {"id": sold["id"], "status": "CONFIRMED", "version": 1}
        of_guest = await booked(world, departure, "A2")
        for watch in staff, with_provider:
            assert (await watch.next())["booking"]["id"] == of_guest["id"]
        await world.data(CANCEL, customer, input={"id": sold["id"]})
        told = await own.next()
        assert told["booking"] == {"id": sold["id"], "status": "CANCELLED", "version": 2}
    async with world.watching(BOOKINGS, customer, after=told["cursor"]) as own:
        again = await booked(world, departure, "A1", customer)
        assert (await own.next())["booking"]["id"] == again["id"]


@pytest.mark.feature("S2.21")
async def test_events_are_filtered_by_type_subject_and_organization(world: World) -> None:
    departure, elsewhere = await world.departure(seats=8), await world.organization()
    after = await end_of_log(world)
    id_ = await hold(world, departure, "A1")
    await block(world, departure, "A2")
    reservation = encode("Reservation", id_)
    whose = encode("Organization", departure.organization.id)
    expected: list[tuple[Json, list[str]]] = [
        ({}, ["seats.held", "reservation.created", "seats.blocked"]),
        ({"organizationId": whose}, ["seats.held", "reservation.created", "seats.blocked"]),
        ({"types": ["seats.blocked", "none"]}, ["seats.blocked"]),
        ({"subjectId": reservation}, ["reservation.created"]),
        ({"subjectId": departure.id, "types": ["seats.blocked"]}, ["seats.blocked"]),
    ]
    for filter_, types in expected:
        async with world.watching(EVENTS, departure.staff, filter=filter_, after=after) as watch:
            assert [(await watch.next())["event"]["type"] for _ in types] == types
    filter_ = {"organizationId": encode("Organization", elsewhere.id)}
    async with world.watching(EVENTS, departure.staff, filter=filter_) as watch:
        assert await watch.code() == "FORBIDDEN"


@pytest.mark.feature("S0.6")
@pytest.mark.parametrize("document", [EVENTS, BOOKINGS])
async def test_who_is_no_member_any_more_is_told_no_more(world: World, document: str) -> None:
    departure = await world.departure(seats=8)
    whose = {"organizationId": encode("Organization", departure.organization.id)}
    variables = whose if document is BOOKINGS else {"filter": whose}
    after = await end_of_log(world)
    change: Callable[[str], Awaitable[Json]] = lambda label: booked(world, departure, label)  # noqa: E731
    async with world.watching(document, departure.staff, **variables, after=after) as watch:
        await change("A1")
        assert (await watch.next())["__typename"] in ("EventDelivered", "BookingChanged")
        while document is EVENTS and (await watch.next())["event"]["type"] != "booking.confirmed":
            pass
        await world.tables.execute("DELETE FROM membership WHERE account_id = $1", departure.staff.user_id)
        await change("A2")
        assert await watch.code() == "FORBIDDEN"


async def test_a_saved_resource_ends_nobodys_stream(world: World) -> None:
    """Which resources a provider stands behind is read again at each event, in whatever order the rows lie."""
    departure = await world.departure(seats=8)
    provider = await world.member(departure.organization, Role.PROVIDER)
    await world.resource(departure.organization, departure.staff, provider_id=provider.user_id)
    await world.tables.execute("UPDATE resource SET provider_id = $1", provider.user_id)
    filter_ = {"organizationId": encode("Organization", departure.organization.id)}
    after = await end_of_log(world)
    async with world.watching(EVENTS, provider, filter=filter_, after=after) as watch:
        for label in "A1", "A2":
            await block(world, departure, label)
            assert (await watch.next())["event"]["type"] == "seats.blocked"
            await world.tables.execute(
                "UPDATE resource SET name = name || '.' WHERE id = $1", departure.resource.id
            )
