"""Automation jobs: the queue, leases with their fencing tokens, and the steps of runs.

All is judged by the database's clock. Where several jobs are locked they are so in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from db import job_rows
from db.engine import Connection
from db.job_rows import JOB_BY_REFERENCE, JOB_COLUMNS
from db.portals import PortalStates
from domain.errors import PolicyViolation
from domain.jobs import (
    FINAL,
    PROGRESS,
    Advance,
    Artifact,
    AutomationStatus,
    Claim,
    Job,
    Lease,
    LeaseLost,
    NewJob,
)

# Before any row's lock, for the reason that migration 0002 gives: the log has a job's steps in their order.
_QUEUE = """
SELECT pg_advisory_xact_lock(hashtextextended(id::text, 2)) FROM (
  SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id) AS wanted
"""
_COUNT_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 3))"
_UNFINISHED = "SELECT count(*) FROM automation_job WHERE account_id = $1 AND finished_at IS NULL"
_ADD = f"""
INSERT INTO automation_job AS j (id, account_id, organization_id, portal_key, config, subject, reference, status,
  message, steps, created_at, deadline_at)
SELECT $1, $2, $3, $4, $5, $6, $7, 'QUEUED', $8, automation_steps('[]', 'QUEUED', $8, at), at, at + $9::interval
FROM clock_timestamp() AS at
RETURNING {JOB_COLUMNS}
"""
_JOB = f"SELECT {JOB_COLUMNS} FROM automation_job j WHERE j.id = $1 FOR NO KEY UPDATE"

# What ends a job, of whose run nothing is written any more; where the click may have happened, nobody knows how.
_END = f"""
UPDATE automation_job j SET
  status = {{status}}, message = {{message}}, failure = {{failure}}, stop_asked = {{stop_asked}},
  steps = automation_steps(j.steps, {{status}}, {{message}}, at),
  finished_at = at, lease_until = NULL, version = j.version + 1
FROM clock_timestamp() AS at WHERE {{which}}
RETURNING {JOB_COLUMNS}
"""
_NOBODYS = "j.finished_at IS NULL AND (j.lease_until IS NULL OR j.lease_until <= at)"
_STOP_NOW = _END.format(
    status="CASE WHEN j.fence IS NULL THEN 'STOPPED' ELSE 'FAILED' END",
    message="CASE WHEN j.fence IS NULL THEN $2::text ELSE $3::text END",
    failure="CASE WHEN j.fence IS NOT NULL THEN 'UNKNOWN_OUTCOME' END",
    stop_asked="true",
    which=f"j.id = $1 AND j.finished_at IS NULL AND (j.fence IS NULL OR {_NOBODYS})",
)
_ASK_TO_STOP = f"""
UPDATE automation_job j SET stop_asked = true, message = $2, version = j.version + 1
WHERE j.id = ANY ($1::uuid[]) AND j.finished_at IS NULL AND NOT j.stop_asked
RETURNING {JOB_COLUMNS}
"""
_RUNNING_AT = """
SELECT id FROM automation_job WHERE finished_at IS NULL AND portal_key = $1 AND lease_until > clock_timestamp()
"""
_PAST_IT = f"""
SELECT id FROM (
  SELECT j.id FROM automation_job j, clock_timestamp() AS at
  WHERE {_NOBODYS} AND (j.deadline_at <= at OR j.stop_asked)
  ORDER BY j.deadline_at LIMIT $1
) AS past WHERE pg_try_advisory_xact_lock(hashtextextended(id::text, 2))
"""
_OVERDUE = _END.format(
    status="""CASE WHEN j.fence IS NOT NULL THEN 'FAILED' WHEN j.stop_asked THEN 'STOPPED' ELSE 'TIMED_OUT' END""",
    message="CASE WHEN j.fence IS NOT NULL THEN $3::text WHEN j.stop_asked THEN $2::text ELSE $4::text END",
    failure="CASE WHEN j.fence IS NOT NULL THEN 'UNKNOWN_OUTCOME' END",
    stop_asked="j.stop_asked",
    which=f"j.id = ANY ($1::uuid[]) AND {_NOBODYS}",
)

# Whom others are just taking, their locks show; what they took, the statement after this one. The locks are tried one
# after the other (MATERIALIZED), until one is free: no more than that one is kept from others.
_NEXT = """
WITH waiting AS MATERIALIZED (SELECT id FROM automation_queue() WHERE portal_key = ANY ($1::text[]) ORDER BY place)
SELECT id FROM waiting WHERE pg_try_advisory_xact_lock(hashtextextended(id::text, 2)) LIMIT 1
"""
# Who takes the first job after a portal was shut shuts it behind them, until it is known how they fared.
_CLAIM = f"""
WITH clock AS (SELECT clock_timestamp() AS at),
next AS (
  SELECT j.id, p.key, p.shut_until IS NOT NULL AS half_open
  FROM automation_job j JOIN portal p ON p.key = j.portal_key, clock
  WHERE j.id = $1 AND {_NOBODYS} AND j.deadline_at > at AND NOT j.stop_asked
    AND p.enabled AND (p.shut_until IS NULL OR p.shut_until <= at)
  FOR NO KEY UPDATE OF j SKIP LOCKED
),
probe AS (
  UPDATE portal p SET probing = true, shut_until = at + interval '60 seconds' FROM clock, (
    SELECT key FROM portal WHERE key IN (SELECT key FROM next WHERE half_open) AND shut_until <= clock_timestamp()
    FOR NO KEY UPDATE SKIP LOCKED) AS door
  WHERE p.key = door.key RETURNING p.key
)
UPDATE automation_job j SET
  status = CASE WHEN j.fence IS NULL THEN 'STARTING' ELSE 'RECONCILING' END,
  message = CASE WHEN j.fence IS NULL THEN $4::text ELSE $5::text END,
  progress = CASE WHEN j.fence IS NULL THEN $6::int ELSE $7::int END,
  steps = automation_steps(j.steps, CASE WHEN j.fence IS NULL THEN 'STARTING' ELSE 'RECONCILING' END,
    CASE WHEN j.fence IS NULL THEN $4::text ELSE $5::text END, at),
  attempt = j.attempt + 1, started_at = coalesce(j.started_at, at), version = j.version + 1,
  lease_worker = $2, lease_token = j.lease_token + 1, lease_until = at + $3::interval
FROM clock, next
WHERE j.id = next.id AND (NOT next.half_open OR EXISTS (SELECT FROM probe))
RETURNING {JOB_COLUMNS}, j.lease_token, j.lease_until, (SELECT name FROM account a WHERE a.id = j.account_id) AS owner
"""

_RENEW = """
UPDATE automation_job j SET lease_until = clock_timestamp() + $3::interval
FROM portal p, (
  SELECT m.id FROM automation_job m JOIN unnest($1::uuid[], $2::bigint[]) AS l (id, token)
    ON m.id = l.id AND m.lease_token = l.token
  WHERE m.lease_until IS NOT NULL ORDER BY m.id FOR NO KEY UPDATE OF m
) AS mine
WHERE j.id = mine.id AND p.key = j.portal_key
RETURNING j.id, j.lease_worker, j.lease_token, j.lease_until, j.stop_asked OR NOT p.enabled AS stop
"""
_HELD = "j.id = $1 AND j.lease_token = $2 AND j.lease_until IS NOT NULL"
_ADVANCE = f"""
UPDATE automation_job j SET
  status = $3, message = $4, progress = coalesce($5, j.progress), failure = $6,
  fence = CASE WHEN $7 THEN NULL ELSE coalesce($8, j.fence) END, outcome = coalesce($9, j.outcome),
  booking_id = coalesce($10, j.booking_id), steps = automation_steps(j.steps, $3, $4, at), version = j.version + 1,
  finished_at = CASE WHEN $11 THEN at END, lease_until = CASE WHEN NOT $11 THEN j.lease_until END
FROM clock_timestamp() AS at
WHERE {_HELD} AND ($8::jsonb IS NULL OR j.lease_until > at)
RETURNING {JOB_COLUMNS}
"""
_IDENTIFY = f"""
UPDATE automation_job j SET person = coalesce(j.person, $3) WHERE {_HELD} RETURNING person = $3
"""
_KEEP = f"""
WITH kept AS (UPDATE automation_job j SET version = j.version + 1 WHERE {_HELD} RETURNING j.*),
noted AS (
  INSERT INTO artifact (id, job_id, kind, taken_at)
  SELECT a.id, kept.id, a.kind, a.taken_at
  FROM kept, unnest($3::uuid[], $4::text[], $5::timestamptz[]) AS a (id, kind, taken_at)
)
SELECT {JOB_COLUMNS} FROM kept j
"""
_FORGET_ARTIFACTS = """
DELETE FROM artifact WHERE id IN (
  SELECT id FROM artifact WHERE taken_at < now() - $1::interval ORDER BY taken_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING true
"""
_GIVE_BACK = f"""
UPDATE automation_job j SET status = 'QUEUED', message = $3, lease_until = NULL, version = j.version + 1,
  steps = automation_steps(j.steps, 'QUEUED', $3, clock_timestamp())
FROM unnest($1::uuid[], $2::bigint[]) AS l (id, token)
WHERE j.id = l.id AND j.lease_token = l.token AND j.lease_until IS NOT NULL
RETURNING {JOB_COLUMNS}
"""

WAITING = "Waiting for a worker."
STARTING = "Starting a browser."
RECONCILING = "Finding out whether the portal has booked."
GIVEN_BACK = "Interrupted; waiting for the next try."
STOPPING = "Stopping."
STOPPED = "Stopped."
TIMED_OUT = "The time for this job is over."
UNKNOWN = "It is not known whether the portal has booked. Look at your bookings there before you try again."


class Jobs(PortalStates):
    """The port over ``automation_job`` and ``artifact``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)

    async def add(self, job: NewJob) -> Job:
        """Write a new job; the database knows one unfinished job a subject and portal."""
        row = await self._connection.fetchrow(
            _ADD,
            job.id,
            job.account_id,
            job.organization_id,
            job.portal_key,
            dict(job.config),
            job.subject,
            job.reference,
            WAITING,
            job.life,
        )
        return await self._placed(job_rows.job(row))

    async def unfinished(self, account_id: UUID) -> int:
        """Count under a lock, so that two who count at once do not both find room."""
        await self._connection.execute(_COUNT_ALONE, account_id)
        return int(await self._connection.fetchval(_UNFINISHED, account_id))

    async def job(self, job_id: UUID) -> Job | None:
        """A job, locked."""
        await self._connection.execute(_QUEUE, [job_id])
        row = await self._connection.fetchrow(_JOB, job_id)
        return await self._placed(job_rows.job(row)) if row else None

    async def by_reference(self, account_id: UUID, reference: str) -> Job | None:
        """The newest job with that id of the caller's own."""
        row = await self._connection.fetchrow(JOB_BY_REFERENCE, account_id, reference)
        return await self._placed(job_rows.job(row)) if row else None

    async def ask_to_stop(self, job_id: UUID) -> Job:
        """Stop what has no fence or nobody runs, else ask whoever runs it."""
        row = await self._connection.fetchrow(_STOP_NOW, job_id, STOPPED, UNKNOWN)
        return job_rows.job(row or await self._connection.fetchrow(_ASK_TO_STOP, [job_id], STOPPING))

    async def ask_all_to_stop(self, portal: str) -> Sequence[Job]:
        """Ask all that are run at a portal."""
        running = [row["id"] for row in await self._connection.fetch(_RUNNING_AT, portal)]
        await self._connection.execute(_QUEUE, running)
        return [job_rows.job(row) for row in await self._connection.fetch(_ASK_TO_STOP, running, STOPPING)]

    async def claim(self, worker: UUID, portals: Sequence[str], lease: timedelta) -> Claim | None:
        """Take the next job of the queue that nobody else is just taking."""
        next_ = await self._connection.fetchval(_NEXT, portals)
        if next_ is None:
            return None
        progress = PROGRESS[AutomationStatus.STARTING], PROGRESS[AutomationStatus.RECONCILING]
        row: Any = await self._connection.fetchrow(
            _CLAIM, next_, worker, lease, STARTING, RECONCILING, *progress
        )
        if row is None:
            return None
        return Claim(
            job_rows.job(row), Lease(row["id"], worker, row["lease_token"], row["lease_until"]), row["owner"]
        )

    async def overdue(self, limit: int) -> Sequence[Job]:
        """End what nobody runs and nobody may run any more."""
        past = [row["id"] for row in await self._connection.fetch(_PAST_IT, limit)]
        ended = await self._connection.fetch(_OVERDUE, past, STOPPED, UNKNOWN, TIMED_OUT) if past else []
        return [job_rows.job(row) for row in ended]

    async def renew(self, leases: Sequence[Lease], by: timedelta) -> Mapping[UUID, tuple[Lease, bool]]:
        """Prolong what is still held by these leases."""
        found = await self._connection.fetch(_RENEW, *_columns(leases), by)
        return {
            row["id"]: (
                Lease(row["id"], row["lease_worker"], row["lease_token"], row["lease_until"]),
                row["stop"],
            )
            for row in found
        }

    async def advance(self, lease: Lease, advance: Advance) -> Job:
        """Write a step, unless the job is in other hands."""
        outcome = advance.outcome
        await self._connection.execute(_QUEUE, [lease.job_id])
        row = await self._connection.fetchrow(
            _ADVANCE,
            lease.job_id,
            lease.token,
            advance.status.value,
            advance.message,
            PROGRESS.get(advance.status),
            advance.failure.value if advance.failure else None,
            advance.lift_fence,
            job_rows.slot_json(advance.fence) if advance.fence else None,
            {"number": outcome.booking_number, "slot": job_rows.slot_json(outcome.slot)} if outcome else None,
            outcome.booking_id if outcome else None,
            advance.status in FINAL,
        )
        return job_rows.job(_held(row))

    async def identify(self, lease: Lease, person: bytes) -> None:
        """Note who signed in; the database knows one unfinished job a person and portal."""
        if not _held(await self._connection.fetchval(_IDENTIFY, lease.job_id, lease.token, person)):
            raise PolicyViolation("Somebody else signed in for this job before.")

    async def keep(self, lease: Lease, artifacts: Sequence[Artifact]) -> Job:
        """Note files of a job."""
        await self._connection.execute(_QUEUE, [lease.job_id])
        columns = zip(*((each.id, each.kind.value, each.taken_at) for each in artifacts), strict=True)
        row = await self._connection.fetchrow(_KEEP, lease.job_id, lease.token, *map(list, columns))
        return job_rows.job(_held(row))

    async def forget_artifacts(self, keep: timedelta, limit: int) -> int:
        """Drop what is old."""
        return len(await self._connection.fetch(_FORGET_ARTIFACTS, keep, limit))

    async def give_back(self, leases: Sequence[Lease]) -> Sequence[Job]:
        """Put jobs back into the queue."""
        await self._connection.execute(_QUEUE, [lease.job_id for lease in leases])
        found = await self._connection.fetch(_GIVE_BACK, *_columns(leases), GIVEN_BACK)
        return [job_rows.job(row) for row in found]

    async def _placed(self, job: Job) -> Job:
        """A job with its place in the queue."""
        return (await job_rows.placed(self._connection, [job]))[0]


def _columns(leases: Sequence[Lease]) -> tuple[list[UUID], list[int]]:
    return [lease.job_id for lease in leases], [lease.token for lease in leases]


def _held(found: Any) -> Any:
    if found is None:
        raise LeaseLost
    return found
