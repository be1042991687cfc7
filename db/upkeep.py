"""Trimming the log, and what the worker's loops leave behind of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from db.engine import Connection
from domain.ports import LoopReport

_ALONE = "SELECT pg_try_advisory_xact_lock(7020095338902449524)"

# The log's order is (xid, id), and what goes is the beginning of it, up to the first event that is young or whose
# place is not final. By starting at the place that the log reaches back to, a step does not look again at what the
# steps before it have left dead. A reader sees the events, or that the log begins after them, and never neither.
_TRIM = """
WITH oldest AS (
  SELECT event.xid, event.id, stream_id, version,
    bool_and(at < now() - $1::interval AND event.xid < pg_snapshot_xmin(pg_current_snapshot()))
      OVER (ORDER BY event.xid, event.id) AS old
  FROM event
  WHERE (event.xid, event.id) > (SELECT log_start_xid, log_start_id FROM installation)
  ORDER BY event.xid, event.id LIMIT $2
),
gone AS (
  DELETE FROM event USING oldest
  WHERE old AND event.stream_id = oldest.stream_id AND event.version = oldest.version
  RETURNING event.xid, event.id
),
last AS (SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1),
moved AS (
  UPDATE installation SET log_start_xid = last.xid, log_start_id = last.id FROM last
)
SELECT count(*) FROM gone
"""

_NOTE = """
INSERT INTO worker_loop (name, ran_at, failed_at, error)
SELECT name, now() - ran * interval '1 s', now() - failed * interval '1 s', error
FROM unnest($1::text[], $2::float8[], $3::float8[], $4::text[]) AS report (name, ran, failed, error)
ON CONFLICT (name) DO UPDATE SET
  ran_at = greatest(worker_loop.ran_at, excluded.ran_at),
  error = CASE WHEN excluded.failed_at > worker_loop.failed_at OR worker_loop.failed_at IS NULL
    THEN excluded.error ELSE worker_loop.error END,
  failed_at = greatest(worker_loop.failed_at, excluded.failed_at)
"""


class Upkeep:
    """The port over the log's beginning and ``worker_loop``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def alone(self) -> bool:
        """Whether no other process keeps house; while this transaction lasts, none will."""
        return bool(await self._connection.fetchval(_ALONE))

    async def trim(self, keep: timedelta, limit: int) -> int:
        """Drop up to ``limit`` of the oldest events that are older than ``keep``; how many were dropped."""
        return int(await self._connection.fetchval(_TRIM, keep, limit))

    async def note(self, reports: Sequence[LoopReport]) -> None:
        """Write down when loops ran last, for whoever asks another process."""
        columns = zip(*((each.name, each.ran, each.failed, each.error) for each in reports), strict=True)
        await self._connection.execute(_NOTE, *(list(column) for column in columns))
