"""What everybody may read. Each method is one statement, and waits a moment for a database that is away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from db import rows
from db.engine import Pool
from db.layouts import Layouts
from db.patience import PATIENCE, patiently
from db.rows import SCHEDULE_COLUMNS, SEAT_STATUSES, page
from db.search import beside_schedules, schedule_query
from domain.catalogue import (
    BookingMode,
    Offering,
    Organization,
    Resource,
    ResourceKind,
    Schedule,
    ScheduleSearch,
)
from domain.reads import Beside, Board, Key, Listing, Page
from domain.seats import Allocation, SeatLayout

Item = TypeVar("Item")

_LIVE = "(a.status <> 'HELD' OR a.held_until > clock_timestamp())"
_TAKEN = f"""
SELECT a.schedule_id, a.seat, a.status, a.held_until, a.reservation_id, a.booking_id
FROM allocation a WHERE a.schedule_id = ANY ($1::uuid[]) AND {_LIVE}
"""
# Schedule and seats from one snapshot: a version and the seats that it stands for.
_BOARD = """
SELECT c.now, {columns}, a.*
FROM (SELECT clock_timestamp() AS now) c LEFT JOIN schedule s ON {which} LEFT JOIN LATERAL (
  SELECT array_agg(a.seat) AS seats,
    string_agg(CASE a.status WHEN 'HELD' THEN 'H' WHEN 'BOOKED' THEN 'B' ELSE 'X' END, '') AS letters{ends}
  FROM allocation a WHERE a.schedule_id = s.id AND (a.status <> 'HELD' OR a.held_until > c.now)
) a ON true ORDER BY s.starts_at
"""
_ENDS = ", array_agg(a.held_until) FILTER (WHERE a.status = 'HELD') AS untils"
_BOARD_OF_SCHEDULE = _BOARD.format(columns=SCHEDULE_COLUMNS, which="s.id = $1", ends=_ENDS)
_BOARD_WITHOUT_ENDS = _BOARD.format(columns=SCHEDULE_COLUMNS, which="s.id = $1", ends="")
_BOARD_OF_RESOURCE = _BOARD.format(
    columns=SCHEDULE_COLUMNS,
    ends=_ENDS,
    which="s.resource_id = $1 AND s.starts_at >= $2 AND s.starts_at < $3 AND s.status <> 'CANCELLED'",
)
_SCHEDULES = f"SELECT {SCHEDULE_COLUMNS} FROM schedule s WHERE s.id = ANY ($1::uuid[])"
_ORGANIZATIONS = """
SELECT * FROM organization WHERE $2::text IS NULL OR (name, id) > ($2, $3::uuid) ORDER BY name, id LIMIT $1
"""
_OFFERINGS = """
SELECT * FROM offering WHERE ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR organization_id = $3)
  AND ($4::text IS NULL OR mode = $4) ORDER BY id LIMIT $1
"""
_RESOURCES = """
SELECT * FROM resource WHERE ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR organization_id = $3)
  AND ($4::text IS NULL OR kind = $4) ORDER BY id LIMIT $1
"""
_PROVIDED = "SELECT id FROM resource WHERE provider_id = $1 AND organization_id = $2 ORDER BY id"


class Reads:
    """The port over the pool."""

    def __init__(self, pool: Pool, layouts: Layouts, patience: float = PATIENCE) -> None:
        self._pool = pool
        self._layouts = layouts
        self._patience = patience

    def patient(self) -> Reads:
        """The same, waiting for a database that is away as long as it takes."""
        return Reads(self._pool, self._layouts, inf)

    async def now(self) -> datetime:
        """The database's clock."""
        now: datetime = (await self._fetch("SELECT clock_timestamp()"))[0][0]
        return now

    async def organizations(self, first: int, after: Key | None) -> Page[Organization]:
        """All organizations, by name."""
        found = await self._fetch(_ORGANIZATIONS, first + 1, *(after or (None, None)))
        return page(found, first, rows.organization, lambda row: (row["name"], row["id"]))

    async def offerings(
        self, first: int, after: Key | None, organization_id: UUID | None, mode: BookingMode | None
    ) -> Page[Offering]:
        """Offerings in the order they were made."""
        found = await self._fetch(_OFFERINGS, first + 1, *(after or (None,)), organization_id, mode)
        return page(found, first, rows.offering, lambda row: (row["id"],))

    async def resources(
        self, first: int, after: Key | None, organization_id: UUID | None, kind: ResourceKind | None
    ) -> Page[Resource]:
        """Resources in the order they were made."""
        found = await self._fetch(_RESOURCES, first + 1, *(after or (None,)), organization_id, kind)
        return page(found, first, rows.resource, lambda row: (row["id"],))

    async def schedules(
        self, first: int, after: Key | None, search: ScheduleSearch, beside: Beside
    ) -> Listing:
        """Schedules that fit, by start."""
        query = schedule_query(search, after, first + 1)
        found = await self._fetch(beside_schedules(query.text, beside), *query.values)
        listed = page(found, first, rows.schedule, lambda row: (row["starts_at"], row["id"]))
        if not found:
            return Listing(listed)
        return Listing(
            listed,
            counts={row["id"]: rows.counts(row) for row in found} if beside.counts else {},
            now=found[0]["now"] if beside.counts else None,
            offerings=_by_id(found[0]["offerings"], rows.offering) if beside.offering else {},
            resources=_by_id(found[0]["resources"], rows.resource) if beside.resource else {},
        )

    async def organizations_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Organization]:
        """Those that there are."""
        return await self._by_id(
            "SELECT * FROM organization WHERE id = ANY ($1::uuid[])", ids, rows.organization
        )

    async def resources_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Resource]:
        """Those that there are."""
        return await self._by_id("SELECT * FROM resource WHERE id = ANY ($1::uuid[])", ids, rows.resource)

    async def offerings_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Offering]:
        """Those that there are."""
        return await self._by_id("SELECT * FROM offering WHERE id = ANY ($1::uuid[])", ids, rows.offering)

    async def schedules_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Schedule]:
        """Those that there are."""
        return await self._by_id(_SCHEDULES, ids, rows.schedule)

    async def layouts_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, SeatLayout]:
        """Those that there are; one that is known costs no statement."""
        return await patiently(lambda: self._layouts.get_many(self._pool, ids), self._patience)

    async def taken_by_schedule(self, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Allocation]]:
        """What is not free on each schedule."""
        taken: dict[UUID, list[Allocation]] = {id_: [] for id_ in ids}
        for row in await self._fetch(_TAKEN, ids):
            taken[row["schedule_id"]].append(
                Allocation(
                    row["seat"],
                    SEAT_STATUSES[row["status"]],
                    row["held_until"],
                    row["reservation_id"],
                    row["booking_id"],
                )
            )
        return taken

    async def provided_by(self, account_id: UUID, organization_id: UUID) -> Sequence[UUID]:
        """The resources of an organization behind which this person stands."""
        return [row["id"] for row in await self._fetch(_PROVIDED, account_id, organization_id)]

    async def board(self, schedule_id: UUID, ends: bool = True) -> Board:
        """One schedule with its seats."""
        return _board(await self._fetch(_BOARD_OF_SCHEDULE if ends else _BOARD_WITHOUT_ENDS, schedule_id))

    async def board_of_resource(self, resource_id: UUID, start: datetime, end: datetime) -> Board:
        """What a resource runs in [start, end), with the seats."""
        return _board(await self._fetch(_BOARD_OF_RESOURCE, resource_id, start, end))

    async def _by_id(
        self, statement: str, ids: Sequence[UUID], made: Callable[[Any], Item]
    ) -> Mapping[UUID, Item]:
        return _by_id(await self._fetch(statement, ids), made)

    async def _fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        return await patiently(lambda: self._pool.fetch(statement, *values), self._patience)


def _by_id(found: Sequence[asyncpg.Record], made: Callable[[Any], Item]) -> Mapping[UUID, Item]:
    return {row["id"]: made(row) for row in found}


def _board(found: list[asyncpg.Record]) -> Board:
    """At least one row, which has the clock; without an id there is no schedule."""
    there = [row for row in found if row["id"]]
    return Board(
        schedules=[rows.schedule(row) for row in there],
        taken={row["id"]: rows.taken(row) for row in there},
        now=found[0]["now"],
    )
