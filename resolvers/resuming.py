"""Where a watcher goes on: cursors of another log, and of no place at all."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from domain.events import Position
from domain.streams import Lost
from schema.scalars import Cursor
from schema.types.streams import Resync

NOWHERE = UUID(int=0)
"""The log of a Resync's cursor where a snapshot follows: who is cut off before it has nothing to go on from."""


def resync(cursor: Cursor, lost: Lost[int] | Lost[Position]) -> Resync:
    """The message that says so, with the cursor to go on from."""
    return Resync(cursor=cursor, at=datetime.now(UTC), reason=lost.reason)


def stale(epoch: str, current: UUID) -> bool:
    """Whether a cursor, by the epoch in it (none is of any), is of another log than the current one."""
    return epoch not in ("", current.hex[:8])
