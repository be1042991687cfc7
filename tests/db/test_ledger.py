"""The statements under the trade, each by itself: what the database refuses whatever the program believes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from db import ledger
from db.unit_of_work import UnitOfWork
from domain.contact import Contact
from domain.errors import SeatsUnavailable, Unavailable
from domain.ids import new_id
from domain.ledger import Booking, BookingStatus, Hold, Holder, LockedSchedule, Reservation, ReservationStatus
from domain.reference import new_reference
from domain.seats import Allocation, SeatStatus
from tests.audit import trade_tables
from tests.world import Departure, World

TTL = timedelta(minutes=15)
SOMEBODY = b"somebody"


async def hold_of(
    tx: UnitOfWork, schedule_id: UUID, seats: Sequence[int], at: datetime, ttl: timedelta = TTL
) -> Hold:
    """A hold about to be written, whatever has been taken already."""
    terms = await tx.ledger.terms(schedule_id)
    assert terms is not None
    made = Reservation(
        id=new_id(),
        schedule_id=schedule_id,
        organization_id=terms.organization_id,
        account_id=None,
        status=ReservationStatus.ACTIVE,
        seats=seats,
        total=terms.price.times(len(seats)),
        ttl=ttl,
        created_at=at,
        expires_at=at + ttl,
        now=at,
        extensions=0,
        contact=Contact(),
        version=1,
    )
    return Hold(made, SOMEBODY)


async def lock(tx: UnitOfWork, schedule_id: UUID) -> LockedSchedule:
    """A schedule that is there, under its lock."""
    locked = await tx.ledger.lock(schedule_id)
    assert locked is not None
    return locked


async def held(world: World, departure: Departure, seats: Sequence[int], ttl: timedelta = TTL) -> Reservation:
    """A reservation that was written; with a negative ``ttl`` it has run out."""
    async with world.app.database.begin(None) as tx:
        locked = await lock(tx, departure.schedule_id)
        hold = await hold_of(tx, departure.schedule_id, seats, locked.at, ttl)
        await tx.ledger.hold([hold])
        return hold.reservation


def booking_of(held: Reservation, at: datetime) -> Booking:
    """A booking about to be written."""
    return Booking(
        new_id(),
        new_reference(),
        BookingStatus.CONFIRMED,
        held.schedule_id,
        held.organization_id,
        held.id,
        None,
        held.seats,
        held.total,
        Contact(email="buyer@test.example"),
        at,
    )


@pytest.mark.feature("S2.30")
async def test_the_database_knows_one_holder_of_a_seat(world: World) -> None:
    departure = await world.departure()
    await held(world, departure, [0])
    again = "INSERT INTO allocation (schedule_id, seat, status) VALUES ($1, 0, 'BLOCKED')"
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await world.tables.execute(again, departure.schedule_id)
    assert refused.value.constraint_name == "allocation_pkey"


@pytest.mark.feature("S2.30")
async def test_the_database_lets_a_resource_run_one_schedule_at_a_time(world: World) -> None:
    departure = await world.departure()
    copied = (
        "INSERT INTO schedule (id, organization_id, offering_id, resource_id, layout_id, mode, during, starts_at,"
        " local_date, time_zone, price_amount, price_currency, seat_total)"
        " SELECT gen_random_uuid(), organization_id, offering_id, resource_id, layout_id, mode,"
        " tstzrange(upper(during) + $2::interval, upper(during) + interval '2 hours'),"
        " upper(during) + $2::interval, local_date, time_zone, price_amount, price_currency, seat_total"
        " FROM schedule WHERE id = $1"
    )
    with pytest.raises(asyncpg.ExclusionViolationError) as refused:
        await world.tables.execute(copied, departure.schedule_id, timedelta(minutes=-1))
    assert refused.value.constraint_name == "schedule_resource_runs_one_at_a_time"
    await world.tables.execute(copied, departure.schedule_id, timedelta(0))


@pytest.mark.parametrize(
    "half",
    [
        "'HELD', NULL, NULL, NULL",
        "'HELD', now(), NULL, NULL",
        "'BOOKED', NULL, NULL, NULL",
        "'BLOCKED', now(), NULL, NULL",
    ],
)
async def test_the_database_refuses_a_half_written_seat(world: World, half: str) -> None:
    departure = await world.departure()
    insert = f"INSERT INTO allocation VALUES ($1, 0, {half})"
    with pytest.raises(asyncpg.CheckViolationError, match="allocation_is_whole"):
        await world.tables.execute(insert, departure.schedule_id)


async def test_a_hold_on_a_seat_in_other_hands_is_refused_and_undone(world: World) -> None:
    """The guard behind the lock: a program that believed the seat free changes nothing."""
    departure = await world.departure()
    theirs = await held(world, departure, [1])
    before = await trade_tables(world.tables)
    with pytest.raises(SeatsUnavailable):
        async with world.app.database.begin(None) as tx:
            await tx.ledger.hold([await hold_of(tx, departure.schedule_id, [0, 1, 2], theirs.created_at)])
    assert await trade_tables(world.tables) == before


async def test_of_two_holds_that_did_not_look_the_later_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of what was written, the seat is still its first holder's: two guards, one behind another."""
    departure = await world.departure()
    theirs = await held(world, departure, [1])
    monkeypatch.setattr(ledger, "_must_be", lambda *_: None)
    async with world.app.database.begin(None) as tx:
        await tx.ledger.hold([await hold_of(tx, departure.schedule_id, [0, 1], theirs.created_at)])
    owner = "SELECT reservation_id FROM allocation WHERE schedule_id = $1 AND seat = 1"
    assert await world.tables.fetchval(owner, departure.schedule_id) == theirs.id


async def test_a_hold_takes_over_seats_whose_hold_has_run_out(world: World) -> None:
    departure = await world.departure()
    await held(world, departure, [0, 1], timedelta(seconds=-1))
    ours = await held(world, departure, [1, 2])
    rows = await world.tables.fetch("SELECT seat, reservation_id FROM allocation ORDER BY seat")
    assert [row["seat"] for row in rows] == [0, 1, 2]
    assert [row["reservation_id"] == ours.id for row in rows] == [False, True, True]


async def test_the_next_in_line_for_the_lock_sees_what_the_one_before_left(world: World) -> None:
    departure = await world.departure()
    async with world.app.database.begin(None) as tx:
        locked = await lock(tx, departure.schedule_id)

        async def next_in_line() -> tuple[int, set[int]]:
            async with world.app.database.begin(None) as later:
                (seen,) = (
                    await later.ledger.lock_reserving([departure.schedule_id], [], [])
                ).schedules.values()
                return seen.version, seen.taken

        waiting = asyncio.create_task(next_in_line())
        stuck = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(10):
            while not await world.tables.fetchval(stuck):
                pass
        assert not waiting.done()
        await tx.ledger.hold([await hold_of(tx, departure.schedule_id, [4], locked.at)])
    assert await waiting == (locked.version + 1, {4})


async def test_who_waits_too_long_for_the_lock_is_told_to_come_again(world: World) -> None:
    departure = await world.departure()

    async def impatient() -> None:
        async with world.app.database.begin(None) as tx:
            await tx._connection.execute("SET LOCAL lock_timeout = '20ms'")
            await lock(tx, departure.schedule_id)

    async with world.app.database.begin(None) as tx:
        await lock(tx, departure.schedule_id)
        with pytest.raises(Unavailable):
            await impatient()


async def test_the_lock_counts_by_the_clock_what_is_held(world: World) -> None:
    departure = await world.departure(seats=8)
    live = await held(world, departure, [0])
    await held(world, departure, [1, 2], timedelta(seconds=-1))
    async with world.app.database.begin(None) as tx:
        locked = await tx.ledger.lock_reserving([departure.schedule_id], [SOMEBODY, b"another"], [])
        schedule = locked.schedules[departure.schedule_id]
        (allocation,) = await tx.ledger.allocations(departure.schedule_id, schedule.at)
    assert (schedule.counts.available, schedule.counts.held) == (7, 1)
    assert schedule.taken == {0}
    assert allocation == Allocation(0, SeatStatus.HELD, live.expires_at, live.id)
    assert locked.holders == {SOMEBODY: Holder(1, live.expires_at), b"another": Holder()}


async def test_only_a_live_hold_is_extended_released_or_sold(world: World) -> None:
    departure = await world.departure()
    over = await held(world, departure, [0], timedelta(seconds=-1))
    before = await trade_tables(world.tables)
    async with world.app.database.begin(None) as tx:
        assert await tx.ledger.extend(over.id, over.created_at, over.created_at + TTL) is None
        assert await tx.ledger.release(over.id, over.created_at, None) is None
        assert await tx.ledger.convert(booking_of(over, over.created_at)) is None
    assert await trade_tables(world.tables) == before


async def test_a_hold_is_sold_once(world: World) -> None:
    departure = await world.departure()
    mine = await held(world, departure, [0, 1])
    async with world.app.database.begin(None) as tx:
        converted = await tx.ledger.convert(booking_of(mine, mine.created_at))
        assert converted is not None
        assert converted.status is ReservationStatus.CONVERTED
        assert await tx.ledger.convert(booking_of(mine, mine.created_at)) is None
    assert await world.allocations(departure.schedule_id) == {0: "BOOKED", 1: "BOOKED"}
    assert await world.tables.fetchval("SELECT count(*) FROM booking") == 1


async def test_a_booking_whose_seat_went_to_another_fails_as_a_whole(world: World) -> None:
    """Were a seat of a live hold ever lost, the sale would be refused, not made with the seats that are left."""
    departure = await world.departure()
    mine = await held(world, departure, [0, 1])
    await world.tables.execute("DELETE FROM allocation WHERE seat = 1")
    before = await trade_tables(world.tables)
    with pytest.raises(SeatsUnavailable):
        async with world.app.database.begin(None) as tx:
            await tx.ledger.convert(booking_of(mine, mine.created_at))
    assert await trade_tables(world.tables) == before


async def test_a_booking_is_cancelled_once(world: World) -> None:
    departure = await world.departure()
    mine = await held(world, departure, [0])
    booking = booking_of(mine, mine.created_at)
    async with world.app.database.begin(None) as tx:
        await tx.ledger.convert(booking)
        cancelled = await tx.ledger.cancel(booking.id, mine.created_at, "changed plans")
        assert cancelled == replace(
            booking, status=BookingStatus.CANCELLED, cancelled_at=mine.created_at, version=2
        )
        assert await tx.ledger.cancel(booking.id, mine.created_at, None) is None
    assert await world.allocations(departure.schedule_id) == {}


async def test_only_free_seats_are_blocked_and_only_blocked_ones_freed(world: World) -> None:
    departure = await world.departure()
    mine = await held(world, departure, [0])
    with pytest.raises(SeatsUnavailable):
        async with world.app.database.begin(None) as tx:
            await tx.ledger.block(departure.schedule_id, [0, 1], mine.created_at)
    with pytest.raises(SeatsUnavailable):
        async with world.app.database.begin(None) as tx:
            await tx.ledger.unblock(departure.schedule_id, [0])
    assert await world.allocations(departure.schedule_id) == {0: "HELD"}


async def test_sweeping_ends_what_is_due_and_nothing_else(world: World) -> None:
    departure, other = await world.departure(), await world.departure()
    over = await held(world, departure, [0, 1], timedelta(seconds=-1))
    live = await held(world, departure, [1, 2])
    await held(world, other, [0], timedelta(hours=-1))
    async with world.app.database.begin(None) as tx:
        assert await tx.ledger.due(10) == [other.schedule_id, departure.schedule_id]
        assert await tx.ledger.due(1) == [other.schedule_id]
        freed, ended = await tx.ledger.expire(departure.schedule_id, live.created_at)
        assert await tx.ledger.expire(departure.schedule_id, live.created_at) == ([], [])
    assert (freed, [each.id for each in ended]) == ([0], [over.id])
    assert [each.status for each in ended] == [ReservationStatus.EXPIRED]
    assert await world.allocations(departure.schedule_id) == {1: "HELD", 2: "HELD"}


async def test_the_sweeper_knows_how_long_it_may_sleep(world: World) -> None:
    departure = await world.departure()
    async with world.app.database.begin(None) as tx:
        assert await tx.ledger.next_due() is None
    await held(world, departure, [0])
    async with world.app.database.begin(None) as tx:
        left = await tx.ledger.next_due()
        assert left is not None
        assert TTL - timedelta(minutes=1) < left <= TTL
    await held(world, departure, [1], timedelta(hours=-1))
    async with world.app.database.begin(None) as tx:
        assert await tx.ledger.next_due() == timedelta(0)


async def test_what_is_not_there_cannot_be_locked(world: World) -> None:
    async with world.app.database.begin(None) as tx:
        assert await tx.ledger.lock(new_id()) is None
        assert await tx.ledger.lock_reservation(new_id()) is None
        assert await tx.ledger.lock_booking(new_id()) is None
        assert (await tx.ledger.lock_reserving([new_id()], [SOMEBODY], [])).schedules == {}
