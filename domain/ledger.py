"""Who has which seat: reservations, bookings, and the port through which they change under a schedule's lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.catalogue import Terms
from domain.contact import Contact
from domain.idempotency import UsedKey
from domain.money import Money
from domain.seats import Allocation, SeatCounts, SeatLayout, SeatState, SeatStatus, recount

MAX_EXTENSIONS = 2


class ReservationStatus(StrEnum):
    """Where a reservation stands; one whose time is over is EXPIRED, whether anybody has noted it or not."""

    ACTIVE = "ACTIVE"
    CONVERTED = "CONVERTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class BookingStatus(StrEnum):
    """Where a booking stands."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    NO_SHOW = "NO_SHOW"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Seats (indexes, ascending) held until ``expires_at``; ``now`` is the database's clock when it was read.

    ``states`` are the states of its seats as the change left them, where its owner has just changed it; else none.
    """

    id: UUID
    schedule_id: UUID
    organization_id: UUID
    account_id: UUID | None
    status: ReservationStatus
    seats: Sequence[int]
    total: Money
    ttl: timedelta
    created_at: datetime
    expires_at: datetime
    now: datetime
    extensions: int
    contact: Contact
    version: int
    states: Sequence[SeatState] = field(default=(), compare=False, repr=False)

    @property
    def extensions_left(self) -> int:
        """How often it can still be extended."""
        return max(0, MAX_EXTENSIONS - self.extensions) if self.status is ReservationStatus.ACTIVE else 0


@dataclass(frozen=True, slots=True)
class Booking:
    """Seats (indexes, ascending) sold to somebody. ``reference`` is what they read aloud; ``states`` as above."""

    id: UUID
    reference: str
    status: BookingStatus
    schedule_id: UUID
    organization_id: UUID
    reservation_id: UUID | None
    account_id: UUID | None
    seats: Sequence[int]
    total: Money
    contact: Contact
    created_at: datetime
    cancelled_at: datetime | None = None
    external_reference: str | None = None
    version: int = 1
    states: Sequence[SeatState] = field(default=(), compare=False, repr=False)


@dataclass(slots=True)
class LockedSchedule:
    """A schedule as it stands under its lock: nobody else changes it until the transaction ends.

    ``at`` (UTC) is the instant by which this transaction judges; ``taken`` are the indexes of the seats that are not
    free at it, where the lock was asked for them. It follows what the transaction decides, so that the next decision
    finds what the one before will leave.
    """

    terms: Terms
    version: int
    on_sale: bool
    at: datetime
    counts: SeatCounts
    taken: set[int] = field(default_factory=set)
    allocations: dict[int, Allocation] = field(default_factory=dict)

    def step(self, before: SeatStatus, after: SeatStatus, seats: int) -> None:
        """Go on from the next version, in which so many seats have gone from one status to another."""
        self.version += 1
        self.counts = recount(self.counts, before, after, seats)

    def hold(self, hold: Hold) -> None:
        """Go on from the version in which these seats are held."""
        reservation = hold.reservation
        self.step(SeatStatus.AVAILABLE, SeatStatus.HELD, len(reservation.seats))
        self.taken.update(reservation.seats)
        for seat in reservation.seats:
            self.allocations[seat] = Allocation(seat, SeatStatus.HELD, reservation.expires_at, reservation.id)


@dataclass(slots=True)
class Holder:
    """A caller under the lock of those who reserve: ``active`` reservations, the first of which ends at ``free_at``."""

    active: int = 0
    free_at: datetime | None = None

    def hold(self, hold: Hold) -> None:
        """Go on with one reservation more."""
        ends = hold.reservation.expires_at
        self.active += 1
        self.free_at = min(self.free_at or ends, ends)


@dataclass(frozen=True, slots=True)
class Locked:
    """All that several reservations depend on, under its locks; whoever holds nothing yet is not among ``holders``."""

    schedules: Mapping[UUID, LockedSchedule]
    holders: dict[bytes, Holder]
    uses: dict[tuple[bytes, str], UsedKey]


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation about to be written; ``holder`` is what its caller is counted by."""

    reservation: Reservation
    holder: bytes


class Ledger(Protocol):
    """Seats, reservations and bookings. Each write is one statement, which applies whole or fails the transaction."""

    async def terms(self, schedule_id: UUID) -> Terms | None:
        """What reserving needs to know of a schedule, or None if there is none."""

    async def layout(self, layout_id: UUID) -> SeatLayout:
        """A seat layout by its id; layouts never change."""

    async def layouts(self, ids: Collection[UUID]) -> Mapping[UUID, SeatLayout]:
        """Several seat layouts, by their ids."""

    async def lock(self, schedule_id: UUID) -> LockedSchedule | None:
        """Lock a schedule and count its seats; None if there is none."""

    async def lock_reservation(self, reservation_id: UUID) -> tuple[LockedSchedule, Reservation] | None:
        """Lock the schedule of a reservation, and read that as the last owner of the lock left it."""

    async def lock_booking(self, booking_id: UUID) -> tuple[LockedSchedule, Booking] | None:
        """Lock the schedule of a booking, and read that as the last owner of the lock left it."""

    async def lock_reserving(
        self, schedules: Collection[UUID], holders: Collection[bytes], keys: Collection[tuple[bytes, str]]
    ) -> Locked:
        """Claim the keys (scope, key), lock the holders, then the schedules, and read what was left of each."""

    async def allocations(self, schedule_id: UUID, at: datetime) -> Sequence[Allocation]:
        """The seats of a schedule that are not free at ``at``."""

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Write reservations, all decided at one instant, and take their seats over from nobody or expired holds.

        Bumps each schedule once for each.
        """

    async def reservation(self, reservation_id: UUID) -> Reservation | None:
        """A reservation as it is now, or None."""

    async def extend(self, reservation_id: UUID, at: datetime, expires_at: datetime) -> Reservation | None:
        """Move the end of an active reservation that has not ended at ``at``; None if there is none. Bumps."""

    async def release(self, reservation_id: UUID, at: datetime, reason: str | None) -> Reservation | None:
        """End an active reservation that has not ended at ``at`` and free its seats; None if there is none. Bumps."""

    async def convert(self, booking: Booking) -> Reservation | None:
        """Turn the booking's reservation into it, once; None unless it is active at ``booking.created_at``. Bumps."""

    async def booking(self, booking_id: UUID) -> Booking | None:
        """A booking as it is now, or None."""

    async def reservation_behind(self, booking_id: UUID) -> UUID | None:
        """The id of the reservation that became a booking, whoever asks, or None."""

    async def booking_of(self, reservation_id: UUID) -> Booking | None:
        """The booking a reservation became, or None."""

    async def cancel(self, booking_id: UUID, at: datetime, reason: str | None) -> Booking | None:
        """Cancel a confirmed booking and free its seats; None if it is not confirmed. Bumps."""

    async def block(self, schedule_id: UUID, seats: Sequence[int], at: datetime) -> None:
        """Block seats that are free at ``at``. Bumps."""

    async def unblock(self, schedule_id: UUID, seats: Sequence[int]) -> None:
        """Free blocked seats. Bumps."""

    async def due(self, limit: int) -> Sequence[UUID]:
        """Schedules with reservations whose time is over, the longest overdue first."""

    async def expire(self, schedule_id: UUID, at: datetime) -> tuple[Sequence[int], Sequence[Reservation]]:
        """End the schedule's reservations due at ``at``: the seats that became free, the reservations ended.

        Bumps the schedule if a seat became free.
        """

    async def next_due(self) -> timedelta | None:
        """How long until the next reservation runs out (zero if overdue), or None if none is active."""
