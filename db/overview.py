"""What an operator asks about a running process' database: its answer, its pool, the log, what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.engine import Pool
from db.migrate import VERSION_TABLE
from domain.events import Position

# The oldest event that this process has not yet told in order: the age of it is how far the process lags behind.
_LAG = """
coalesce((SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM event
          WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY xid, id LIMIT 1), 0)
"""
_READINESS = f"SELECT (SELECT version_num FROM {VERSION_TABLE}) AS schema, {_LAG} AS lag"
_OVERVIEW = f"""
SELECT (SELECT version_num FROM {VERSION_TABLE}) AS schema, {_LAG} AS lag,
  current_setting('server_version') AS release,
  (SELECT count(*) FROM reservation WHERE status = 'ACTIVE' AND expires_at > now()) AS active_reservations,
  (SELECT at FROM event ORDER BY xid, id LIMIT 1) AS log_begins,
  (SELECT jsonb_object_agg(name, jsonb_build_object(
     'ran', extract(epoch FROM now() - ran_at)::float8,
     'failed', extract(epoch FROM now() - failed_at)::float8,
     'error', error)) FROM worker_loop) AS loops,
  (SELECT jsonb_object_agg(status, jobs) FROM (
     SELECT status, count(*) AS jobs FROM automation_job WHERE finished_at IS NULL GROUP BY status) j) AS jobs,
  (SELECT jsonb_build_object('workers', count(*), 'slots', coalesce(sum(slots), 0), 'busy', coalesce(sum(busy), 0))
   FROM automation_worker WHERE reported_at > now() - interval '30 seconds') AS browsers
"""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of a pool: open, at work, at most; and how many callers wait for one."""

    open: int
    used: int
    most: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """The database's schema, and the seconds by which this process lags behind the log."""

    schema: str | None
    lag: float


@dataclass(frozen=True, slots=True)
class LoopSeen:
    """The seconds since a loop of the worker ran last and failed last, and with what error."""

    ran: float | None
    failed: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Browsers:
    """Workers with a browser that reported lately, how many jobs they can run together, and how many they do."""

    workers: int
    slots: int
    busy: int


@dataclass(frozen=True, slots=True)
class Overview(Readiness):
    """The same, with PostgreSQL's release, what is held now, and when the log begins (UTC; None for an empty one).

    ``loops`` are those of the worker by name, in whichever process they run; ``jobs`` says how many are not over, by
    status.
    """

    release: str
    active_reservations: int
    log_begins: datetime | None
    loops: Mapping[str, LoopSeen]
    jobs: Mapping[str, int]
    browsers: Browsers


async def readiness(pool: Pool, settled: Position) -> Readiness:
    """Ask what decides whether a process can serve, over a pool that sees everything. Raises asyncpg's.

    ``settled`` is how far the process has told the log.
    """
    (row,) = await pool.fetch(_READINESS, str(settled.xid), settled.id)
    return Readiness(**row)


async def overview(pool: Pool, settled: Position) -> Overview:
    """Ask for everything."""
    (row,) = await pool.fetch(_OVERVIEW, str(settled.xid), settled.id)
    loops = {name: LoopSeen(**loop) for name, loop in (row["loops"] or {}).items()}
    browsers = Browsers(**row["browsers"])
    return Overview(**{**row, "loops": loops, "jobs": row["jobs"] or {}, "browsers": browsers})


def use_of(pool: Pool) -> PoolUse:
    """What the pool is doing; asyncpg does not tell who waits, so that is read where it keeps it."""
    size = pool.get_size()
    waiting = len(pool._queue._getters)  # type: ignore[attr-defined]
    return PoolUse(size, size - pool.get_idle_size(), pool.get_max_size(), waiting)
