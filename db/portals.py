"""Portals as the database knows them: whose they are, whether they are on, turns at them; and who could work there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db import job_rows
from db.engine import Connection
from db.job_rows import PORTAL_COLUMNS
from domain.ids import new_id
from domain.jobs import Lane, PortalState

# Who has not been heard of for a day is gone.
_REPORT = """
WITH gone AS (DELETE FROM automation_worker WHERE reported_at < now() - interval '1 day' AND id <> $1)
INSERT INTO automation_worker (id, slots, busy, reported_at) VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET slots = excluded.slots, busy = excluded.busy, reported_at = excluded.reported_at
"""
AVAILABLE = """
SELECT EXISTS (SELECT FROM automation_worker WHERE reported_at > clock_timestamp() - interval '30 seconds')
"""
# A turn is handed out when it has come, and not before: who is stopped while they wait has taken none.
_TURN = """
WITH place AS (
  SELECT key, next_turn, at FROM portal, clock_timestamp() AS at WHERE key = $1 FOR NO KEY UPDATE OF portal
),
taken AS (
  UPDATE portal p SET next_turn = clock_timestamp() + $2::interval FROM place
  WHERE p.key = place.key AND place.next_turn <= at
)
SELECT greatest(next_turn, at) - at FROM place
"""
_FIND_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 4))"
_LANE = """
SELECT (SELECT min(id::text)::uuid FROM offering WHERE organization_id = $1 AND mode = 'APPOINTMENT') AS offering_id,
  (array_agg(r.id ORDER BY r.number) FILTER (WHERE r.free))[1] AS resource_id,
  coalesce(min(r.number) FILTER (WHERE r.free), max(r.number) + 1, 1) AS number
FROM (
  SELECT id, (attributes ->> 'lane')::int AS number, NOT EXISTS (
    SELECT FROM schedule s WHERE s.resource_id = resource.id AND s.status <> 'CANCELLED'
      AND s.during && tstzrange($3, $4)) AS free
  FROM resource WHERE organization_id = $1 AND attributes ->> 'place' = $2 AND attributes ? 'lane'
) AS r
"""
_PORTAL = f"SELECT {PORTAL_COLUMNS} FROM portal p WHERE p.key = $1"
PORTALS = f"SELECT {PORTAL_COLUMNS} FROM portal p ORDER BY p.key"
_ADD_OWNER = """
INSERT INTO organization (id, name, slug, time_zone, currency)
SELECT $1, $2, 'portal-' || $3::text, $4, $5 WHERE NOT EXISTS (SELECT FROM portal WHERE key = $3)
ON CONFLICT (slug) DO NOTHING
"""
_REGISTER = """
INSERT INTO portal (key, organization_id) SELECT $1::text, id FROM organization WHERE slug = 'portal-' || $1::text
ON CONFLICT (key) DO NOTHING
"""
_SWITCH = f"UPDATE portal p SET enabled = $2 WHERE p.key = $1 RETURNING {PORTAL_COLUMNS}"
# While a portal is shut, only who tries it first says anything new of its being down.
_NOTE = f"""
WITH counted AS (
  SELECT key, failures AS before, at,
    CASE WHEN NOT $2 THEN 0 WHEN shut_until > at AND NOT probing THEN failures ELSE failures + 1 END AS failures
  FROM portal, clock_timestamp() AS at WHERE key = $1 FOR NO KEY UPDATE OF portal
)
UPDATE portal p SET failures = c.failures, probing = p.probing AND c.failures = c.before,
  shut_until = CASE
    WHEN c.failures = 0 THEN NULL
    WHEN c.failures = c.before OR c.failures < 5 THEN p.shut_until
    ELSE c.at + least(interval '30 minutes', interval '1 minute' * 2 ^ least(c.failures - 5, 5))
  END
FROM counted c WHERE p.key = c.key
RETURNING {PORTAL_COLUMNS}
"""


class PortalStates:
    """The port over ``portal`` and ``automation_worker``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def report(self, worker: UUID, slots: int, busy: int) -> None:
        """Note that a worker is alive."""
        await self._connection.execute(_REPORT, worker, slots, busy)

    async def available(self) -> bool:
        """Whether a worker was alive of late."""
        return bool(await self._connection.fetchval(AVAILABLE))

    async def lane(self, organization_id: UUID, place: str, start: datetime, end: datetime) -> Lane:
        """Where a booking is put; those who look at once queue."""
        await self._connection.execute(_FIND_ALONE, organization_id)
        row: Any = await self._connection.fetchrow(_LANE, organization_id, place, start, end)
        return Lane(**row)

    async def turn(self, portal: str, gap: timedelta) -> timedelta:
        """Take the turn that has come, or learn when one comes; those who ask at once queue for the row."""
        wait: timedelta = await self._connection.fetchval(_TURN, portal, gap)
        return wait

    async def portal(self, key: str) -> PortalState | None:
        """A portal by its key."""
        return _state(await self._connection.fetchrow(_PORTAL, key))

    async def portals(self) -> Sequence[PortalState]:
        """All, by key."""
        return [job_rows.portal_state(row) for row in await self._connection.fetch(PORTALS)]

    async def register_portal(self, key: str, name: str, time_zone: str, currency: str) -> PortalState:
        """Make what is missing; of those who do so at once, one does."""
        await self._connection.execute(_ADD_OWNER, new_id(), name, key, time_zone, currency)
        await self._connection.execute(_REGISTER, key)
        return job_rows.portal_state(await self._connection.fetchrow(_PORTAL, key))

    async def switch_portal(self, key: str, on: bool) -> PortalState | None:
        """Switch a portal on or off."""
        return _state(await self._connection.fetchrow(_SWITCH, key, on))

    async def note_portal(self, key: str, down: bool) -> PortalState:
        """Count how a visit fared."""
        return job_rows.portal_state(await self._connection.fetchrow(_NOTE, key, down))


def _state(row: Any) -> PortalState | None:
    return job_rows.portal_state(row) if row else None
