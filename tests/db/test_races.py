"""Many callers at once, over the connections of three processes: one winner, no deadlock, nothing half done."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import asyncpg
import pytest

from db import ledger
from domain import gathering
from domain.bookings import Book, CancelBooking
from domain.contact import Contact
from domain.curation import LayoutPlan, SaveOffering, SaveResource
from domain.errors import Refusal, ReservationLimitReached
from domain.holding import BestAvailable, Seats
from domain.ledger import Booking, Reservation
from domain.reservations import ForceRelease, OnReservation
from domain.reserving import Reserve
from domain.viewer import Viewer
from schema.ids import encode
from tests.audit import broken_rules, deadlocks
from tests.onlooker import LABELS, Onlooker, board
from tests.world import Departure, World, new_world

CONTACT = Contact(email="buyer@test.example")
Value = TypeVar("Value")


async def outcome(work: Awaitable[Value]) -> Value | Refusal:
    """What came of it; a Denial, such as that of a deadlock, is none and fails the test."""
    try:
        return await work
    except Refusal as refusal:
        return refusal


def names(outcomes: Sequence[object]) -> Counter[str]:
    """How many of each kind came of it."""
    return Counter(type(each).__name__ for each in outcomes)


@dataclass
class Crowd:
    """Callers spread over several processes, each guest of an address of their own: one queues for no other."""

    worlds: Sequence[World]
    came: int = 0

    @property
    def world(self) -> World:
        """The next process in turn."""
        self.came += 1
        return self.worlds[self.came % len(self.worlds)]

    def guest(self) -> Viewer:
        """Somebody from an address that nobody else has."""
        self.came += 1
        return self.world.guest(f"198.18.{self.came // 250}.{self.came % 250}")

    async def reserve(
        self, schedule_id: UUID, wanted: Sequence[str] | BestAvailable, viewer: Viewer | None = None
    ) -> Reservation | Refusal:
        """One try of one caller."""
        wish = wanted if isinstance(wanted, BestAvailable) else Seats(wanted)
        use = self.world.app.services.reservations
        return await outcome(use.reserve(viewer or self.guest(), Reserve(schedule_id, wish)))

    async def held(self, schedule_id: UUID, *labels: str) -> OnReservation:
        """A new reservation as its guest refers to it."""
        made = await self.reserve(schedule_id, labels)
        assert isinstance(made, Reservation), made
        return OnReservation(made.id, self.world.app.services.guests.token(made.id))

    async def book(self, mine: OnReservation) -> Booking | Refusal:
        """One try to book."""
        return await outcome(self.world.app.services.bookings.book(self.guest(), Book(mine, CONTACT)))

    async def cancel(self, booking: Booking, mine: OnReservation) -> Booking | Refusal:
        """One try to cancel."""
        wish = CancelBooking(booking.id, mine.token)
        return await outcome(self.world.app.services.bookings.cancel(self.guest(), wish))

    async def extend(self, mine: OnReservation) -> Reservation | Refusal:
        """One try to extend."""
        return await outcome(self.world.app.services.reservations.extend(self.guest(), mine))

    async def release(self, mine: OnReservation) -> Reservation | Refusal:
        """One try to give up."""
        return await outcome(self.world.app.services.reservations.release(self.guest(), mine))

    async def force_release(self, staff: Viewer, mine: OnReservation) -> Reservation | Refusal:
        """One try of staff to free it."""
        use = self.world.app.services.reservations
        return await outcome(use.force_release(staff, ForceRelease(mine.id, "stuck")))

    async def sweep(self) -> int:
        """A worker's look at what has run out."""
        return await self.world.app.worker.expiry.sweep()

    async def count(self, table: str) -> int:
        """How many rows there are."""
        counted: int = await self.world.tables.fetchval(f"SELECT count(*) FROM {table}")
        return counted


@asynccontextmanager
async def crowd_of(
    processes: int, connections: int, data_dir: Path, database_url: str, **more: int
) -> AsyncIterator[Crowd]:
    """Callers of several processes. All connections are open before: none races alone for lack of another."""
    pool = {"database_pool_min": connections, "database_pool_max": connections}
    async with AsyncExitStack() as stack:
        yield Crowd(
            [
                await stack.enter_async_context(new_world(data_dir, database_url, **pool, **more))
                for _ in range(processes)
            ]
        )


@asynccontextmanager
async def examined(
    processes: int, connections: int, data_dir: Path, database_url: str
) -> AsyncIterator[Crowd]:
    """The same; what they leave behind is looked into."""
    async with crowd_of(processes, connections, data_dir, database_url) as made:
        yield made
        assert await broken_rules(made.world.tables) == []
    assert await deadlocks(database_url) == 0


@pytest.fixture
async def crowd(data_dir: Path, database_url: str) -> AsyncIterator[Crowd]:
    """Give callers of three processes with thirty connections."""
    async with examined(3, 10, data_dir, database_url) as made:
        yield made


@pytest.fixture
async def few(data_dir: Path, database_url: str) -> AsyncIterator[Crowd]:
    """Give callers of two processes with eight connections."""
    async with examined(2, 4, data_dir, database_url) as made:
        yield made


async def test_the_database_tells_of_deadlocks(database_url: str) -> None:
    """The control of every "no deadlock" here."""
    one, two = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    for connection, number in ((one, 1), (two, 2)):
        await connection.execute("BEGIN")
        await connection.execute(f"SELECT pg_advisory_xact_lock({number})")
    crossed = [one.execute("SELECT pg_advisory_xact_lock(2)"), two.execute("SELECT pg_advisory_xact_lock(1)")]
    broken = await asyncio.gather(*crossed, return_exceptions=True)
    assert sorted(type(each).__name__ for each in broken) == ["DeadlockDetectedError", "str"]
    await one.close()
    await two.close()
    assert await deadlocks(database_url) == 1


@pytest.fixture(params=["gathered", "apart"])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let callers of one process be served together, or as many apart as there are connections."""
    if request.param == "apart":
        monkeypatch.setattr(gathering, "LONG", 0)


@pytest.mark.usefixtures("together")
@pytest.mark.feature("S4.41", "S4.50", "S2.30")
async def test_of_two_hundred_buyers_of_a_seat_one_gets_it(crowd: Crowd) -> None:
    departure = await crowd.world.departure()
    tries = [crowd.reserve(departure.schedule_id, ["A1"]) for _ in range(200)]
    assert names(await asyncio.gather(*tries)) == {"Reservation": 1, "SeatsUnavailable": 199}
    assert await crowd.world.allocations(departure.schedule_id) == {0: "HELD"}
    assert await crowd.count("reservation") == 1


@pytest.mark.usefixtures("together")
@pytest.mark.feature("S4.41", "S4.50")
async def test_of_six_hundred_requests_for_four_of_eight_seats_two_are_met(crowd: Crowd) -> None:
    departure, chance = await crowd.world.departure(seats=8), random.Random(8)
    labels = [f"{row}{column}" for row in "AB" for column in range(1, 5)]
    wishes: list[Sequence[str] | BestAvailable] = [chance.sample(labels, 4) for _ in range(400)]
    wishes += [BestAvailable(4, together=False) for _ in range(200)]
    chance.shuffle(wishes)
    at_once = asyncio.Semaphore(120)  # more than all connections, fewer than would wait too long for one

    async def one_try(wish: Sequence[str] | BestAvailable) -> Reservation | Refusal:
        async with at_once:
            return await crowd.reserve(departure.schedule_id, wish)

    came = await asyncio.gather(*(one_try(wish) for wish in wishes))
    assert names(came) == {"Reservation": 2, "SeatsUnavailable": 598}
    assert sorted(seat for each in came if isinstance(each, Reservation) for seat in each.seats) == [
        *range(8)
    ]


@pytest.mark.feature("S4.41", "S4.50")
async def test_of_buyers_of_an_expired_hold_one_gets_each_seat_with_no_sweeper(crowd: Crowd) -> None:
    for _ in range(8):
        departure = await crowd.world.departure()
        stale = await crowd.held(departure.schedule_id, "A1", "A2", "A3")
        assert stale.id is not None
        await crowd.world.age(stale.id, timedelta(hours=1))
        wishes = [["A1"], ["A3", "A2"], ["A2", "A1"], ["A4", "A3"]] * 5
        came = await asyncio.gather(*(crowd.reserve(departure.schedule_id, wish) for wish in wishes))
        taken = Counter(seat for each in came if isinstance(each, Reservation) for seat in each.seats)
        assert taken
        assert set(taken.values()) == {1}
        assert names(came).keys() == {"Reservation", "SeatsUnavailable"}


async def end_in(crowd: Crowd, mine: OnReservation, milliseconds: float) -> None:
    """Let a hold run out so many milliseconds from now, by the database's clock."""
    await crowd.world.tables.execute(
        "WITH ending AS (SELECT clock_timestamp() + $2::interval AS at),"
        " moved AS (UPDATE reservation SET expires_at = at FROM ending WHERE id = $1)"
        " UPDATE allocation SET held_until = at FROM ending WHERE reservation_id = $1",
        mine.id,
        timedelta(milliseconds=milliseconds),
    )


@pytest.mark.feature("S4.50", "S4.13")
async def test_booking_at_the_instant_of_expiry_gives_the_seats_to_one_side(crowd: Crowd) -> None:
    departure, chance, sides = await crowd.world.departure(), random.Random(4), Counter[str]()

    async def one_round(label: str) -> None:
        mine = await crowd.held(departure.schedule_id, label)
        await end_in(crowd, mine, chance.uniform(0, 25))
        others = [crowd.reserve(departure.schedule_id, [label]) for _ in range(3)]
        booked, _, *came = await asyncio.gather(crowd.book(mine), crowd.sweep(), *others)
        again = await crowd.book(mine)
        winners = [each for each in came if isinstance(each, Reservation)]
        side = type(booked).__name__
        assert type(again) is type(booked)
        assert len(winners) <= (side == "ReservationExpired")
        sides[side] += 1

    labels = [f"{row}{column}" for row in "ABCDEFGHIJ" for column in range(1, 5)]
    for start in range(0, len(labels), 4):
        await asyncio.gather(*(one_round(label) for label in labels[start : start + 4]))
    assert sides.keys() == {"Booking", "ReservationExpired"}, sides


Race = Callable[[Crowd, Departure, OnReservation], Sequence[Awaitable[object]]]

# What races with what, and every pair of outcomes there may be.
DUELS: dict[str, tuple[Race, set[tuple[str, str]]]] = {
    "release and book": (
        lambda crowd, _, mine: [crowd.release(mine), crowd.book(mine)],
        {("Reservation", "ReservationExpired"), ("PolicyViolation", "Booking")},
    ),
    "force-release and book": (
        lambda crowd, departure, mine: [crowd.force_release(departure.staff, mine), crowd.book(mine)],
        {("Reservation", "ReservationExpired"), ("PolicyViolation", "Booking")},
    ),
    "extend and book": (
        lambda crowd, _, mine: [crowd.extend(mine), crowd.book(mine)],
        {("Reservation", "Booking"), ("PolicyViolation", "Booking")},
    ),
    "extend and release": (
        lambda crowd, _, mine: [crowd.extend(mine), crowd.release(mine)],
        {("Reservation", "Reservation"), ("ReservationExpired", "Reservation")},
    ),
    "release and force-release": (
        lambda crowd, departure, mine: [crowd.release(mine), crowd.force_release(departure.staff, mine)],
        {("Reservation", "Reservation")},
    ),
}


@pytest.mark.feature("S4.50", "S4.12", "S4.13", "S4.24")
@pytest.mark.parametrize("duel", DUELS)
async def test_of_two_who_change_one_reservation_at_once_each_gets_a_true_answer(
    few: Crowd, duel: str
) -> None:
    race, possible = DUELS[duel]
    departure, seen = await few.world.departure(), Counter[tuple[str, ...]]()

    async def one_round(number: int, label: str) -> None:
        mine = await few.held(departure.schedule_id, label)
        rivals = [asyncio.ensure_future(each) for each in race(few, departure, mine)]
        await asyncio.gather(*(reversed(rivals) if number % 2 else rivals))
        seen[tuple(type(rival.result()).__name__ for rival in rivals)] += 1

    labels = [f"{row}{column}" for row in "ABCDE" for column in range(1, 5)]
    await asyncio.gather(*(one_round(number, label) for number, label in enumerate(labels)))
    assert seen.keys() <= possible, seen


@pytest.mark.feature("S4.13")
async def test_of_twenty_who_book_one_reservation_all_get_the_one_booking(few: Crowd) -> None:
    departure = await few.world.departure()
    mine = await few.held(departure.schedule_id, "A1", "A2")
    came = await asyncio.gather(*(few.book(mine) for _ in range(20)))
    assert names(came) == {"Booking": 20}
    assert len({(each.id, each.reference) for each in came if isinstance(each, Booking)}) == 1
    assert await few.count("booking") == 1
    assert await few.count("event WHERE type = 'booking.confirmed'") == 1


@pytest.mark.feature("S4.16")
async def test_of_twenty_who_cancel_one_booking_one_does_and_all_hear_of_it(few: Crowd) -> None:
    departure = await few.world.departure()
    mine = await few.held(departure.schedule_id, "A1", "A2")
    booking = await few.book(mine)
    assert isinstance(booking, Booking)
    came = await asyncio.gather(*(few.cancel(booking, mine) for _ in range(20)))
    assert {(each.status, each.version) for each in came if isinstance(each, Booking)} == {("CANCELLED", 2)}
    assert names(came) == {"Booking": 20}
    assert await few.count("event WHERE type = 'booking.cancelled'") == 1
    assert await few.world.allocations(departure.schedule_id) == {}


async def test_cancelling_and_the_next_buyers_never_leave_a_seat_to_two(few: Crowd) -> None:
    departure = await few.world.departure()
    for label in ("A1", "A2", "A3", "A4"):
        mine = await few.held(departure.schedule_id, label)
        booking = await few.book(mine)
        assert isinstance(booking, Booking)
        buyers = [few.reserve(departure.schedule_id, [label]) for _ in range(12)]
        _, *came = await asyncio.gather(few.cancel(booking, mine), *buyers)
        assert names(came)["Reservation"] <= 1
        await few.reserve(departure.schedule_id, [label])
    assert set((await few.world.allocations(departure.schedule_id)).values()) == {"HELD"}


async def test_watchers_of_a_storm_end_with_what_the_table_has(crowd: Crowd) -> None:
    """Callers of three processes at eight seats; the watchers, in one of them, are at times cut off."""
    departure, chance = await crowd.world.departure(seats=8), random.Random(5)
    today = datetime.now(UTC).date()
    days = {"from": str(today), "to": str(today + timedelta(days=10))}
    resource = {"resourceId": encode("Resource", departure.resource.id), **days}
    targets: list[dict[str, object]] = [{"scheduleId": departure.id}, {"resource": resource}]
    steady = [Onlooker(crowd.worlds[0], target) for target in targets]
    cut_off = [Onlooker(crowd.worlds[0], target) for target in targets]

    async def customer() -> None:
        for _ in range(8):
            made = await crowd.reserve(departure.schedule_id, chance.sample(LABELS, chance.randint(1, 3)))
            if isinstance(made, Reservation):
                mine = OnReservation(made.id, crowd.world.app.services.guests.token(made.id))
                await chance.choice([crowd.extend, crowd.release, crowd.book])(mine)
                booked = await crowd.book(mine)
                if isinstance(booked, Booking):
                    await crowd.cancel(booked, mine)

    for onlooker in steady + cut_off:
        await onlooker.look({departure.id: 0})
    for _ in range(3):
        await asyncio.gather(*(customer() for _ in range(12)))
        (now,) = await board(crowd.world, [departure.id])
        for onlooker in cut_off:
            await onlooker.look({departure.id: now["version"]})
            await onlooker.cut()
    rows = await board(crowd.world, [departure.id])
    assert rows[0]["version"] > 50
    for onlooker in steady + cut_off:
        await onlooker.look({departure.id: rows[0]["version"]})
        onlooker.must_agree_with(rows)
        await onlooker.cut()


@pytest.mark.feature("S3.42")
@pytest.mark.parametrize("signed_in", [True, False], ids=["an account", "the guests of one address"])
async def test_parallel_requests_on_different_schedules_do_not_pass_the_limit(
    data_dir: Path, database_url: str, signed_in: bool
) -> None:
    limits = {"max_active_reservations": 3, "max_active_reservations_per_address": 3}
    async with crowd_of(2, 6, data_dir, database_url, **limits) as crowd:
        departures = [await crowd.world.departure() for _ in range(12)]
        caller = await crowd.world.person() if signed_in else crowd.world.guest("192.0.2.7")
        tries = [crowd.reserve(each.schedule_id, ["A1"], caller) for each in departures]
        came = await asyncio.gather(*tries)
        assert names(came) == {"Reservation": 3, "ReservationLimitReached": 9}
        first_to_end = min(each.expires_at for each in came if isinstance(each, Reservation))
        refused = [each for each in came if isinstance(each, ReservationLimitReached)]
        assert {(each.limit, each.retry_at) for each in refused} == {(3, first_to_end)}
        assert await broken_rules(crowd.world.tables) == []


async def test_of_many_who_save_one_thing_each_is_a_step_in_the_order_of_the_log(crowd: Crowd) -> None:
    departure = await crowd.world.departure()
    staff, offering, resource = departure.staff, departure.offering, departure.resource
    again = SaveOffering(offering.id, offering.organization_id, offering.name, offering.mode, offering.price)
    moved = SaveResource(
        resource.id, resource.organization_id, resource.kind, resource.name, "UTC", LayoutPlan(10, 4, 2)
    )
    saves = [crowd.world.app.services.curation.save_offering(staff, again) for _ in range(25)]
    others = [crowd.world.app.services.curation.save_resource(staff, moved) for _ in range(25)]
    offerings, resources = await asyncio.gather(asyncio.gather(*saves), asyncio.gather(*others))
    assert sorted(each.version for each in offerings) == [*range(2, 27)]
    assert sorted(each.version for each in resources) == [*range(2, 27)]


async def take_the_guards_off(pool: asyncpg.Pool, patch: pytest.MonkeyPatch) -> None:
    """Leave of it all what a naive program does: look, then insert."""
    defined: str = await pool.fetchval("SELECT pg_get_functiondef('lock_schedules'::regproc)")
    for lock in ("PERFORM pg_advisory_xact_lock(place);", "FOR NO KEY UPDATE"):
        assert lock in defined
        defined = defined.replace(lock, "")
    await pool.execute(defined)
    await pool.execute("ALTER TABLE allocation DROP CONSTRAINT allocation_pkey")
    await pool.execute("ALTER TABLE event DROP CONSTRAINT event_pkey")
    before, conflict = ledger._HOLD.split("ON CONFLICT")
    patch.setattr(ledger, "_HOLD", before + conflict[conflict.index("RETURNING") :])


@pytest.mark.feature("S4.50")
async def test_with_the_guards_off_the_same_race_oversells(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: were there no guard, these tests would see it."""
    monkeypatch.setattr(gathering, "RUNS", 1_000)
    monkeypatch.setattr(gathering, "CROWD", 1)
    async with crowd_of(3, 10, data_dir, database_url) as crowd:
        await take_the_guards_off(crowd.world.tables, monkeypatch)
        departure = await crowd.world.departure()
        came = await asyncio.gather(*(crowd.reserve(departure.schedule_id, ["A1"]) for _ in range(200)))
        assert names(came)["Reservation"] > 1
        assert {
            "a seat has one holder",
            "the versions of a stream have no gap",
            "everything is at the version that the log tells",
        } <= {*await broken_rules(crowd.world.tables)}
