"""What staff do to the catalogue: save resources and offerings."""

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
)
from domain.errors import InvalidInput, NotFound
from domain.events import Event, Stream
from domain.ids import new_id
from domain.money import Money
from domain.once import Once
from domain.ports import Transaction
from domain.seats import SeatCategory, SeatLayout, plan_layout
from domain.text import PAGE, checked_optional_text, checked_text
from domain.viewer import Viewer
from domain.walltime import checked_duration, zone_of

MAX_SEATS_PER_RESERVATION = 100
DEFAULT_TTL = timedelta(minutes=15)
DEFAULT_MAX_SEATS = 6
TTL_RANGE = (timedelta(seconds=1), timedelta(days=1))
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
    tx.emit(resource_saved(resource, len(seats), at))
    return resource


def resource_saved(resource: Resource, seats: int, at: datetime) -> Event:
    """A step of a resource's story."""
    return Event(
        Stream.RESOURCE,
        resource.id,
        resource.version,
        "resource.saved",
        at,
        {"kind": resource.kind.value, "seats": seats},
        organization_id=resource.organization_id,
    )


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
        reservation_ttl=checked_duration(
            request.reservation_ttl or DEFAULT_TTL, TTL_RANGE, ("reservationTtl",)
        ),
        max_seats=_max_seats(default_max_seats if request.max_seats is None else request.max_seats),
        origin=checked_optional_text(request.origin, ("origin",)),
        destination=checked_optional_text(request.destination, ("destination",)),
        distance_km=_distance(request.distance_km),
        version=before.version + 1 if before else 1,
    )
    at = await tx.catalogue.save_offering(offering)
    tx.emit(offering_saved(offering, at))
    return offering


def offering_saved(offering: Offering, at: datetime) -> Event:
    """A step of an offering's story."""
    return Event(
        Stream.OFFERING,
        offering.id,
        offering.version,
        "offering.saved",
        at,
        {"mode": offering.mode.value},
        organization_id=offering.organization_id,
    )


async def _resource(tx: Transaction, id_: UUID) -> Resource:
    found = await tx.catalogue.resource(id_)
    assert found is not None  # noqa: S101 - resources are never removed
    return found


async def _offering(tx: Transaction, id_: UUID) -> Offering:
    found = await tx.catalogue.offering(id_)
    assert found is not None  # noqa: S101 - offerings are never removed
    return found


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
