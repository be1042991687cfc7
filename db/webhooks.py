"""Endpoints and deliveries: the statements behind ``domain.webhooks.WebhookStore``.

*Telling* goes along the settled log with one cursor for all endpoints, in one process at a time (the lock of the
cursor's row). An endpoint that is not told with the others (paused, disabled, or rewound) has a place of its own
(``behind_*``) and catches up from there to the cursor, under the same lock: so it rejoins without a hole.

*Sending* belongs to one worker for each endpoint, by a lease on its row. That worker alone decides which deliveries
wait behind an earlier one of their subject (``due_at`` empty), and lets them go on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.engine import Connection
from db.log import COLUMNS as EVENT_COLUMNS
from db.log import logged
from db.rows import page
from domain.events import Position
from domain.reads import Key, Page
from domain.webhooks import (
    PATIENCE,
    QR_CODE,
    TESTED,
    Attempt,
    Delivery,
    DeliveryStatus,
    Due,
    Endpoint,
    OlderJob,
    Outcome,
    Told,
    WebhookStatus,
)

BACKLOG = 5_000
"""Unsent deliveries of an endpoint: who has more is told of no more until they are fewer."""

KEPT_ATTEMPTS = 20

_BEYOND = 2**63 - 1

_ENDPOINT = """w.id, w.url, w.types, w.status, w.organization_id, w.account_id, w.job_id, w.older, w.failing_since,
w.generation, w.rotated_at, w.version"""
_EVENT = ", ".join(f"e.{column}" for column in re.split(r",\s+", EVENT_COLUMNS))

_JOB = "j.id AS job, j.reference, j.subject, j.account_id AS job_account, j.config, j.outcome"

_ADD = """
INSERT INTO webhook_endpoint (id, organization_id, account_id, job_id, url, types, older)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING created_at
"""
_ONE = f"SELECT {_ENDPOINT} FROM webhook_endpoint w WHERE w.id = $1"
_LOCKED = f"{_ONE} FOR NO KEY UPDATE"
_ALL = f"SELECT {_ENDPOINT} FROM webhook_endpoint w ORDER BY w.id DESC LIMIT $1"
_COUNT = """
SELECT count(*) FROM webhook_endpoint
WHERE job_id IS NULL AND (organization_id = $1 OR account_id = $2)
"""
_COUNT_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 5))"
_COUNT_OF_JOBS = """
SELECT count(*) FROM (
  SELECT FROM webhook_endpoint
  WHERE account_id = $1 AND job_id IS NOT NULL AND created_at > now() - $2::interval LIMIT $3) lately
"""
_ANYBODY = "SELECT EXISTS (SELECT FROM webhook_endpoint WHERE status = 'ACTIVE')"
_LOCK_CURSOR = "SELECT xid::text, id FROM webhook_cursor FOR UPDATE"
_SAVE = """
UPDATE webhook_endpoint w SET url = $2, types = $3, status = $4, failing_since = $5, generation = $6, rotated_at = $7,
  version = $8, behind_xid = CASE WHEN $4 = 'ACTIVE' THEN behind_xid ELSE coalesce(behind_xid, c.xid) END,
  behind_id = CASE WHEN $4 = 'ACTIVE' THEN behind_id ELSE coalesce(behind_id, c.id) END
FROM webhook_cursor c WHERE w.id = $1 RETURNING now()
"""
_REMOVE = "DELETE FROM webhook_endpoint WHERE id = $1"
# Who is behind already, further than where the replay begins, is told all of it.
_REWIND = """
UPDATE webhook_endpoint SET behind_xid = $2::text::xid8, behind_id = $3
WHERE id = $1 AND (behind_xid IS NULL OR (behind_xid, behind_id) > ($2::text::xid8, $3))
"""

_DELIVERY = f"""
SELECT d.id AS number, d.endpoint_id, d.status, d.attempts, d.due_at, {_EVENT}
FROM webhook_delivery d JOIN event e ON e.stream_id = d.stream_id AND e.version = d.version
"""
_DELIVERIES = f"""
SELECT d.* FROM unnest($1::uuid[]) AS w (id), LATERAL (
  {_DELIVERY} WHERE d.endpoint_id = w.id AND d.id < $2{{of_status}} ORDER BY d.id DESC LIMIT $3
) d
"""
_RETRY = """
UPDATE webhook_delivery SET status = 'PENDING', tries = 0, due_at = now() WHERE id = $1
"""
_SAMPLE = """
INSERT INTO webhook_delivery (endpoint_id, stream_id, version) VALUES ($1, $1, $2) RETURNING id
"""
_SETTLE = f"""
UPDATE webhook_delivery SET status = $2, tries = 1, due_at = NULL,
  attempts = CASE WHEN jsonb_array_length(attempts) >= {KEPT_ATTEMPTS} THEN attempts - 0 ELSE attempts END || $3::jsonb
WHERE id = $1
"""

# Three branches, each along an index: what an organization, an account, or a job is told of.
_HEARS = """
LATERAL (
  SELECT w.id, w.types FROM webhook_endpoint w
  WHERE w.organization_id = e.organization_id AND {mode} AND e.xid >= w.since_xid
  UNION ALL
  SELECT w.id, w.types FROM webhook_endpoint w
  WHERE w.account_id = e.account_id AND w.job_id IS NULL AND {mode} AND e.xid >= w.since_xid
  UNION ALL
  SELECT w.id, w.types FROM webhook_endpoint w
  WHERE w.job_id = e.stream_id AND {mode} AND e.xid >= w.since_xid
) w
"""
_WANTED = f"""
(w.types @> ARRAY[e.type] OR w.types @> ARRAY['*'] OR w.types @> ARRAY[split_part(e.type, '.', 1) || '.*'])
AND e.type <> '{TESTED}'
"""
# Nobody told with the others was there before the oldest of them was made: what is older needs no look.
_TELL = f"""
WITH batch AS MATERIALIZED (
  SELECT xid, id, stream_id, version, type, organization_id, account_id FROM event
  WHERE (xid, id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    AND xid >= (SELECT min(since_xid) FROM webhook_endpoint WHERE status = 'ACTIVE' AND behind_xid IS NULL)
  ORDER BY event.xid, event.id LIMIT $3
),
told AS (
  INSERT INTO webhook_delivery (endpoint_id, stream_id, version, due_at)
  SELECT w.id, e.stream_id, e.version, now()
  FROM batch e, {_HEARS.format(mode="w.status = 'ACTIVE' AND w.behind_xid IS NULL")}
  WHERE {_WANTED} ORDER BY e.xid, e.id
  ON CONFLICT (endpoint_id, stream_id, version) DO NOTHING
  RETURNING endpoint_id
),
moved AS (
  UPDATE webhook_cursor c SET xid = last.xid, id = last.id
  FROM (SELECT xid, id FROM batch ORDER BY xid DESC, id DESC LIMIT 1) last
)
SELECT array(SELECT DISTINCT endpoint_id FROM told) AS endpoints, (SELECT count(*) FROM batch) AS events
"""

_FALL_BEHIND = f"""
UPDATE webhook_endpoint w SET behind_xid = c.xid, behind_id = c.id FROM webhook_cursor c
WHERE w.id IN (SELECT id FROM webhook_endpoint WHERE id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED)
  AND w.behind_xid IS NULL AND {BACKLOG} <= (
  SELECT count(*) FROM (
    SELECT FROM webhook_delivery d WHERE d.endpoint_id = w.id AND d.status IN ('PENDING', 'RETRYING') LIMIT {BACKLOG}
  ) unsent)
"""
_BEHIND = f"""
SELECT w.id, w.organization_id, w.account_id, w.job_id, w.types, w.behind_xid::text AS xid, w.behind_id
FROM webhook_endpoint w
WHERE w.behind_xid IS NOT NULL AND w.status = 'ACTIVE' AND {BACKLOG} > (
  SELECT count(*) FROM (
    SELECT FROM webhook_delivery d WHERE d.endpoint_id = w.id AND d.status IN ('PENDING', 'RETRYING') LIMIT {BACKLOG}
  ) unsent)
ORDER BY w.id LIMIT 5 FOR NO KEY UPDATE SKIP LOCKED
"""
_CATCH_UP = f"""
WITH batch AS MATERIALIZED (
  SELECT * FROM (
    (SELECT * FROM event WHERE organization_id = $2 AND {{window}} ORDER BY xid, id LIMIT $7)
    UNION ALL
    (SELECT * FROM event WHERE account_id = $3 AND $4::uuid IS NULL AND {{window}} ORDER BY xid, id LIMIT $7)
    UNION ALL
    (SELECT * FROM event WHERE stream_id = $4 AND {{window}} ORDER BY xid, id LIMIT $7)
  ) e
),
told AS (
  INSERT INTO webhook_delivery AS d (endpoint_id, stream_id, version, due_at)
  SELECT $1, e.stream_id, e.version, now() FROM batch e, (SELECT $8::text[] AS types) w
  WHERE {_WANTED} ORDER BY e.xid, e.id
  ON CONFLICT (endpoint_id, stream_id, version) DO UPDATE SET status = 'PENDING', tries = 0, due_at = now()
    WHERE d.status IN ('SUCCEEDED', 'DEAD')
),
last AS (SELECT xid, id FROM batch ORDER BY xid DESC, id DESC LIMIT 1),
moved AS (
  UPDATE webhook_endpoint SET
    behind_xid = CASE WHEN (SELECT count(*) FROM batch) = $7 THEN (SELECT xid FROM last) END,
    behind_id = CASE WHEN (SELECT count(*) FROM batch) = $7 THEN (SELECT id FROM last) END
  WHERE id = $1
)
SELECT count(*) FROM batch
""".replace(
    "{window}", "(xid, id) > ($5::text::xid8, $6) AND (xid, id) <= (SELECT c.xid, c.id FROM webhook_cursor c)"
)

_CLAIM = f"""
UPDATE webhook_endpoint w SET worker = $1, leased_until = now() + $3
FROM (
  SELECT id FROM webhook_endpoint
  WHERE id = ANY ($2::uuid[]) AND status = 'ACTIVE' AND (worker IS NULL OR worker = $1 OR leased_until <= now())
  ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
) free
WHERE w.id = free.id RETURNING {_ENDPOINT}
"""
# A skip scan: one look at the index for each endpoint that has something to send, however much that is.
_WAITING = """
WITH RECURSIVE line AS (
  (SELECT endpoint_id, due_at FROM webhook_delivery WHERE due_at IS NOT NULL ORDER BY endpoint_id, due_at LIMIT 1)
  UNION ALL
  SELECT next.* FROM line, LATERAL (
    SELECT d.endpoint_id, d.due_at FROM webhook_delivery d
    WHERE d.due_at IS NOT NULL AND d.endpoint_id > line.endpoint_id ORDER BY d.endpoint_id, d.due_at LIMIT 1
  ) next
)
SELECT w.id FROM line JOIN webhook_endpoint w ON w.id = line.endpoint_id
WHERE line.due_at <= now() AND w.status = 'ACTIVE' AND (w.worker IS NULL OR w.leased_until <= now())
ORDER BY w.failing_since IS NOT NULL OR w.id = ANY ($2::uuid[]), line.due_at LIMIT $1
"""

_MINE = f"""
SELECT {_ENDPOINT} FROM webhook_endpoint w
WHERE w.id = ANY ($2::uuid[]) AND w.worker = $1 AND w.leased_until > now() AND w.status = 'ACTIVE'
"""
# What the log has forgotten is dropped. Of its subject nothing is parked in that moment: nobody would let it go on.
_DUE = f"""
WITH near AS MATERIALIZED (
  SELECT d.*, room.older
  FROM unnest($1::uuid[], $2::integer[], $3::boolean[], $4::text[]) AS room (id, most, older, held), LATERAL (
    SELECT id, endpoint_id, stream_id, version, tries FROM webhook_delivery
    WHERE endpoint_id = room.id AND due_at <= now() AND id <> ALL (room.held::bigint[])
    ORDER BY due_at LIMIT room.most
  ) d
),
forgotten AS MATERIALIZED (
  SELECT id, endpoint_id, stream_id FROM near WHERE NOT EXISTS (
    SELECT FROM event e WHERE e.stream_id = near.stream_id AND e.version = near.version)
),
dropped AS (DELETE FROM webhook_delivery d USING forgotten f WHERE d.id = f.id),
freed AS (
  UPDATE webhook_delivery d SET due_at = now() FROM (SELECT DISTINCT endpoint_id, stream_id FROM forgotten) line
  WHERE d.endpoint_id = line.endpoint_id AND d.stream_id = line.stream_id
    AND d.status IN ('PENDING', 'RETRYING') AND d.due_at IS NULL
),
judged AS MATERIALIZED (
  SELECT near.*, EXISTS (
    SELECT FROM webhook_delivery d WHERE d.endpoint_id = near.endpoint_id AND d.stream_id = near.stream_id
      AND d.version < near.version AND d.status IN ('PENDING', 'RETRYING')
  ) AS waits FROM near
),
parked AS (
  UPDATE webhook_delivery d SET due_at = NULL FROM judged
  WHERE d.id = judged.id AND judged.waits
    AND NOT EXISTS (SELECT FROM forgotten f WHERE f.endpoint_id = d.endpoint_id AND f.stream_id = d.stream_id)
)
SELECT d.id AS number, d.endpoint_id, d.tries, {_EVENT},
  {_JOB}
FROM judged d JOIN event e ON e.stream_id = d.stream_id AND e.version = d.version
LEFT JOIN automation_job j ON d.older AND j.id = d.stream_id
WHERE NOT d.waits ORDER BY e.xid, e.id
"""

_FINISH = f"""
UPDATE webhook_delivery d SET status = r.status, due_at = now() + r.after, tries = d.tries + 1,
  attempts = CASE WHEN jsonb_array_length(d.attempts) >= {KEPT_ATTEMPTS} THEN d.attempts - 0 ELSE d.attempts END
    || r.attempt
FROM unnest($2::bigint[], $3::text[], $4::interval[], $5::jsonb[]) AS r (id, status, after, attempt)
JOIN webhook_delivery before ON before.id = r.id JOIN webhook_endpoint w ON w.id = before.endpoint_id
WHERE d.id = r.id AND d.status IN ('PENDING', 'RETRYING') AND w.worker = $1
RETURNING d.endpoint_id, d.stream_id, d.status
"""
_NEXT = """
UPDATE webhook_delivery d SET due_at = now()
FROM unnest($1::uuid[], $2::uuid[]) AS line (endpoint_id, stream_id), LATERAL (
  SELECT n.id FROM webhook_delivery n
  WHERE n.endpoint_id = line.endpoint_id AND n.stream_id = line.stream_id AND n.status IN ('PENDING', 'RETRYING')
  ORDER BY n.version LIMIT 1
) next
WHERE d.id = next.id AND d.due_at IS NULL
"""
_FAIL = """
UPDATE webhook_endpoint w SET
  failing_since = CASE WHEN w.id = ANY ($3::uuid[]) THEN NULL ELSE coalesce(w.failing_since, now()) END
WHERE w.worker = $1 AND w.id = ANY ($2::uuid[] || $3::uuid[])
"""
_DISABLE = f"""
UPDATE webhook_endpoint w SET status = 'DISABLED_FAILING', version = w.version + 1, worker = NULL, leased_until = NULL,
  behind_xid = coalesce(w.behind_xid, c.xid), behind_id = coalesce(w.behind_id, c.id)
FROM webhook_cursor c
WHERE w.worker = $1 AND w.status = 'ACTIVE'
  AND (w.id = ANY ($3::uuid[]) OR w.id = ANY ($2::uuid[]) AND w.failing_since < now() - $4::interval)
RETURNING {_ENDPOINT}, now() AS at
"""
_OVERDUE = """
SELECT EXISTS (SELECT FROM webhook_endpoint WHERE id = ANY ($1::uuid[]) AND failing_since < now() - $2::interval)
"""
_RELEASE = """
UPDATE webhook_endpoint SET worker = NULL, leased_until = NULL WHERE worker = $1 AND id = ANY ($2::uuid[])
"""
_FORGET = """
WITH gone AS (
  DELETE FROM webhook_delivery d USING (SELECT id, created_at FROM webhook_delivery ORDER BY id LIMIT $2) oldest
  WHERE d.id = oldest.id AND oldest.created_at < now() - $1::interval
  RETURNING d.endpoint_id, d.stream_id
),
freed AS (
  UPDATE webhook_delivery d SET due_at = now() FROM (SELECT DISTINCT * FROM gone) line
  WHERE d.endpoint_id = line.endpoint_id AND d.stream_id = line.stream_id
    AND d.status IN ('PENDING', 'RETRYING') AND d.due_at IS NULL
)
SELECT count(*) FROM gone
"""
_FORGET_OF_JOBS = """
WITH gone AS (
  DELETE FROM webhook_endpoint w USING (
    SELECT w.id FROM webhook_endpoint w JOIN automation_job j ON j.id = w.job_id
    WHERE j.finished_at < now() - $1::interval
      AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = w.id) LIMIT $2
  ) old
  WHERE w.id = old.id RETURNING w.id
)
SELECT count(*) FROM gone
"""
_CODE_ENDPOINTS = f"""
SELECT {_ENDPOINT}, {_JOB} FROM webhook_endpoint w JOIN automation_job j ON j.id = $1
WHERE w.status = 'ACTIVE' AND w.types @> ARRAY['{QR_CODE}'] AND w.account_id = j.account_id
  AND (w.job_id IS NULL OR w.job_id = j.id)
"""


class Webhooks:
    """The port over ``webhook_endpoint``, ``webhook_delivery`` and ``webhook_cursor``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, endpoint: Endpoint) -> datetime:
        """Write a new endpoint; the instant of it (UTC)."""
        at: datetime = await self._connection.fetchval(
            _ADD,
            endpoint.id,
            endpoint.organization_id,
            endpoint.account_id,
            endpoint.job_id,
            endpoint.url,
            endpoint.types,
            endpoint.older,
        )
        return at

    async def endpoint(self, endpoint_id: UUID, *, lock: bool = False) -> Endpoint | None:
        """An endpoint that the caller may see, locked if asked for; None if there is none."""
        row = await self._connection.fetchrow(_LOCKED if lock else _ONE, endpoint_id)
        return _endpoint(row) if row else None

    async def endpoints(self, limit: int) -> Sequence[Endpoint]:
        """Those that the caller may see, the newest first."""
        return [_endpoint(row) for row in await self._connection.fetch(_ALL, limit)]

    async def count(self, organization_id: UUID | None, account_id: UUID | None) -> int:
        """Count under a lock, so that two who count at once do not both find room."""
        await self._connection.execute(_COUNT_ALONE, organization_id or account_id)
        return int(await self._connection.fetchval(_COUNT, organization_id, account_id))

    async def count_of_jobs(self, account_id: UUID, within: timedelta, most: int) -> int:
        """How many endpoints of an account's jobs were made lately; whoever starts jobs is counted alone before."""
        return int(await self._connection.fetchval(_COUNT_OF_JOBS, account_id, within, most))

    async def save(self, endpoint: Endpoint) -> datetime:
        """Replace an endpoint; one that is told no more remembers from where on."""
        await self._connection.execute(_LOCK_CURSOR)
        at: datetime = await self._connection.fetchval(
            _SAVE,
            endpoint.id,
            endpoint.url,
            endpoint.types,
            endpoint.status.value,
            endpoint.failing_since,
            endpoint.generation,
            endpoint.rotated_at,
            endpoint.version,
        )
        return at

    async def remove(self, endpoint_id: UUID) -> None:
        """Remove an endpoint and its deliveries."""
        await self._connection.execute(_LOCK_CURSOR)  # who tells has no row of it that would refer to nothing
        await self._connection.execute(_REMOVE, endpoint_id)

    async def rewind(self, endpoint_id: UUID, after: Position) -> None:
        """Let an endpoint hear once more everything after a place of the log."""
        await self._connection.execute(_REWIND, endpoint_id, str(after.xid), after.id)

    async def deliveries(
        self, endpoints: Sequence[UUID], first: int, after: Key | None, status: DeliveryStatus | None
    ) -> Sequence[Page[Delivery]]:
        """A page of each endpoint's deliveries, the newest first."""
        of_status = f" AND d.status = '{status.value}'" if status else ""
        (before,) = after or (_BEYOND,)
        found: dict[UUID, list[Any]] = {id_: [] for id_ in endpoints}
        statement = _DELIVERIES.format(of_status=of_status)
        for row in await self._connection.fetch(statement, list(found), before, first + 1):
            found[row["endpoint_id"]].append(row)
        return [page(found[id_], first, _delivery, lambda row: (row["number"],)) for id_ in endpoints]

    async def delivery(self, delivery_id: UUID) -> Delivery | None:
        """A delivery that the caller may see."""
        number = _number(delivery_id)
        row = (
            None
            if number is None
            else await self._connection.fetchrow(f"{_DELIVERY} WHERE d.id = $1", number)
        )
        return _delivery(row) if row else None

    async def retry(self, delivery_id: UUID) -> None:
        """Send a delivery again, and, if that fails, as often as a new one."""
        await self._connection.execute(_RETRY, _number(delivery_id))

    async def sample(self, endpoint: Endpoint) -> UUID:
        """A delivery of the endpoint's newest own event, which nobody but the caller sends."""
        return UUID(int=await self._connection.fetchval(_SAMPLE, endpoint.id, endpoint.version))

    async def settle(self, delivery_id: UUID, outcome: Outcome) -> None:
        """Write what became of a sample."""
        values = _number(delivery_id), outcome.status.value, _attempt_json(outcome.attempt)
        await self._connection.execute(_SETTLE, *values)

    async def told(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(await self._connection.fetchval(_ANYBODY))

    async def tell(self, limit: int, *, behind: bool) -> Told:
        """Make deliveries of the next events of the log, and of what endpoints missed before."""
        await self._unhurried()
        (cursor,) = await self._connection.fetch(_LOCK_CURSOR)
        (told,) = await self._connection.fetch(_TELL, cursor["xid"], cursor["id"], limit)
        endpoints, events = [*told["endpoints"]], told["events"]
        await self._connection.execute(_FALL_BEHIND, endpoints)
        late = await self._connection.fetch(_BEHIND) if behind else []
        for each in late:
            events = max(events, await self._catch_up(each, limit))
            endpoints.append(each["id"])
        return Told(endpoints, events, bool(late))

    async def _catch_up(self, behind: Any, limit: int) -> int:
        whose = behind["organization_id"], behind["account_id"], behind["job_id"]
        place = behind["xid"], behind["behind_id"]
        looked: int = await self._connection.fetchval(
            _CATCH_UP, behind["id"], *whose, *place, limit, behind["types"]
        )
        return looked

    async def claim(self, worker: UUID, touched: Sequence[UUID], lease: timedelta) -> Sequence[Endpoint]:
        """Take, or keep, for a while the right to send to these endpoints, if nobody else has it."""
        return [_endpoint(row) for row in await self._connection.fetch(_CLAIM, worker, touched, lease)]

    async def waiting(self, limit: int, slow: Sequence[UUID]) -> Sequence[UUID]:
        """Active endpoints to which something is to be sent now, and which nobody sends to; the slow ones last."""
        return [row["id"] for row in await self._connection.fetch(_WAITING, limit, slow)]

    async def due(
        self, worker: UUID, room: Mapping[UUID, tuple[int, Collection[int]]]
    ) -> tuple[Sequence[Endpoint], Sequence[Due]]:
        """Those endpoints that are this worker's, and what is to be sent to them now."""
        await self._unhurried()
        mine = [_endpoint(row) for row in await self._connection.fetch(_MINE, worker, list(room))]
        free = [(endpoint, *room[endpoint.id]) for endpoint in mine if room[endpoint.id][0]]
        if not free:
            return mine, []
        columns = zip(*((each.id, most, each.older, _array(held)) for each, most, held in free), strict=True)
        return mine, [
            _due(row) for row in await self._connection.fetch(_DUE, *(list(each) for each in columns))
        ]

    async def finish(self, worker: UUID, outcomes: Sequence[Outcome]) -> None:
        """Write what became of deliveries, and let the next of their subjects go on."""
        await self._unhurried()
        columns = zip(
            *((each.number, each.status.value, each.after, _attempt_json(each.attempt)) for each in outcomes),
            strict=True,
        )
        rows = await self._connection.fetch(_FINISH, worker, *(list(column) for column in columns))
        over = {(row["endpoint_id"], row["stream_id"]) for row in rows if row["status"] != "RETRYING"}
        if over:
            await self._connection.execute(_NEXT, [line[0] for line in over], [line[1] for line in over])

    async def fail(
        self, worker: UUID, failed: Sequence[UUID], recovered: Sequence[UUID], gone: Sequence[UUID]
    ) -> Sequence[tuple[Endpoint, datetime]]:
        """Note which endpoints fail or do so no more; those that are disabled by that, as of when."""
        await self._connection.execute(_FAIL, worker, [*failed, *gone], recovered)
        if not gone and not await self._connection.fetchval(_OVERDUE, failed, PATIENCE):
            return []
        await self._connection.execute(_LOCK_CURSOR)
        rows = await self._connection.fetch(_DISABLE, worker, failed, gone, PATIENCE)
        return [(_endpoint(row), row["at"]) for row in rows]

    async def release(self, worker: UUID, endpoints: Sequence[UUID]) -> None:
        """Give up the right to send to these."""
        await self._connection.execute(_RELEASE, worker, endpoints)

    async def forget(self, keep: timedelta, limit: int) -> int:
        """Drop deliveries that are older than ``keep``, and endpoints of jobs that ended before; how many."""
        deliveries = int(await self._connection.fetchval(_FORGET, keep, limit))
        return deliveries + int(await self._connection.fetchval(_FORGET_OF_JOBS, keep, limit))

    async def code_endpoints(self, job_id: UUID) -> Sequence[tuple[Endpoint, OlderJob]]:
        """Active endpoints of its owner that asked for the login codes of a job, and what they are told of it."""
        rows = await self._connection.fetch(_CODE_ENDPOINTS, job_id)
        return [(_endpoint(row), _older_job(row)) for row in rows]

    async def _unhurried(self) -> None:
        """Commit without waiting for the disk: what a crash undoes is done, and sent, once more."""
        await self._connection.execute("SET LOCAL synchronous_commit = off")


def _number(delivery_id: UUID) -> int | None:
    """The number in the id of a delivery; None for an id that none has."""
    return delivery_id.int if delivery_id.int < 1 << 63 else None


def _array(numbers: Collection[int]) -> str:
    """An array in PostgreSQL's own words: one in another cannot be passed with as many elements as each has."""
    return f"{{{','.join(map(str, numbers))}}}"


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(
        id=row["id"],
        url=row["url"],
        types=tuple(row["types"]),
        status=WebhookStatus(row["status"]),
        organization_id=row["organization_id"],
        account_id=row["account_id"],
        job_id=row["job_id"],
        older=row["older"],
        failing_since=row["failing_since"],
        generation=row["generation"],
        rotated_at=row["rotated_at"],
        version=row["version"],
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=UUID(int=row["number"]),
        endpoint_id=row["endpoint_id"],
        status=DeliveryStatus(row["status"]),
        event=logged(row),
        attempts=[_attempt(each) for each in row["attempts"]],
        next_attempt_at=row["due_at"],
    )


def _due(row: Any) -> Due:
    return Due(
        row["number"], row["endpoint_id"], logged(row), row["tries"], _older_job(row) if row["job"] else None
    )


def _older_job(row: Any) -> OlderJob:
    outcome = row["outcome"] or {}
    slot = outcome.get("slot") or {}
    return OlderJob(
        reference=row["reference"] or str(row["job"]),
        user=row["subject"] or str(row["job_account"]),
        config=row["config"],
        booking_number=outcome.get("number"),
        exam_date=slot.get("date"),
        exam_time=slot.get("time"),
    )


def _attempt_json(attempt: Attempt) -> dict[str, object]:
    return {
        "at": attempt.at.isoformat(),
        "ms": round(attempt.duration.total_seconds() * 1_000),
        "status": attempt.status_code,
        "error": attempt.error,
    }


def _attempt(kept: Mapping[str, Any]) -> Attempt:
    at, took = datetime.fromisoformat(kept["at"]), timedelta(milliseconds=kept["ms"])
    return Attempt(at, took, kept["status"], kept["error"])
