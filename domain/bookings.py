"""Selling what is held: book, cancel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.access import is_staff
from domain.contact import Contact, checked_contact
from domain.errors import Conflict, InvalidInput, NotFound, PolicyViolation
from domain.events import Event, Stream
from domain.holding import changes, own_states, reservation_event, seats_event
from domain.ids import new_id
from domain.ledger import Booking, BookingStatus, LockedSchedule, Reservation, ReservationStatus
from domain.once import Once
from domain.ports import Transaction
from domain.reference import new_reference
from domain.reservations import OnReservation, Reservations, ended
from domain.seats import SeatStatus
from domain.text import checked_optional_text
from domain.viewer import Viewer

RESERVATION = ("reservationId",)
"""Where the input of ``book`` has it."""


@dataclass(frozen=True, slots=True)
class Book:
    """A wish to turn a reservation into a booking; ``contact`` completes the one given when reserving."""

    reservation: OnReservation
    contact: Contact = Contact()


@dataclass(frozen=True, slots=True)
class CancelBooking:
    """A wish to cancel. ``token`` is a guest's, of the reservation behind the booking."""

    id: UUID | None
    token: str | None = None
    reason: str | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Bookings:
    """The use cases. Each is one transaction, under the lock of the one schedule it concerns."""

    once: Once
    reservations: Reservations

    async def book(self, viewer: Viewer, request: Book, key: str | None = None) -> Booking:
        """Turn a reservation into a booking, once; whoever asks again gets that booking.

        Raises NotFound, ReservationExpired, InvalidInput (a guest gives an e-mail address), IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Booking:
            return await self._book(tx, viewer, request)

        viewer = self.reservations.recognised(viewer, request.reservation)
        return await self.once.run(viewer, "book", request, key, work, found_booking)

    async def cancel(self, viewer: Viewer, request: CancelBooking, key: str | None = None) -> Booking:
        """Cancel a booking and free its seats. Cancelling twice is cancelling once.

        Raises NotFound, PolicyViolation (it has started, and the caller is not staff), Conflict (it is not at the
        version expected), InvalidInput (a long reason), IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Booking:
            await self._recognise(tx, request)
            return await self._cancel(tx, viewer, request)

        async def recall(tx: Transaction, id_: UUID) -> Booking:
            await self._recognise(tx, request)
            return await found_booking(tx, id_)

        return await self.once.run(viewer, "cancelBooking", request, key, work, recall)

    async def _book(self, tx: Transaction, viewer: Viewer, request: Book) -> Booking:
        locked, mine = await self.reservations.mine(tx, viewer, request.reservation, RESERVATION)
        if mine.status is ReservationStatus.CONVERTED:
            return await _booking_of(tx, mine)
        contact = await _contact(tx, mine, request.contact)
        booking = confirmed_booking(mine, mine.account_id or viewer.user_id, contact, locked.at)
        sold = await sell(tx, locked, booking)
        if sold is None:
            raise ended(mine, RESERVATION)
        return sold

    async def _recognise(self, tx: Transaction, request: CancelBooking) -> None:
        """Let a guest act for the reservation behind the booking, whose token they show."""
        if request.id is not None and request.token is not None:
            behind = await tx.ledger.reservation_behind(request.id)
            if behind is not None and self.reservations.guests.admits(request.token, behind):
                await tx.show(behind)

    async def _cancel(self, tx: Transaction, viewer: Viewer, request: CancelBooking) -> Booking:
        reason = checked_optional_text(request.reason, ("reason",))
        found = await tx.ledger.lock_booking(request.id) if request.id else None
        if found is None:
            raise no_such_booking()
        locked, current = found
        staff = await is_staff(tx, viewer, current.organization_id)
        if not (staff or self.owned(viewer, request.token, current)):
            raise no_such_booking()
        if request.expected_version is not None and request.expected_version != current.version:
            raise Conflict(
                f"The booking is at version {current.version}; look at it again before you cancel.",
                ("expectedVersion",),
            )
        if current.status is BookingStatus.CANCELLED:
            return current
        _must_be_cancellable(current, locked, staff=staff)
        cancelled = await tx.ledger.cancel(current.id, locked.at, reason)
        if cancelled is None:
            raise PolicyViolation("This booking cannot be cancelled any more.", ("id",))
        layout = await tx.ledger.layout(locked.terms.layout_id)
        changed = changes(layout, cancelled.seats, SeatStatus.AVAILABLE)
        locked.step(SeatStatus.BOOKED, SeatStatus.AVAILABLE, len(cancelled.seats))
        tx.emit(
            seats_event("seats.freed", locked, changed),
            booking_event("booking.cancelled", cancelled, locked.at, locked.terms.resource_id),
        )
        return cancelled

    def owned(self, viewer: Viewer, token: str | None, booking: Booking) -> bool:
        """Whether the caller is the account that booked, or shows the token of the reservation behind it."""
        if viewer.user_id is not None and viewer.user_id == booking.account_id:
            return True
        return booking.reservation_id is not None and self.reservations.guests.admits(
            token, booking.reservation_id
        )


def _must_be_cancellable(booking: Booking, locked: LockedSchedule, *, staff: bool) -> None:
    if booking.status not in (BookingStatus.PENDING, BookingStatus.CONFIRMED):
        raise PolicyViolation(f"A booking that is {booking.status.value} cannot be cancelled.", ("id",))
    if booking.external_reference is not None and not staff:
        raise PolicyViolation(
            "This was booked at a portal, and stays booked there: cancel it at the portal itself.", ("id",)
        )
    if locked.terms.start <= locked.at and not staff:
        raise PolicyViolation("It has started; ask the organization to cancel it.", ("id",))


async def _contact(tx: Transaction, reservation: Reservation, given: Contact) -> Contact:
    contact = checked_contact(given, ("contact",)).or_else(reservation.contact)
    if contact.email is None and reservation.account_id is not None:
        contact = contact.or_else(await tx.accounts.contact(reservation.account_id))
    if contact.email is None:
        raise InvalidInput(
            "Give an e-mail address, so that the booking can be found again.", ("contact", "email")
        )
    return contact


async def _booking_of(tx: Transaction, reservation: Reservation) -> Booking:
    booking = await tx.ledger.booking_of(reservation.id)
    assert booking is not None  # noqa: S101 - CONVERTED and the booking are one statement
    return booking


def confirmed_booking(
    reservation: Reservation,
    account_id: UUID | None,
    contact: Contact,
    at: datetime,
    external_reference: str | None = None,
) -> Booking:
    """What a reservation is about to become, confirmed ``at`` (UTC); ``external_reference`` is a portal's number."""
    return Booking(
        id=new_id(),
        reference=new_reference(),
        status=BookingStatus.CONFIRMED,
        schedule_id=reservation.schedule_id,
        organization_id=reservation.organization_id,
        reservation_id=reservation.id,
        account_id=account_id,
        seats=reservation.seats,
        total=reservation.total,
        contact=contact,
        created_at=at,
        external_reference=external_reference,
    )


async def sell(tx: Transaction, locked: LockedSchedule, booking: Booking) -> Booking | None:
    """Turn the booking's reservation into it, with the events of it; None where the reservation is over."""
    converted = await tx.ledger.convert(booking)
    if converted is None:
        return None
    layout = await tx.ledger.layout(locked.terms.layout_id)
    changed = changes(layout, booking.seats, SeatStatus.BOOKED)
    locked.step(SeatStatus.HELD, SeatStatus.BOOKED, len(booking.seats))
    tx.emit(
        seats_event("seats.booked", locked, changed),
        reservation_event("reservation.converted", converted, locked.at),
        booking_event("booking.confirmed", booking, locked.at, locked.terms.resource_id),
    )
    return replace(booking, states=own_states(layout, locked, booking.seats, SeatStatus.BOOKED))


async def found_booking(tx: Transaction, booking_id: UUID) -> Booking:
    """The booking of that id. Raises NotFound."""
    found = await tx.ledger.booking(booking_id)
    if found is None:
        raise no_such_booking()
    return found


def no_such_booking() -> NotFound:
    """The answer to an id that is not there, or not the caller's."""
    return NotFound("No such booking, or it is not yours.", ("id",))


def booking_event(type_: str, booking: Booking, at: datetime, resource_id: UUID | None = None) -> Event:
    """A step of a booking's own story."""
    return Event(
        Stream.BOOKING,
        booking.id,
        booking.version,
        type_,
        at,
        {
            "status": booking.status.value,
            "scheduleId": str(booking.schedule_id),
            "seats": len(booking.seats),
        },
        organization_id=booking.organization_id,
        account_id=booking.account_id,
        resource_id=resource_id,
    )
