"""Holding seats for callers who come at once: one transaction, in which each gets the answer they would get alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.contact import Contact, checked_contact
from domain.errors import NotFound, Refusal
from domain.gathering import Gathering
from domain.guests import Guests
from domain.holding import (
    BestAvailable,
    Seats,
    changes,
    hold_until,
    must_be_on_sale,
    must_be_under_limit,
    must_find,
    not_free,
    own_states,
    reservation_event,
    seats_event,
    taken_of,
    wanted_seats,
)
from domain.idempotency import UsedKey
from domain.ids import new_id
from domain.ledger import Hold, Holder, Locked, LockedSchedule, Reservation, ReservationStatus
from domain.once import checked_key, earlier, fingerprint, freeze, uninterrupted
from domain.ports import Begin, Transaction
from domain.seats import SeatLayout, SeatStatus
from domain.viewer import Viewer

OPERATION = "reserve"


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
class Asked:
    """A wish, who has it (``holder`` is what they are counted by), and under which idempotency key, if any."""

    viewer: Viewer
    holder: bytes
    limit: int
    request: Reserve
    key: str | None = None
    fingerprint: bytes = b""


class Reserving:
    """The use case. Those who ask while others are being served are served together (domain/gathering.py)."""

    def __init__(self, begin: Begin, guests: Guests, limits: ReservationLimits) -> None:
        self._begin = begin
        self._guests = guests
        self._limits = limits
        self._gathering = Gathering(self._together)

    async def reserve(self, viewer: Viewer, request: Reserve, key: str | None) -> Reservation:
        """Hold seats, all or none. Raises what ``domain.reservations.Reservations.reserve`` does."""
        outcome = await self._gathering(self.asked(viewer, request, key))
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def asked(self, viewer: Viewer, request: Reserve, key: str | None = None) -> Asked:
        """The wish as it joins others. Raises InvalidInput for a key not of 1..255 characters."""
        print_ = b"" if key is None else fingerprint(request)
        holder, limit = self._guests.holder(viewer), self._limits.of(viewer)
        return Asked(viewer, holder, limit, request, None if key is None else checked_key(key), print_)

    @uninterrupted
    async def _together(self, wishes: Sequence[Asked]) -> Sequence[Reservation | Refusal]:
        async with self._begin(*(asked.viewer for asked in wishes)) as tx:
            return await serve(tx, wishes)


async def serve(tx: Transaction, wishes: Sequence[Asked]) -> Sequence[Reservation | Refusal]:
    """Decide on the wishes in their order, and write down what was decided; an outcome for each."""
    locked = await tx.ledger.lock_reserving(
        {asked.request.schedule_id for asked in wishes if asked.request.schedule_id},
        {asked.holder for asked in wishes},
        [(asked.holder, asked.key) for asked in wishes if asked.key is not None],
    )
    layouts = await tx.ledger.layouts({each.terms.layout_id for each in locked.schedules.values()})
    for schedule in _contested(wishes, locked, layouts):
        found = await tx.ledger.allocations(schedule.terms.schedule_id, schedule.at)
        schedule.allocations.update((allocation.seat, allocation) for allocation in found)
    decisions = [_decide_once(tx, asked, locked, layouts) for asked in wishes]
    holds = [decision for decision in decisions if isinstance(decision, Hold)]
    if holds:
        await tx.ledger.hold(holds)
    made = {hold.reservation.id: hold.reservation for hold in holds}
    return [await _outcome(tx, decision, made) for decision in decisions]


def _contested(
    wishes: Sequence[Asked], locked: Locked, layouts: Mapping[UUID, SeatLayout]
) -> Sequence[LockedSchedule]:
    """The schedules of which somebody names a seat that is taken: how it is taken will have to be told."""
    named: dict[UUID, set[int]] = {id_: set() for id_ in locked.schedules}
    for asked in wishes:
        wanted, id_ = asked.request.wanted, asked.request.schedule_id
        if isinstance(wanted, Seats) and id_ in named:
            seats = layouts[locked.schedules[id_].terms.layout_id].by_label
            named[id_].update(seats[label].index for label in wanted.labels if label in seats)
    return [locked.schedules[id_] for id_, seats in named.items() if seats & locked.schedules[id_].taken]


def decide(asked: Asked, schedule: LockedSchedule | None, layout: SeatLayout | None, holder: Holder) -> Hold:
    """The hold that the caller gets. Raises the refusals of ``reserve`` where they get none."""
    contact = checked_contact(asked.request.contact, ("contact",))
    if schedule is None or layout is None:
        raise NotFound("No such schedule.", ("target", "scheduleId"))
    wanted, terms = asked.request.wanted, schedule.terms
    named = wanted_seats(wanted, layout, terms.max_seats)
    must_be_on_sale(schedule)
    must_be_under_limit(holder, asked.limit)
    if named is None:
        assert isinstance(wanted, BestAvailable)  # noqa: S101 - the other kind names its seats
        named = must_find(wanted, layout, schedule)
    elif taken_of(named, schedule):
        raise not_free(named, layout, schedule)
    seats, until = [seat.index for seat in named], hold_until(terms.reservation_ttl, terms.start, schedule.at)
    return Hold(
        Reservation(
            id=new_id(),
            schedule_id=terms.schedule_id,
            organization_id=terms.organization_id,
            account_id=asked.viewer.user_id,
            status=ReservationStatus.ACTIVE,
            seats=seats,
            total=terms.price.times(len(seats)),
            ttl=terms.reservation_ttl,
            created_at=schedule.at,
            expires_at=until,
            now=schedule.at,
            extensions=0,
            contact=contact,
            version=1,
            states=own_states(layout, schedule, seats, SeatStatus.HELD, until),
        ),
        asked.holder,
    )


def _decide_once(
    tx: Transaction, asked: Asked, locked: Locked, layouts: Mapping[UUID, SeatLayout]
) -> Hold | Refusal | UUID:
    """What becomes of a wish; the id of what its idempotency key has led to already, before or among these."""
    use = locked.uses.get((asked.holder, asked.key)) if asked.key is not None else None
    try:
        if use is not None:
            return earlier(use, OPERATION, asked.fingerprint)
        hold = _hold(tx, asked, locked, layouts)
    except Refusal as refusal:
        if use is None:
            _keep(tx, asked, locked, {"refusal": freeze(refusal)})
        return refusal
    _keep(tx, asked, locked, {"id": str(hold.reservation.id)})
    return hold


def _hold(tx: Transaction, asked: Asked, locked: Locked, layouts: Mapping[UUID, SeatLayout]) -> Hold:
    schedule = locked.schedules.get(asked.request.schedule_id) if asked.request.schedule_id else None
    layout = layouts[schedule.terms.layout_id] if schedule else None
    holder = locked.holders.setdefault(asked.holder, Holder())
    hold = decide(asked, schedule, layout, holder)
    assert schedule is not None and layout is not None  # noqa: PT018, S101 - or there were no hold
    made = hold.reservation
    schedule.hold(hold)
    holder.hold(hold)
    changed = changes(layout, made.seats, SeatStatus.HELD, made.expires_at)
    tx.emit(
        seats_event("seats.held", schedule, changed),
        reservation_event("reservation.created", made, made.created_at),
        by=asked.viewer,
    )
    return hold


def _keep(tx: Transaction, asked: Asked, locked: Locked, outcome: Mapping[str, object]) -> None:
    if asked.key is not None:
        use = UsedKey(OPERATION, asked.fingerprint, outcome)
        locked.uses[asked.holder, asked.key] = use
        tx.keys.settle(asked.holder, asked.key, use)


async def _outcome(
    tx: Transaction, decision: Hold | Refusal | UUID, made: Mapping[UUID, Reservation]
) -> Reservation | Refusal:
    match decision:
        case Refusal():
            return decision
        case Hold():
            return decision.reservation
    if decision in made:
        return made[decision]
    await tx.show(decision)  # the key is theirs, and so is what it led to
    found = await tx.ledger.reservation(decision)
    assert found is not None  # noqa: S101 - reservations are never removed
    return found
