"""What can be booked: resources, offerings, and what staff send to save them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import strawberry

from domain import catalogue as domain
from domain import curation
from domain.latest import Latest
from domain.seats import SeatCategory
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.lasting import lasting
from schema.scalars import JSON, TimeZone
from schema.types.ids import optional_id
from schema.types.money import Money, MoneyInput
from schema.types.node import Node
from schema.types.organizations import Organization
from schema.types.refusals import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from schema.types.seats import SeatLayout

ResourceKind = domain.ResourceKind
strawberry.enum(ResourceKind, description="What a resource is.")
BookingMode = domain.BookingMode
strawberry.enum(BookingMode, description="How an offering is sold.")


@lasting
@strawberry.type
class Resource(Node):
    """A bus, a lab bench, a stylist. It never runs two schedules at overlapping times."""

    kind: ResourceKind
    name: str
    time_zone: TimeZone
    value: strawberry.Private[domain.Resource]

    @strawberry.field
    def attributes(self) -> JSON:
        """Whatever else the organization tells of it."""
        return JSON(dict(self.value.attributes))

    @batched
    @staticmethod
    async def organization(resources: Sequence[Resource], context: Context) -> list[Organization]:
        """Whose it is."""
        ids = [one.value.organization_id for one in resources]
        return await context.load.organization.each(ids, Organization.of)

    @batched
    @staticmethod
    async def layout(resources: Sequence[Resource], context: Context) -> list[SeatLayout]:
        """The map that new schedules get."""
        return await context.load.layout.each([one.value.layout_id for one in resources], SeatLayout.of)

    @staticmethod
    def of(value: domain.Resource) -> Resource:
        """From the trade's value: of the same the same object."""
        return _RESOURCES.of(value.id, value)


def _resource(value: domain.Resource) -> Resource:
    return Resource(
        id=strawberry.ID(encode("Resource", value.id)),
        kind=value.kind,
        name=value.name,
        time_zone=TimeZone(value.time_zone),
        value=value,
    )


_RESOURCES = Latest(_resource)


@lasting
@strawberry.type
class Offering(Node):
    """What is sold: the Mumbai-Pune night bus, a bench hour, a root re-twist."""

    name: str
    description: str | None
    mode: BookingMode
    price: Money
    reservation_ttl: timedelta = strawberry.field(
        description="How long a reservation holds; PT15M unless the offering says otherwise."
    )
    max_seats_per_reservation: int
    origin: str | None
    destination: str | None
    distance_km: float | None
    value: strawberry.Private[domain.Offering]

    @batched
    @staticmethod
    async def organization(offerings: Sequence[Offering], context: Context) -> list[Organization]:
        """Who sells it."""
        ids = [one.value.organization_id for one in offerings]
        return await context.load.organization.each(ids, Organization.of)

    @staticmethod
    def of(value: domain.Offering) -> Offering:
        """From the trade's value: of the same the same object."""
        return _OFFERINGS.of(value.id, value)


def _offering(value: domain.Offering) -> Offering:
    return Offering(
        id=strawberry.ID(encode("Offering", value.id)),
        name=value.name,
        description=value.description,
        mode=value.mode,
        price=Money.of(value.price),
        reservation_ttl=value.reservation_ttl,
        max_seats_per_reservation=value.max_seats,
        origin=value.origin,
        destination=value.destination,
        distance_km=value.distance_km,
        value=value,
    )


_OFFERINGS = Latest(_offering)


@strawberry.input
class SeatCategoryInput:
    """Seats that differ from the rest."""

    category: str
    labels: list[str]
    accessible: bool = False


@strawberry.input
class SeatLayoutInput:
    """rows x columns named A1, A2 ... with what differs listed; or one seat for a room, a device or a
    person.
    """

    rows: int
    columns: int
    aisle_after_column: int | None = None
    missing: list[str] | None = None
    categories: list[SeatCategoryInput] | None = None

    def value(self) -> curation.LayoutPlan:
        """As the trade's value."""
        return curation.LayoutPlan(
            rows=self.rows,
            columns=self.columns,
            aisle_after_column=self.aisle_after_column,
            missing=self.missing or (),
            categories=[SeatCategory(c.category, c.labels, c.accessible) for c in self.categories or ()],
        )


@strawberry.input
class SaveResourceInput:
    """A new resource, or with ``id`` what replaces it."""

    organization_id: strawberry.ID
    kind: ResourceKind
    name: str
    time_zone: TimeZone
    layout: SeatLayoutInput
    id: strawberry.ID | None = None
    attributes: JSON | None = None
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="The user behind it, who then sees its bookings as a PROVIDER."
    )
    idempotency_key: str | None = None

    def value(self) -> curation.SaveResource:
        """As the trade's value. Raises NotFound for an ``id`` that is none."""
        return curation.SaveResource(
            id=optional_id(self.id, "Resource", ("id",)),
            organization_id=optional_id(self.organization_id, "Organization", ("organizationId",)),
            kind=self.kind,
            name=self.name,
            time_zone=self.time_zone,
            layout=self.layout.value(),
            attributes=self.attributes,
            provider_id=optional_id(self.provider_id, "User", ("providerId",)),
        )


@strawberry.input
class SaveOfferingInput:
    """A new offering, or with ``id`` what replaces it."""

    organization_id: strawberry.ID
    name: str
    mode: BookingMode
    price: MoneyInput
    id: strawberry.ID | None = None
    description: str | None = None
    reservation_ttl: timedelta | None = None
    max_seats_per_reservation: int | None = None
    origin: str | None = None
    destination: str | None = None
    distance_km: float | None = None
    idempotency_key: str | None = None

    def value(self) -> curation.SaveOffering:
        """As the trade's value. Raises NotFound for an ``id`` that is none, InvalidInput for a bad price."""
        return curation.SaveOffering(
            id=optional_id(self.id, "Offering", ("id",)),
            organization_id=optional_id(self.organization_id, "Organization", ("organizationId",)),
            name=self.name,
            mode=self.mode,
            price=self.price.value(),
            description=self.description,
            reservation_ttl=self.reservation_ttl,
            max_seats=self.max_seats_per_reservation,
            origin=self.origin,
            destination=self.destination,
            distance_km=self.distance_km,
        )


SaveResourceResult = Annotated[
    Resource | InvalidInput | Conflict | NotFound | IdempotencyMismatch,
    strawberry.union("SaveResourceResult"),
]
SaveOfferingResult = Annotated[
    Offering | InvalidInput | NotFound | IdempotencyMismatch, strawberry.union("SaveOfferingResult")
]
