"""Organizations, resources and offerings: read by everybody, saved by staff."""

from __future__ import annotations

from uuid import UUID

from strawberry import ID

from schema.context import Info
from schema.types.catalogue import (
    BookingMode,
    Offering,
    Resource,
    ResourceKind,
    SaveOfferingInput,
    SaveOfferingResult,
    SaveResourceInput,
    SaveResourceResult,
)
from schema.types.ids import optional_id
from schema.types.organizations import Organization
from schema.types.paging import Connection, First, Keyset, checked_first

ORGANIZATIONS = Keyset("organizations", (str, UUID))
OFFERINGS = Keyset("offerings", (UUID,))
RESOURCES = Keyset("resources", (UUID,))


async def organizations(info: Info, first: First, after: str | None = None) -> Connection[Organization]:
    """All organizations, by name."""
    page = await info.context.reads.organizations(checked_first(first), ORGANIZATIONS.read(after))
    return ORGANIZATIONS.page(page, after, Organization.of)


async def offerings(
    info: Info,
    first: First,
    after: str | None = None,
    organization_id: ID | None = None,
    mode: BookingMode | None = None,
) -> Connection[Offering]:
    """What is sold, the oldest first."""
    organization = optional_id(organization_id, "Organization", ("organizationId",))
    page = await info.context.reads.offerings(checked_first(first), OFFERINGS.read(after), organization, mode)
    return OFFERINGS.page(page, after, Offering.of)


async def resources(
    info: Info,
    first: First,
    after: str | None = None,
    organization_id: ID | None = None,
    kind: ResourceKind | None = None,
) -> Connection[Resource]:
    """What schedules run on, the oldest first."""
    organization = optional_id(organization_id, "Organization", ("organizationId",))
    page = await info.context.reads.resources(checked_first(first), RESOURCES.read(after), organization, kind)
    return RESOURCES.page(page, after, Resource.of)


async def save_resource(info: Info, input: SaveResourceInput) -> SaveResourceResult:
    """Add or replace a resource."""
    curation = info.context.services.curation
    return Resource.of(
        await curation.save_resource(info.context.viewer, input.value(), input.idempotency_key)
    )


async def save_offering(info: Info, input: SaveOfferingInput) -> SaveOfferingResult:
    """Add or replace an offering."""
    curation = info.context.services.curation
    return Offering.of(
        await curation.save_offering(info.context.viewer, input.value(), input.idempotency_key)
    )
