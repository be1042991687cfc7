"""Reserving seats for some minutes: reserve, extend, release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.access import must_be_staff
from domain.errors import NotFound, PolicyViolation, Refusal, ReservationExpired
from domain.guests import Guests
from domain.holding import (
    changes,
    hold_until,
    must_be_extensible,
    own_states,
    reservation_event,
    seats_event,
)
from domain.ledger import LockedSchedule, Reservation, ReservationStatus
from domain.once import Once
from domain.ports import Transaction
from domain.reserving import Reserve, Reserving
from domain.seats import SeatStatus
from domain.text import checked_text
from domain.viewer import Viewer


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
    reserving: Reserving

    async def reserve(self, viewer: Viewer, request: Reserve, key: str | None = None) -> Reservation:
        """Hold seats, all or none.

        Raises NotFound, InvalidInput, SeatsUnavailable, ReservationLimitReached, IdempotencyMismatch.
        """
        return await self.reserving.reserve(viewer, request, key)

    async def extend(self, viewer: Viewer, request: OnReservation, key: str | None = None) -> Reservation:
        """Start the time of an active reservation anew, at most twice.

        Raises NotFound, ReservationExpired, PolicyViolation, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Reservation:
            return await _extend(tx, *await self.mine(tx, viewer, request))

        viewer = self.recognised(viewer, request)
        return await self.once.run(viewer, "extendReservation", request, key, work, found_reservation)

    async def release(self, viewer: Viewer, request: OnReservation, key: str | None = None) -> Reservation:
        """Give the seats back. Releasing twice is releasing once.

        Raises NotFound, ReservationExpired, PolicyViolation (it is a booking by now), IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Reservation:
            return await _release(tx, *await self.mine(tx, viewer, request))

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
            found = await tx.ledger.lock_reservation(request.id) if request.id else None
            if found is None:
                raise no_such_reservation()
            locked, reservation = found
            await must_be_staff(tx, viewer, reservation.organization_id, otherwise=no_such_reservation())
            return await _release(tx, locked, reservation, reason)

        return await self.once.run(viewer, "forceReleaseReservation", request, key, work, found_reservation)

    async def mine(
        self, tx: Transaction, viewer: Viewer, request: OnReservation, path: Sequence[str] = ("id",)
    ) -> tuple[LockedSchedule, Reservation]:
        """The reservation, under its schedule's lock, if the caller owns it or has its token.

        Raises NotFound, with ``path``, otherwise.
        """
        found = await tx.ledger.lock_reservation(request.id) if request.id else None
        if found is None or not self.owned(viewer, request.token, found[1]):
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


async def _extend(tx: Transaction, locked: LockedSchedule, mine: Reservation) -> Reservation:
    if mine.status is not ReservationStatus.ACTIVE:
        raise ended(mine)
    must_be_extensible(mine.extensions_left)
    until = hold_until(mine.ttl, locked.terms.start, locked.at)
    extended = await tx.ledger.extend(mine.id, locked.at, until)
    if extended is None:
        raise ended(mine)
    layout = await tx.ledger.layout(locked.terms.layout_id)
    changed = changes(layout, extended.seats, SeatStatus.HELD, extended.expires_at)
    locked.step(SeatStatus.HELD, SeatStatus.HELD, len(extended.seats))
    tx.emit(
        seats_event("seats.extended", locked, changed),
        reservation_event("reservation.extended", extended, locked.at),
    )
    states = own_states(layout, locked, extended.seats, SeatStatus.HELD, extended.expires_at)
    return replace(extended, states=states)


async def _release(
    tx: Transaction, locked: LockedSchedule, found: Reservation, forced_for: str | None = None
) -> Reservation:
    if found.status is ReservationStatus.RELEASED:
        return found
    released = await tx.ledger.release(found.id, locked.at, forced_for)
    if released is None:
        raise ended(found)
    layout = await tx.ledger.layout(locked.terms.layout_id)
    changed = changes(layout, released.seats, SeatStatus.AVAILABLE)
    locked.step(SeatStatus.HELD, SeatStatus.AVAILABLE, len(released.seats))
    tx.emit(
        seats_event("seats.released", locked, changed),
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
