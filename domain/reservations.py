"""Reserving seats for some minutes: reserve, extend, release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.access import must_be_staff
from domain.contact import Contact, checked_contact
from domain.errors import NotFound, PolicyViolation, Refusal, ReservationExpired
from domain.events import Event, Stream
from domain.guests import Guests
from domain.holding import (
    BestAvailable,
    Seats,
    changes,
    hold_until,
    must_be_extensible,
    must_be_on_sale,
    must_be_under_limit,
    must_find,
    not_free,
    recount,
    seats_event,
    taken_of,
    wanted_seats,
)
from domain.ids import new_id
from domain.ledger import Hold, LockedSchedule, Reservation, ReservationStatus
from domain.once import Once
from domain.ports import Transaction
from domain.seats import SeatLayout, SeatStatus
from domain.text import checked_text
from domain.viewer import Viewer


@dataclass(frozen=True, slots=True)
class ReservationLimits:
    """How many active reservations an account may have, and how many all guests of one address together."""

    per_account: int = 5
    per_guest_address: int = 20

    def of(self, viewer: Viewer) -> int:
        """The limit that counts for this caller."""
        return self.per_account if viewer.signed_in else self.per_guest_address


@dataclass(frozen=True, slots=True)
class Reserve:
    """A wish for seats on one schedule. ``schedule_id`` is None where the caller's id was none of ours."""

    schedule_id: UUID | None
    wanted: Seats | BestAvailable
    contact: Contact = Contact()


@dataclass(frozen=True, slots=True)
class OnReservation:
    """A wish about one reservation, by its owner or by whoever has its token."""

    id: UUID | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class ForceRelease:
    """A wish of staff to end somebody's reservation."""

    id: UUID | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reservations:
    """The use cases. Each is one transaction, under the lock of the one schedule it concerns."""

    once: Once
    guests: Guests
    limits: ReservationLimits

    async def reserve(self, viewer: Viewer, request: Reserve, key: str | None = None) -> Reservation:
        """Hold seats, all or none.

        Raises NotFound, InvalidInput, SeatsUnavailable, ReservationLimitReached, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Reservation:
            return await self._reserve(tx, viewer, request)

        async def recall(tx: Transaction, id_: UUID) -> Reservation:
            await tx.show(id_)  # the key is theirs, and so is what it led to
            return await found_reservation(tx, id_)

        return await self.once.run(viewer, "reserve", request, key, work, recall)

    async def extend(self, viewer: Viewer, request: OnReservation, key: str | None = None) -> Reservation:
        """Start the time of an active reservation anew, at most twice.

        Raises NotFound, ReservationExpired, PolicyViolation, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Reservation:
            mine = await self.mine(tx, viewer, request)
            return await self._extend(tx, mine)

        viewer = self.recognised(viewer, request)
        return await self.once.run(viewer, "extendReservation", request, key, work, found_reservation)

    async def release(self, viewer: Viewer, request: OnReservation, key: str | None = None) -> Reservation:
        """Give the seats back. Releasing twice is releasing once.

        Raises NotFound, ReservationExpired, PolicyViolation (it is a booking by now), IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Reservation:
            mine = await self.mine(tx, viewer, request)
            return await _release(tx, mine)

        viewer = self.recognised(viewer, request)
        return await self.once.run(viewer, "releaseReservation", request, key, work, found_reservation)

    async def force_release(
        self, viewer: Viewer, request: ForceRelease, key: str | None = None
    ) -> Reservation:
        """End anybody's reservation, as staff of its organization.

        Raises NotFound (also for whom it is none of their business), ReservationExpired, PolicyViolation,
        InvalidInput (no reason, or a long one), IdempotencyMismatch.
        """
        reason = checked_text(request.reason, ("reason",))

        async def work(tx: Transaction) -> Reservation:
            found = await tx.ledger.reservation(request.id) if request.id else None
            if found is None:
                raise no_such_reservation()
            await must_be_staff(tx, viewer, found.organization_id, otherwise=no_such_reservation())
            return await _release(tx, found, reason)

        return await self.once.run(viewer, "forceReleaseReservation", request, key, work, found_reservation)

    async def mine(
        self, tx: Transaction, viewer: Viewer, request: OnReservation, path: Sequence[str] = ("id",)
    ) -> Reservation:
        """The reservation if the caller owns it or has its token. Raises NotFound, with ``path``, otherwise."""
        found = await tx.ledger.reservation(request.id) if request.id else None
        if found is None or not self.owned(viewer, request.token, found):
            raise no_such_reservation(path)
        return found

    def recognised(self, viewer: Viewer, request: OnReservation) -> Viewer:
        """The caller, who acts for the reservation if they show its token."""
        if request.id is None or not self.guests.admits(request.token, request.id):
            return viewer
        return viewer.showing(request.id)

    def owned(self, viewer: Viewer, token: str | None, reservation: Reservation) -> bool:
        """Whether the caller is the account that reserved, or shows the reservation's token."""
        if viewer.user_id is not None and viewer.user_id == reservation.account_id:
            return True
        return self.guests.admits(token, reservation.id)

    async def _reserve(self, tx: Transaction, viewer: Viewer, request: Reserve) -> Reservation:
        contact = checked_contact(request.contact, ("contact",))
        terms = await tx.ledger.terms(request.schedule_id) if request.schedule_id else None
        if terms is None:
            raise NotFound("No such schedule.", ("target", "scheduleId"))
        layout = await tx.ledger.layout(terms.layout_id)
        named = wanted_seats(request.wanted, layout, terms.max_seats)
        holder = self.guests.holder(viewer)
        indexes = [seat.index for seat in named] if named is not None else None
        locked = await tx.ledger.lock(terms.schedule_id, indexes, holder=holder)
        must_be_on_sale(terms, locked)
        must_be_under_limit(locked, self.limits.of(viewer))
        if named is not None:
            if taken_of(named, locked):
                raise not_free(named, layout, terms, await tx.ledger.lock(terms.schedule_id, None))
            chosen = named
        else:
            assert isinstance(request.wanted, BestAvailable)  # noqa: S101 - the other kind names its seats
            chosen = must_find(request.wanted, layout, terms, locked)
        hold = Hold(
            id=new_id(),
            terms=terms,
            account_id=viewer.user_id,
            holder=holder,
            seats=[seat.index for seat in chosen],
            total=terms.price.times(len(chosen)),
            at=locked.at,
            expires_at=hold_until(terms.reservation_ttl, terms.start, locked.at),
            contact=contact,
        )
        await tx.ledger.hold(hold)
        _emit_held(tx, hold, layout, locked)
        return _made(hold)

    async def _extend(self, tx: Transaction, mine: Reservation) -> Reservation:
        terms = await tx.ledger.terms(mine.schedule_id)
        assert terms is not None  # noqa: S101 - a reservation's schedule is never removed
        locked = await tx.ledger.lock(mine.schedule_id, mine.seats)
        current = await tx.ledger.reservation(mine.id)
        if current is None or current.status is not ReservationStatus.ACTIVE:
            raise ended(current or mine)
        must_be_extensible(current.extensions_left)
        until = hold_until(current.ttl, terms.start, locked.at)
        extended = await tx.ledger.extend(mine.id, locked.at, until)
        if extended is None:
            raise ended(current)
        layout = await tx.ledger.layout(terms.layout_id)
        changed = changes(layout, extended.seats, SeatStatus.HELD, extended.expires_at)
        tx.emit(
            seats_event("seats.extended", terms, locked, changed, locked.counts),
            reservation_event("reservation.extended", extended, locked.at),
        )
        return extended


async def _release(tx: Transaction, found: Reservation, forced_for: str | None = None) -> Reservation:
    terms = await tx.ledger.terms(found.schedule_id)
    assert terms is not None  # noqa: S101 - a reservation's schedule is never removed
    locked = await tx.ledger.lock(found.schedule_id, found.seats)
    released = await tx.ledger.release(found.id, locked.at, forced_for)
    if released is None:
        current = await tx.ledger.reservation(found.id)
        if current is not None and current.status is ReservationStatus.RELEASED:
            return current
        raise ended(current or found)
    layout = await tx.ledger.layout(terms.layout_id)
    changed = changes(layout, released.seats, SeatStatus.AVAILABLE)
    counts = recount(locked.counts, SeatStatus.HELD, SeatStatus.AVAILABLE, len(released.seats))
    tx.emit(
        seats_event("seats.released", terms, locked, changed, counts),
        reservation_event("reservation.released", released, locked.at, {"forced": forced_for is not None}),
    )
    return released


async def found_reservation(tx: Transaction, reservation_id: UUID) -> Reservation:
    """The reservation of that id. Raises NotFound."""
    found = await tx.ledger.reservation(reservation_id)
    if found is None:
        raise no_such_reservation()
    return found


def no_such_reservation(path: Sequence[str] = ("id",)) -> NotFound:
    """The answer to an id that is not there, or not the caller's."""
    return NotFound("No such reservation, or it is not yours.", path)


def ended(reservation: Reservation, path: Sequence[str] = ("id",)) -> Refusal:
    """Why nothing more can be done with a reservation that is not active."""
    if reservation.status is ReservationStatus.CONVERTED:
        return PolicyViolation("This reservation is a booking by now; cancel the booking.", path)
    return ReservationExpired(
        "This reservation has ended and its seats may be somebody else's; reserve again.",
        path,
        expired_at=reservation.expires_at,
    )


def reservation_event(
    type_: str, reservation: Reservation, at: datetime, data: dict[str, object] | None = None
) -> Event:
    """A step of a reservation's own story."""
    return Event(
        Stream.RESERVATION,
        reservation.id,
        reservation.version,
        type_,
        at,
        {"scheduleId": str(reservation.schedule_id), "seats": len(reservation.seats), **(data or {})},
        organization_id=reservation.organization_id,
        account_id=reservation.account_id,
    )


def _emit_held(tx: Transaction, hold: Hold, layout: SeatLayout, locked: LockedSchedule) -> None:
    terms = hold.terms
    counts = recount(locked.counts, SeatStatus.AVAILABLE, SeatStatus.HELD, len(hold.seats))
    changed = changes(layout, hold.seats, SeatStatus.HELD, hold.expires_at)
    tx.emit(
        seats_event("seats.held", terms, locked, changed, counts),
        reservation_event("reservation.created", _made(hold), hold.at),
    )


def _made(hold: Hold) -> Reservation:
    return Reservation(
        id=hold.id,
        schedule_id=hold.terms.schedule_id,
        organization_id=hold.terms.organization_id,
        account_id=hold.account_id,
        status=ReservationStatus.ACTIVE,
        seats=hold.seats,
        total=hold.total,
        ttl=hold.terms.reservation_ttl,
        created_at=hold.at,
        expires_at=hold.expires_at,
        now=hold.at,
        extensions=0,
        contact=hold.contact,
        version=1,
    )
