"""Organizations, resources, offerings and schedules, as staff write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from db import rows
from db.engine import Connection
from db.layouts import Layouts
from domain.catalogue import Offering, Organization, Resource, Schedule, place_key
from domain.seats import SeatLayout
from domain.walltime import local_date

_ORGANIZATION = "SELECT * FROM organization WHERE id = $1"
_ADD_ORGANIZATION = """
INSERT INTO organization (id, name, slug, time_zone, currency) VALUES ($1, $2, $3, $4, $5)
"""
# Before the row's own lock, for the reason that migration 0002 gives: the log has a thing's steps in their order.
_QUEUE = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 2))"
_RESOURCE = "SELECT * FROM resource WHERE id = $1 FOR NO KEY UPDATE"
_OFFERING = "SELECT * FROM offering WHERE id = $1 FOR NO KEY UPDATE"

_SAVE_RESOURCE = """
INSERT INTO resource (id, organization_id, kind, name, time_zone, attributes, layout_id, provider_id, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, time_zone = excluded.time_zone,
  attributes = excluded.attributes, layout_id = excluded.layout_id, provider_id = excluded.provider_id,
  version = excluded.version
RETURNING statement_timestamp()
"""
_SAVE_OFFERING = """
INSERT INTO offering (id, organization_id, name, description, mode, price_amount, price_currency, reservation_ttl,
  max_seats, origin, destination, distance_km, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, mode = excluded.mode,
  price_amount = excluded.price_amount, price_currency = excluded.price_currency,
  reservation_ttl = excluded.reservation_ttl, max_seats = excluded.max_seats, origin = excluded.origin,
  destination = excluded.destination, distance_km = excluded.distance_km, version = excluded.version
RETURNING statement_timestamp()
"""
_OPEN = """
INSERT INTO schedule (id, organization_id, offering_id, resource_id, layout_id, mode, origin_key, destination_key,
  during, starts_at, local_date, time_zone, price_amount, price_currency, seat_total, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
_OPENED_WITH = """
SELECT s.id FROM schedule s JOIN schedule f ON f.id = $1
WHERE s.resource_id = f.resource_id AND s.offering_id = f.offering_id AND s.created_at = f.created_at
ORDER BY s.starts_at
"""


class Catalogue:
    """The port over ``organization``, ``resource``, ``offering``, ``schedule`` and ``seat_layout``."""

    def __init__(self, connection: Connection, layouts: Layouts) -> None:
        self._connection = connection
        self._layouts = layouts

    async def organization(self, organization_id: UUID) -> Organization | None:
        """An organization by its id."""
        row = await self._connection.fetchrow(_ORGANIZATION, organization_id)
        return rows.organization(row) if row else None

    async def add_organization(self, organization: Organization) -> None:
        """Write a new organization."""
        await self._connection.execute(
            _ADD_ORGANIZATION,
            organization.id,
            organization.name,
            organization.slug,
            organization.time_zone,
            organization.currency,
        )

    async def resource(self, resource_id: UUID) -> Resource | None:
        """A resource by its id, locked against other saves."""
        await self._connection.execute(_QUEUE, resource_id)
        row = await self._connection.fetchrow(_RESOURCE, resource_id)
        return rows.resource(row) if row else None

    async def offering(self, offering_id: UUID) -> Offering | None:
        """An offering by its id, locked against other saves."""
        await self._connection.execute(_QUEUE, offering_id)
        row = await self._connection.fetchrow(_OFFERING, offering_id)
        return rows.offering(row) if row else None

    async def layout(self, layout_id: UUID) -> SeatLayout:
        """A seat layout by its id."""
        return await self._layouts.get(self._connection, layout_id)

    async def add_layout(self, organization_id: UUID, layout: SeatLayout) -> None:
        """Write a new seat layout."""
        await self._layouts.add(self._connection, organization_id, layout)

    async def save_resource(self, resource: Resource) -> datetime:
        """Insert or replace a resource."""
        at: datetime = await self._connection.fetchval(
            _SAVE_RESOURCE,
            resource.id,
            resource.organization_id,
            resource.kind.value,
            resource.name,
            resource.time_zone,
            dict(resource.attributes),
            resource.layout_id,
            resource.provider_id,
            resource.version,
        )
        return at

    async def save_offering(self, offering: Offering) -> datetime:
        """Insert or replace an offering."""
        at: datetime = await self._connection.fetchval(
            _SAVE_OFFERING,
            offering.id,
            offering.organization_id,
            offering.name,
            offering.description,
            offering.mode.value,
            offering.price.amount,
            offering.price.currency,
            offering.reservation_ttl,
            offering.max_seats,
            offering.origin,
            offering.destination,
            offering.distance_km,
            offering.version,
        )
        return at

    async def open(self, offering: Offering, schedules: Sequence[Schedule]) -> datetime:
        """Insert schedules; the exclusion constraint answers where the resource runs another at that time."""
        await self._connection.executemany(
            _OPEN,
            [
                (
                    s.id,
                    s.organization_id,
                    s.offering_id,
                    s.resource_id,
                    s.layout_id,
                    offering.mode.value,
                    place_key(offering.origin),
                    place_key(offering.destination),
                    asyncpg.Range(s.start, s.end),
                    s.start,
                    local_date(s.start, s.time_zone),
                    s.time_zone,
                    s.price.amount,
                    s.price.currency,
                    s.seat_total,
                    s.status.value,
                )
                for s in schedules
            ],
        )
        at: datetime = await self._connection.fetchval("SELECT statement_timestamp()")
        return at

    async def opened_with(self, first: UUID) -> Sequence[UUID]:
        """The schedules opened in one call with this one."""
        return [row["id"] for row in await self._connection.fetch(_OPENED_WITH, first)]
