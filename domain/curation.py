"""What staff do to the catalogue: save resources and offerings, open schedules, block seats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.access import must_be_staff
from domain.catalogue import (
    BookingMode,
    Offering,
    Organization,
    Resource,
    ResourceKind,
    Schedule,
    ScheduleStatus,
    Terms,
)
from domain.errors import InvalidInput, NotFound, SeatsUnavailable
from domain.events import Event, Stream
from domain.holding import changes, recount, seats_event
from domain.ids import new_id
from domain.ledger import LockedSchedule
from domain.money import Money
from domain.once import Once
from domain.ports import Transaction
from domain.seats import SeatCategory, SeatLayout, SeatState, SeatStatus, plan_layout, seats_of
from domain.text import PAGE, checked_optional_text, checked_text
from domain.viewer import Viewer
from domain.walltime import format_duration, local_date, resolve_local, zone_of

MAX_STARTS = 1000
MAX_SEATS_PER_RESERVATION = 100
DEFAULT_TTL = timedelta(minutes=15)
DEFAULT_MAX_SEATS = 6
TTL_RANGE = (timedelta(seconds=1), timedelta(days=1))
DURATION_RANGE = (timedelta(minutes=1), timedelta(days=31))
MAX_ATTRIBUTES = 50


@dataclass(frozen=True, slots=True)
class LayoutPlan:
    """A seat map as staff describe it."""

    rows: int
    columns: int
    aisle_after_column: int | None = None
    missing: Sequence[str] = ()
    categories: Sequence[SeatCategory] = ()


@dataclass(frozen=True, slots=True)
class SaveResource:
    """A wish to add a resource, or, with ``id``, to replace what is known of it."""

    id: UUID | None
    organization_id: UUID | None
    kind: ResourceKind
    name: str
    time_zone: str
    layout: LayoutPlan
    attributes: object = None
    provider_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SaveOffering:
    """A wish to add an offering, or, with ``id``, to replace what is known of it."""

    id: UUID | None
    organization_id: UUID | None
    name: str
    mode: BookingMode
    price: Money
    description: str | None = None
    reservation_ttl: timedelta | None = None
    max_seats: int | None = None
    origin: str | None = None
    destination: str | None = None
    distance_km: float | None = None


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
class Curation:
    """The use cases, for staff and admins of the organization; everybody else is refused with Forbidden."""

    once: Once
    default_max_seats: int = DEFAULT_MAX_SEATS

    async def save_resource(self, viewer: Viewer, request: SaveResource, key: str | None = None) -> Resource:
        """Add or replace a resource. A changed seat map becomes a new layout; open schedules keep theirs.

        Raises InvalidInput, NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Resource:
            organization = await _organization(tx, viewer, request.organization_id)
            return await _save_resource(tx, organization, request)

        return await self.once.run(viewer, "saveResource", request, key, work, _resource)

    async def save_offering(self, viewer: Viewer, request: SaveOffering, key: str | None = None) -> Offering:
        """Add or replace an offering. Open schedules keep their price.

        Raises InvalidInput, NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Offering:
            organization = await _organization(tx, viewer, request.organization_id)
            return await _save_offering(tx, organization, request, self.default_max_seats)

        return await self.once.run(viewer, "saveOffering", request, key, work, _offering)

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


async def _organization(tx: Transaction, viewer: Viewer, organization_id: UUID | None) -> Organization:
    found = await tx.catalogue.organization(organization_id) if organization_id else None
    if found is None:
        raise NotFound("No such organization.", ("organizationId",))
    await must_be_staff(tx, viewer, found.id)
    return found


async def _save_resource(tx: Transaction, organization: Organization, request: SaveResource) -> Resource:
    before = await _existing_resource(tx, organization, request.id)
    zone_of(request.time_zone)
    plan = request.layout
    seats = plan_layout(plan.rows, plan.columns, plan.aisle_after_column, plan.missing, plan.categories)
    layout = SeatLayout(new_id(), plan.rows, plan.columns, plan.aisle_after_column, seats)
    kept = await tx.catalogue.layout(before.layout_id) if before else None
    if kept is not None and replace(layout, id=kept.id) == kept:
        layout = kept
    else:
        await tx.catalogue.add_layout(organization.id, layout)
    resource = Resource(
        id=before.id if before else new_id(),
        organization_id=organization.id,
        kind=request.kind,
        name=checked_text(request.name, ("name",)),
        time_zone=request.time_zone,
        attributes=_attributes(request.attributes),
        layout_id=layout.id,
        provider_id=request.provider_id if request.provider_id or before is None else before.provider_id,
        version=before.version + 1 if before else 1,
    )
    at = await tx.catalogue.save_resource(resource)
    tx.emit(
        Event(
            Stream.RESOURCE,
            resource.id,
            resource.version,
            "resource.saved",
            at,
            {"kind": resource.kind.value, "seats": len(seats)},
            organization_id=organization.id,
        )
    )
    return resource


async def _existing_resource(
    tx: Transaction, organization: Organization, id_: UUID | None
) -> Resource | None:
    if id_ is None:
        return None
    found = await tx.catalogue.resource(id_)
    if found is None or found.organization_id != organization.id:
        raise NotFound("This organization has no such resource.", ("id",))
    return found


async def _save_offering(
    tx: Transaction, organization: Organization, request: SaveOffering, default_max_seats: int
) -> Offering:
    before = await tx.catalogue.offering(request.id) if request.id else None
    if request.id and (before is None or before.organization_id != organization.id):
        raise NotFound("This organization has no such offering.", ("id",))
    offering = Offering(
        id=before.id if before else new_id(),
        organization_id=organization.id,
        name=checked_text(request.name, ("name",)),
        description=checked_optional_text(request.description, ("description",), PAGE),
        mode=request.mode,
        price=request.price,
        reservation_ttl=_between(request.reservation_ttl or DEFAULT_TTL, TTL_RANGE, ("reservationTtl",)),
        max_seats=_max_seats(default_max_seats if request.max_seats is None else request.max_seats),
        origin=checked_optional_text(request.origin, ("origin",)),
        destination=checked_optional_text(request.destination, ("destination",)),
        distance_km=_distance(request.distance_km),
        version=before.version + 1 if before else 1,
    )
    at = await tx.catalogue.save_offering(offering)
    tx.emit(
        Event(
            Stream.OFFERING,
            offering.id,
            offering.version,
            "offering.saved",
            at,
            {"mode": offering.mode.value},
            organization_id=organization.id,
        )
    )
    return offering


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
    tx.emit(*(_opened(schedule, at) for schedule in schedules))
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
    duration = _between(request.duration, DURATION_RANGE, ("duration",))
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


def _opened(schedule: Schedule, at: datetime) -> Event:
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
    terms = await tx.ledger.terms(request.schedule_id) if request.schedule_id else None
    if terms is None:
        raise NotFound("No such schedule.", ("scheduleId",))
    await must_be_staff(tx, viewer, terms.organization_id)
    layout = await tx.ledger.layout(terms.layout_id)
    indexes = [seat.index for seat in seats_of(layout, request.labels, len(layout))]
    locked = await tx.ledger.lock(terms.schedule_id, indexes)
    if request.blocked:
        await _take_out_of_sale(tx, terms, layout, locked, indexes)
    else:
        await _put_back_on_sale(tx, terms, layout, locked, indexes)
    return terms


async def _take_out_of_sale(
    tx: Transaction, terms: Terms, layout: SeatLayout, locked: LockedSchedule, indexes: Sequence[int]
) -> None:
    busy = [a for a in locked.taken.values() if a.status is not SeatStatus.BLOCKED]
    if busy:
        states = [SeatState(layout.seats[a.seat], a.status, terms.price, a.held_until) for a in busy]
        raise SeatsUnavailable(
            "Some of these seats are held or booked; cancel or release those first.",
            ("labels",),
            unavailable=states,
        )
    seats = [index for index in indexes if index not in locked.taken]
    if seats:
        await tx.ledger.block(terms.schedule_id, seats, locked.at)
        counts = recount(locked.counts, SeatStatus.AVAILABLE, SeatStatus.BLOCKED, len(seats))
        tx.emit(
            seats_event("seats.blocked", terms, locked, changes(layout, seats, SeatStatus.BLOCKED), counts)
        )


async def _put_back_on_sale(
    tx: Transaction, terms: Terms, layout: SeatLayout, locked: LockedSchedule, indexes: Sequence[int]
) -> None:
    seats = [index for index in indexes if index in locked.taken]
    seats = [index for index in seats if locked.taken[index].status is SeatStatus.BLOCKED]
    if seats:
        await tx.ledger.unblock(terms.schedule_id, seats)
        counts = recount(locked.counts, SeatStatus.BLOCKED, SeatStatus.AVAILABLE, len(seats))
        tx.emit(
            seats_event(
                "seats.unblocked", terms, locked, changes(layout, seats, SeatStatus.AVAILABLE), counts
            )
        )


async def _resource(tx: Transaction, id_: UUID) -> Resource:
    found = await tx.catalogue.resource(id_)
    assert found is not None  # noqa: S101 - resources are never removed
    return found


async def _offering(tx: Transaction, id_: UUID) -> Offering:
    found = await tx.catalogue.offering(id_)
    assert found is not None  # noqa: S101 - offerings are never removed
    return found


async def _terms(tx: Transaction, id_: UUID) -> Terms:
    found = await tx.ledger.terms(id_)
    assert found is not None  # noqa: S101 - schedules are never removed
    return found


async def _reopened(tx: Transaction, first: UUID) -> Opened:
    return Opened(await tx.catalogue.opened_with(first))


def _between(value: timedelta, ends: tuple[timedelta, timedelta], path: tuple[str, ...]) -> timedelta:
    if not ends[0] <= value <= ends[1]:
        raise InvalidInput(f"Between {format_duration(ends[0])} and {format_duration(ends[1])}.", path)
    return value


def _max_seats(most: int) -> int:
    if not 1 <= most <= MAX_SEATS_PER_RESERVATION:
        raise InvalidInput(
            f"1 to {MAX_SEATS_PER_RESERVATION} seats a reservation.", ("maxSeatsPerReservation",)
        )
    return most


def _distance(km: float | None) -> float | None:
    if km is not None and not 0 <= km <= 50_000:
        raise InvalidInput("A distance lies between 0 and 50,000 km.", ("distanceKm",))
    return km


def _attributes(given: object) -> Mapping[str, object]:
    attributes = {} if given is None else given
    if not isinstance(attributes, Mapping) or len(attributes) > MAX_ATTRIBUTES:
        raise InvalidInput(f"Attributes are an object of at most {MAX_ATTRIBUTES} members.", ("attributes",))
    return attributes
