"""What staff do to the timetable: open schedules, block seats."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.access import must_be_staff
from domain.catalogue import Offering, Resource, Schedule, ScheduleStatus, Terms
from domain.errors import InvalidInput, NotFound, SeatsUnavailable
from domain.events import Event, Stream
from domain.holding import changes, seats_event
from domain.ids import new_id
from domain.ledger import LockedSchedule
from domain.money import Money
from domain.once import Once
from domain.ports import Transaction
from domain.seats import Allocation, SeatLayout, SeatState, SeatStatus, seats_of
from domain.viewer import Viewer
from domain.walltime import checked_duration, local_date, resolve_local

MAX_STARTS = 1000
DURATION_RANGE = (timedelta(minutes=1), timedelta(days=31))


@dataclass(frozen=True, slots=True)
class OpenSchedules:
    """A wish to sell an offering on a resource at these wall-clock times (naive) of the resource's zone."""

    offering_id: UUID | None
    resource_id: UUID | None
    local_starts: Sequence[datetime]
    duration: timedelta
    price: Money | None = None


@dataclass(frozen=True, slots=True)
class BlockSeats:
    """A wish to take seats out of sale, or to put them back."""

    schedule_id: UUID | None
    labels: Sequence[str]
    blocked: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """The schedules that were opened, in the order of their starts; ``id`` is the first one's."""

    schedules: Sequence[UUID]

    @property
    def id(self) -> UUID:
        """What the result is found again by."""
        return self.schedules[0]


@dataclass(frozen=True, slots=True)
class Timetable:
    """The use cases, for staff and admins of the organization; everybody else is refused with Forbidden."""

    once: Once

    async def open_schedules(self, viewer: Viewer, request: OpenSchedules, key: str | None = None) -> Opened:
        """Open schedules, all or none. Raises InvalidInput, Conflict, NotFound, IdempotencyMismatch."""

        async def work(tx: Transaction) -> Opened:
            return await _open(tx, viewer, request)

        return await self.once.run(viewer, "openSchedules", request, key, work, _reopened)

    async def block_seats(self, viewer: Viewer, request: BlockSeats, key: str | None = None) -> Terms:
        """Block or unblock seats, all or none. Raises SeatsUnavailable, InvalidInput, NotFound, IdempotencyMismatch."""

        async def work(tx: Transaction) -> Terms:
            return await _block(tx, viewer, request)

        return await self.once.run(viewer, "blockSeats", request, key, work, _terms)


async def _open(tx: Transaction, viewer: Viewer, request: OpenSchedules) -> Opened:
    offering = await tx.catalogue.offering(request.offering_id) if request.offering_id else None
    if offering is None:
        raise NotFound("No such offering.", ("offeringId",))
    await must_be_staff(tx, viewer, offering.organization_id)
    resource = await tx.catalogue.resource(request.resource_id) if request.resource_id else None
    if resource is None or resource.organization_id != offering.organization_id:
        raise NotFound("The offering's organization has no such resource.", ("resourceId",))
    layout = await tx.catalogue.layout(resource.layout_id)
    schedules = plan_schedules(request, offering, resource, layout)
    at = await tx.catalogue.open(offering, schedules)
    tx.emit(*(schedule_opened(schedule, at) for schedule in schedules))
    return Opened([schedule.id for schedule in schedules])


def plan_schedules(
    request: OpenSchedules, offering: Offering, resource: Resource, layout: SeatLayout
) -> Sequence[Schedule]:
    """The schedules of a series, in the order of their starts, each resolved on the resource's own wall clock.

    Raises InvalidInput for no or more than 1,000 starts, a repeated one, one that does not exist or exists twice,
    a duration out of PT1M..P31D, and starts closer to each other than the duration.
    """
    if not 1 <= len(request.local_starts) <= MAX_STARTS:
        raise InvalidInput(f"Give 1 to {MAX_STARTS} local starts in one call.", ("localStarts",))
    duration = checked_duration(request.duration, DURATION_RANGE, ("duration",))
    price = request.price or offering.price
    schedules: list[Schedule] = []
    for local in sorted(request.local_starts):
        start = resolve_local(local, resource.time_zone, ("localStarts",))
        if schedules and start < schedules[-1].end:
            raise InvalidInput(
                f"{local.isoformat(timespec='minutes')} starts before the one in front of it ends.",
                ("localStarts",),
            )
        schedules.append(
            Schedule(
                id=new_id(),
                organization_id=offering.organization_id,
                offering_id=offering.id,
                resource_id=resource.id,
                layout_id=layout.id,
                start=start,
                end=start + duration,
                time_zone=resource.time_zone,
                price=price,
                seat_total=len(layout),
                status=ScheduleStatus.ON_SALE,
                version=0,
            )
        )
    return schedules


def schedule_opened(schedule: Schedule, at: datetime) -> Event:
    """The first step of a schedule's story."""
    return Event(
        Stream.SCHEDULE,
        schedule.id,
        0,
        "schedule.opened",
        at,
        {
            "start": schedule.start.isoformat(),
            "localDate": local_date(schedule.start, schedule.time_zone).isoformat(),
        },
        organization_id=schedule.organization_id,
        resource_id=schedule.resource_id,
    )


async def _block(tx: Transaction, viewer: Viewer, request: BlockSeats) -> Terms:
    locked = await tx.ledger.lock(request.schedule_id) if request.schedule_id else None
    if locked is None:
        raise NotFound("No such schedule.", ("scheduleId",))
    terms = locked.terms
    await must_be_staff(tx, viewer, terms.organization_id)
    layout = await tx.ledger.layout(terms.layout_id)
    indexes = {seat.index for seat in seats_of(layout, request.labels, len(layout))}
    found = await tx.ledger.allocations(terms.schedule_id, locked.at)
    taken = [allocation for allocation in found if allocation.seat in indexes]
    if request.blocked:
        await _take_out_of_sale(tx, layout, locked, indexes, taken)
    else:
        await _put_back_on_sale(tx, layout, locked, taken)
    return terms


async def _take_out_of_sale(
    tx: Transaction,
    layout: SeatLayout,
    locked: LockedSchedule,
    indexes: Set[int],
    taken: Sequence[Allocation],
) -> None:
    terms, busy = locked.terms, [a for a in taken if a.status is not SeatStatus.BLOCKED]
    if busy:
        states = [SeatState(layout.seats[a.seat], a.status, terms.price, a.held_until) for a in busy]
        raise SeatsUnavailable(
            "Some of these seats are held or booked; cancel or release those first.",
            ("labels",),
            unavailable=states,
        )
    seats = sorted(indexes - {allocation.seat for allocation in taken})
    if seats:
        await tx.ledger.block(terms.schedule_id, seats, locked.at)
        locked.step(SeatStatus.AVAILABLE, SeatStatus.BLOCKED, len(seats))
        tx.emit(seats_event("seats.blocked", locked, changes(layout, seats, SeatStatus.BLOCKED)))


async def _put_back_on_sale(
    tx: Transaction, layout: SeatLayout, locked: LockedSchedule, taken: Sequence[Allocation]
) -> None:
    seats = [allocation.seat for allocation in taken if allocation.status is SeatStatus.BLOCKED]
    if seats:
        await tx.ledger.unblock(locked.terms.schedule_id, seats)
        locked.step(SeatStatus.BLOCKED, SeatStatus.AVAILABLE, len(seats))
        tx.emit(seats_event("seats.unblocked", locked, changes(layout, seats, SeatStatus.AVAILABLE)))


async def _terms(tx: Transaction, id_: UUID) -> Terms:
    found = await tx.ledger.terms(id_)
    assert found is not None  # noqa: S101 - schedules are never removed
    return found


async def _reopened(tx: Transaction, first: UUID) -> Opened:
    return Opened(await tx.catalogue.opened_with(first))
