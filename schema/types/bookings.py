"""Reservations and bookings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID

import strawberry

from domain import bookings as booking_rules
from domain import catalogue, contact, holding, ledger, seats
from domain import reservations as reservation_rules
from domain.access import may_manage
from domain.reserving import Reserve
from domain.seats import Allocation, SeatLayout, seat_state
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.types.ids import known_id
from schema.types.money import Money
from schema.types.node import Node
from schema.types.refusals import (
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PolicyViolation,
    ReservationExpired,
    ReservationLimitReached,
    SeatsUnavailable,
)
from schema.types.schedules import Schedule
from schema.types.seats import SeatState

if TYPE_CHECKING:
    from schema.types.automation import AutomationJob

Job = Annotated["AutomationJob", strawberry.lazy("schema.types.automation")]

ReservationStatus = ledger.ReservationStatus
strawberry.enum(ReservationStatus, description="Where a reservation stands.")
BookingStatus = ledger.BookingStatus
strawberry.enum(BookingStatus, description="Where a booking stands.")


@strawberry.type
class Contact:
    """How to reach the customer."""

    name: str | None
    email: str | None
    phone: str | None

    @classmethod
    def of(cls, value: contact.Contact) -> Self:
        """From the trade's value."""
        return cls(name=value.name, email=value.email, phone=value.phone)


@strawberry.type
class Booking(Node):
    """Seats that were sold."""

    reference: str = strawberry.field(description="Not guessable, easy to read aloud.")
    status: BookingStatus
    total: Money
    created_at: datetime
    cancelled_at: datetime | None
    version: int
    external_reference: str | None = strawberry.field(description="Where a portal booked it for us.")
    value: strawberry.Private[ledger.Booking]
    own: strawberry.Private[bool]

    @batched
    @staticmethod
    async def schedule(bookings: Sequence[Booking], context: Context) -> list[Schedule]:
        """What was booked."""
        return await context.load.schedule.each([one.value.schedule_id for one in bookings], Schedule.of)

    @batched
    @staticmethod
    async def seats(bookings: Sequence[Booking], context: Context) -> list[list[SeatState]]:
        """The booked seats as they are now."""
        return await _seats(bookings, context)

    @batched
    @staticmethod
    async def automation_job(bookings: Sequence[Booking], context: Context) -> list[Job | None]:
        """The job that made it at a portal, for its owner and staff of the portal's organization."""
        from schema.types.automation import AutomationJob  # which tells of bookings

        found = await context.load.job_of.many([one.value.id for one in bookings])
        user, roles = context.viewer.user_id, await context.roles() if any(found) else {}
        return [
            AutomationJob.of(job, own=job.account_id == user)
            if job and (job.account_id == user or may_manage(roles.get(job.organization_id)))
            else None
            for job in found
        ]

    @strawberry.field
    def contact(self) -> Contact:
        """How to reach the customer."""
        return Contact.of(self.value.contact)

    @classmethod
    def of(cls, value: ledger.Booking, *, own: bool) -> Self:
        """From the trade's value; ``own`` if it is the caller's."""
        return cls(
            id=strawberry.ID(encode("Booking", value.id)),
            reference=value.reference,
            status=value.status,
            total=Money.of(value.total),
            created_at=value.created_at,
            cancelled_at=value.cancelled_at,
            version=value.version,
            external_reference=value.external_reference,
            value=value,
            own=own,
        )


@strawberry.type
class Reservation(Node):
    """Seats that are held for some minutes."""

    status: ReservationStatus
    total: Money
    created_at: datetime
    expires_at: datetime = strawberry.field(
        description="expiresAt and serverNow together give a countdown that does not trust the client's clock."
    )
    server_now: datetime
    extensions_left: int
    token: str | None = strawberry.field(
        description="For a guest: the secret that stands for the owner. Given once, when the reservation is made."
    )
    value: strawberry.Private[ledger.Reservation]
    own: strawberry.Private[bool]

    @batched
    @staticmethod
    async def schedule(reservations: Sequence[Reservation], context: Context) -> list[Schedule]:
        """What is reserved."""
        ids = [one.value.schedule_id for one in reservations]
        return await context.load.schedule.each(ids, Schedule.of)

    @batched
    @staticmethod
    async def seats(reservations: Sequence[Reservation], context: Context) -> list[list[SeatState]]:
        """The reserved seats as they are now."""
        return await _seats(reservations, context)

    @batched
    @staticmethod
    async def booking(reservations: Sequence[Reservation], context: Context) -> list[Booking | None]:
        """What it became."""
        found = await context.load.booking_of.many([one.value.id for one in reservations])
        return [
            Booking.of(booking, own=one.own) if booking else None
            for one, booking in zip(reservations, found, strict=True)
        ]

    @classmethod
    def of(cls, value: ledger.Reservation, *, own: bool, token: str | None = None) -> Self:
        """From the trade's value; ``own`` if it is the caller's, ``token`` only where it was just made."""
        return cls(
            id=strawberry.ID(encode("Reservation", value.id)),
            status=value.status,
            total=Money.of(value.total),
            created_at=value.created_at,
            expires_at=value.expires_at,
            server_now=value.now,
            extensions_left=value.extensions_left,
            token=token,
            value=value,
            own=own,
        )


async def _seats(owned: Sequence[Reservation | Booking], context: Context) -> list[list[SeatState]]:
    if all(one.value.states for one in owned):  # as who has just changed them left them
        return [SeatState.all_of(one.value.states) for one in owned]
    ids = [one.value.schedule_id for one in owned]
    schedules = await context.load.schedule.each(ids, lambda schedule: schedule)
    layouts = await context.load.layout.each([one.layout_id for one in schedules], lambda layout: layout)
    taken = await context.load.taken.many(ids)
    return [
        SeatState.all_of(_states(one.value, schedule, layout, seats or (), own=one.own))
        for one, schedule, layout, seats in zip(owned, schedules, layouts, taken, strict=True)
    ]


def _states(
    of: ledger.Reservation | ledger.Booking,
    schedule: catalogue.Schedule,
    layout: SeatLayout,
    taken: Sequence[Allocation],
    *,
    own: bool,
) -> list[seats.SeatState]:
    here = {allocation.seat: allocation for allocation in taken if allocation.seat in of.seats}
    return [
        seat_state(
            layout.seats[seat],
            here.get(seat),
            schedule.price,
            lambda a: own and of.id in (a.reservation_id, a.booking_id),
        )
        for seat in of.seats
    ]


@strawberry.input
class ContactInput:
    """How to reach the customer."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None

    def value(self) -> contact.Contact:
        """As the trade's value."""
        return contact.Contact(self.name, self.email, self.phone)


@strawberry.input
class SeatsTarget:
    """Exactly these seats."""

    schedule_id: strawberry.ID
    labels: list[str]


@strawberry.input
class BestAvailableTarget:
    """The best that are free."""

    schedule_id: strawberry.ID
    count: int
    together: bool = True
    category: str | None = None


@strawberry.input(one_of=True, description="Exactly one way to say what is wanted.")
class ReserveTarget:
    """What is wanted."""

    seats: strawberry.Maybe[SeatsTarget]
    best_available: strawberry.Maybe[BestAvailableTarget]

    def value(self) -> tuple[UUID | None, holding.Seats | holding.BestAvailable]:
        """The schedule's id (None if it is none of ours) and the wish, as the trade's values."""
        if self.seats:
            seats = self.seats.value
            return known_id(seats.schedule_id, "Schedule"), holding.Seats(seats.labels)
        assert self.best_available  # noqa: S101 - exactly one is given
        best = self.best_available.value
        wish = holding.BestAvailable(best.count, best.together, best.category)
        return known_id(best.schedule_id, "Schedule"), wish


@strawberry.input
class ReserveInput:
    """A wish for seats."""

    target: ReserveTarget
    contact: ContactInput | None = None
    idempotency_key: str | None = None

    def value(self) -> Reserve:
        """As the trade's value."""
        schedule_id, wanted = self.target.value()
        given = self.contact.value() if self.contact else contact.Contact()
        return Reserve(schedule_id, wanted, given)


@strawberry.input
class ExtendReservationInput:
    """Which reservation, and a guest's token for it."""

    id: strawberry.ID
    token: str | None = None
    idempotency_key: str | None = None

    def value(self) -> reservation_rules.OnReservation:
        """As the trade's value."""
        return reservation_rules.OnReservation(known_id(self.id, "Reservation"), self.token)


@strawberry.input
class ReleaseReservationInput(ExtendReservationInput):
    """Which reservation, and a guest's token for it."""


@strawberry.input
class ForceReleaseInput:
    """Which reservation, and why."""

    id: strawberry.ID
    reason: str
    idempotency_key: str | None = None

    def value(self) -> reservation_rules.ForceRelease:
        """As the trade's value."""
        return reservation_rules.ForceRelease(known_id(self.id, "Reservation"), self.reason)


@strawberry.input
class BookInput:
    """Which reservation, and how to reach the customer."""

    reservation_id: strawberry.ID
    token: str | None = None
    contact: ContactInput | None = None
    idempotency_key: str | None = None

    def value(self) -> booking_rules.Book:
        """As the trade's value."""
        on = reservation_rules.OnReservation(known_id(self.reservation_id, "Reservation"), self.token)
        return booking_rules.Book(on, self.contact.value() if self.contact else contact.Contact())


@strawberry.input
class CancelBookingInput:
    """Which booking, and a guest's token of the reservation it came from."""

    id: strawberry.ID
    token: str | None = None
    reason: str | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None

    def value(self) -> booking_rules.CancelBooking:
        """As the trade's value."""
        return booking_rules.CancelBooking(
            known_id(self.id, "Booking"), self.token, self.reason, self.expected_version
        )


@strawberry.input
class BookingFilter:
    """Which bookings; without an organization, the caller's own."""

    status: list[BookingStatus] | None = None
    organization_id: strawberry.ID | None = None
    from_: datetime | None = strawberry.field(default=None, name="from")
    to: datetime | None = None


ReserveResult = Annotated[
    Reservation | SeatsUnavailable | ReservationLimitReached | InvalidInput | NotFound | IdempotencyMismatch,
    strawberry.union("ReserveResult"),
]
ReservationResult = Annotated[
    Reservation | ReservationExpired | PolicyViolation | NotFound | IdempotencyMismatch,
    strawberry.union("ReservationResult"),
]
BookResult = Annotated[
    Booking | ReservationExpired | InvalidInput | NotFound | IdempotencyMismatch,
    strawberry.union("BookResult"),
]
CancelResult = Annotated[
    Booking | PolicyViolation | Conflict | NotFound | IdempotencyMismatch, strawberry.union("CancelResult")
]
