"""Where a watcher goes on: cursors of another log and of no place at all, and one thing followed by its versions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from uuid import UUID

from domain.events import Position
from domain.feed import Feed
from domain.streams import CaughtUp, Happened, Lost, Snapshot, follow_stream
from schema.scalars import Cursor
from schema.types.events import read_stream_cursor, stream_cursor
from schema.types.streams import Resync


class Versioned(Protocol):
    """What a stream is the story of."""

    @property
    def version(self) -> int:
        """Of the stream, as it was read."""


State = TypeVar("State", bound=Versioned)

NOWHERE = UUID(int=0)
"""The log of a Resync's cursor where a snapshot follows: who is cut off before it has nothing to go on from."""


def resync(cursor: Cursor, lost: Lost[int] | Lost[Position]) -> Resync:
    """The message that says so, with the cursor to go on from."""
    return Resync(cursor=cursor, at=datetime.now(UTC), reason=lost.reason)


def stale(epoch: str, current: UUID) -> bool:
    """Whether a cursor, by the epoch in it (none is of any), is of another log than the current one."""
    return epoch not in ("", current.hex[:8])


async def states(
    feed: Feed, stream_id: UUID, after: Cursor | None, read: Callable[[], Awaitable[State]]
) -> AsyncGenerator[Resync | tuple[Cursor, State], None]:
    """One thing as it is, and again at each version that was not told yet, with the cursor to go on from.

    ``read`` says what it is now, or raises where the watcher may not see it any more.
    """
    epoch, version = read_stream_cursor(after, stream_id) if after else ("", None)
    shown = 0

    async def snapshot() -> Snapshot[State, int]:
        state = await read()
        return Snapshot(state, state.version)

    steps = follow_stream(feed, stream_id, version, snapshot, stale=stale(epoch, feed.epoch))
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Lost):
                yield resync(stream_cursor(NOWHERE, stream_id, step.place), step)
                continue
            if isinstance(step, CaughtUp) or (isinstance(step, Happened) and step.place <= shown):
                continue
            state = step.state if isinstance(step, Snapshot) else await read()
            shown = max(step.place, state.version)
            yield stream_cursor(feed.epoch, stream_id, shown), state
