"""The rules of taking seats, as pure functions over a schedule under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.best_available import best_available
from domain.errors import InvalidInput, PolicyViolation, ReservationLimitReached, SeatsUnavailable
from domain.events import Event, SeatChange, Stream, seats_data
from domain.ledger import Holder, LockedSchedule, Reservation
from domain.seats import Seat, SeatLayout, SeatState, SeatStatus, seats_of

MAX_ALTERNATIVES = 5


@dataclass(frozen=True, slots=True)
class Seats:
    """Exactly these seats, by label."""

    labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class BestAvailable:
    """The best ``count`` free seats, in one place if ``together``, of one ``category`` if given."""

    count: int
    together: bool = True
    category: str | None = None


def wanted_seats(wanted: Seats | BestAvailable, layout: SeatLayout, max_seats: int) -> Sequence[Seat] | None:
    """The seats named, or None where the choice is ours.

    Raises InvalidInput for labels that are unknown, repeated, none or too many, for a count out of 1..max_seats,
    and for a category the layout does not have.
    """
    if isinstance(wanted, Seats):
        return seats_of(layout, wanted.labels, max_seats, ("target", "seats", "labels"))
    if not 1 <= wanted.count <= max_seats:
        raise InvalidInput(f"Ask for 1 to {max_seats} seats.", ("target", "bestAvailable", "count"))
    if wanted.category is not None and all(seat.category != wanted.category for seat in layout.seats):
        raise InvalidInput("No seat here is of that category.", ("target", "bestAvailable", "category"))
    return None


def must_be_on_sale(locked: LockedSchedule) -> None:
    """Raises InvalidInput where the schedule has started or is not sold at present."""
    if not locked.on_sale:
        raise InvalidInput("This schedule is not on sale.", ("target",))
    if locked.terms.start <= locked.at:
        raise InvalidInput("This schedule has started; choose a later one.", ("target",))


def must_be_under_limit(holder: Holder, limit: int) -> None:
    """Raises ReservationLimitReached where the holder has ``limit`` active reservations already."""
    if holder.active >= limit:
        raise ReservationLimitReached(
            f"You hold {limit} active reservations, the most at one time; book or release one first.",
            limit=limit,
            retry_at=holder.free_at,
        )


def taken_of(named: Sequence[Seat], locked: LockedSchedule) -> Sequence[Seat]:
    """Those of the named seats that are in other hands."""
    return [seat for seat in named if seat.index in locked.taken]


def not_free(named: Sequence[Seat], layout: SeatLayout, locked: LockedSchedule) -> SeatsUnavailable:
    """The refusal of named seats, some of which are taken; ``locked`` knows the allocation of each of these."""
    taken = taken_of(named, locked)
    return SeatsUnavailable(
        f"Not free: {', '.join(seat.label for seat in taken)}. Choose others.",
        ("target", "seats", "labels"),
        unavailable=[_taken(seat, locked) for seat in taken],
        alternatives=_alternatives(layout, locked, near=taken),
    )


def must_find(wanted: BestAvailable, layout: SeatLayout, locked: LockedSchedule) -> Sequence[Seat]:
    """The best free seats. Raises SeatsUnavailable where there are not enough that fit."""
    free = [seat.index for seat in layout.seats if seat.index not in locked.taken]
    found = best_available(layout, free, wanted.count, wanted.together, wanted.category)
    if found is not None:
        return found
    place = " together" if wanted.together and wanted.count > 1 else ""
    raise SeatsUnavailable(
        f"No {wanted.count} free seats{place}. Ask for fewer, or not together.",
        ("target", "bestAvailable"),
        alternatives=_alternatives(layout, locked),
    )


def hold_until(ttl: timedelta, start: datetime, at: datetime) -> datetime:
    """When a hold taken or extended at ``at`` ends: after its time, at the latest when the schedule starts."""
    return min(at + ttl, start)


def must_be_extensible(extensions_left: int) -> None:
    """Raises PolicyViolation where the reservation was extended as often as it may be."""
    if extensions_left <= 0:
        raise PolicyViolation("A reservation can be extended twice; book now, or reserve again.", ("id",))


def changes(
    layout: SeatLayout, seats: Sequence[int], status: SeatStatus, held_until: datetime | None = None
) -> list[SeatChange]:
    """The same new state for several seats, given by index."""
    return [SeatChange(layout.seats[seat].label, status, held_until) for seat in seats]


def own_states(
    layout: SeatLayout,
    locked: LockedSchedule,
    seats: Sequence[int],
    status: SeatStatus,
    until: datetime | None = None,
) -> list[SeatState]:
    """The same new state for several seats, given by index, as their owner sees it."""
    return [SeatState(layout.seats[seat], status, locked.terms.price, until, mine=True) for seat in seats]


def seats_event(type_: str, locked: LockedSchedule, changed: Sequence[SeatChange]) -> Event:
    """The step that the schedule has just made: the seats that changed, and the counts they led to."""
    terms = locked.terms
    return Event(
        Stream.SCHEDULE,
        terms.schedule_id,
        locked.version,
        type_,
        locked.at,
        seats_data(changed, locked.counts),
        organization_id=terms.organization_id,
        resource_id=terms.resource_id,
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


def _taken(seat: Seat, locked: LockedSchedule) -> SeatState:
    allocation = locked.allocations[seat.index]
    return SeatState(seat, allocation.status, locked.terms.price, allocation.held_until)


def _alternatives(layout: SeatLayout, locked: LockedSchedule, near: Sequence[Seat] = ()) -> list[SeatState]:
    """Up to five free seats, those nearest to the wanted ones first."""

    def distance(seat: Seat) -> int:
        return min((abs(seat.row - each.row) + abs(seat.column - each.column) for each in near), default=0)

    free = [seat for seat in layout.seats if seat.index not in locked.taken]
    chosen = sorted(free, key=distance)[:MAX_ALTERNATIVES]
    return [SeatState(seat, SeatStatus.AVAILABLE, locked.terms.price) for seat in chosen]
