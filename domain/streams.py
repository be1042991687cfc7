"""How a watcher is told: snapshot or resume, then live; a hole is filled from the log, a lost trail is a Resync."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from domain.events import LoggedEvent, Position
from domain.feed import Audience, Feed, Mailbox

PAGE = 500
ATTEMPTS = 20

State = TypeVar("State")
Place = TypeVar("Place", int, Position)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[State, Place]):
    """The whole state, as it is at ``place``."""

    state: State
    place: Place


@dataclass(frozen=True, slots=True)
class Lost(Generic[Place]):
    """The trail is lost: what the watcher has is to be dropped. A snapshot follows where the stream has one."""

    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class Happened(Generic[Place]):
    """What happened next, one or more events in order, up to ``place``."""

    events: Sequence[LoggedEvent]
    place: Place


@dataclass(frozen=True, slots=True)
class CaughtUp(Generic[Place]):
    """There is nothing more to tell for now: the watcher has everything up to ``place``."""

    place: Place


GONE = "The log no longer reaches back to this cursor."
OTHER = "This cursor is of another log, such as one before a restore."


async def follow_stream(
    feed: Feed,
    stream_id: UUID,
    after: int | None,
    snapshot: Callable[[], Awaitable[Snapshot[State, int]]],
    *,
    stale: bool = False,
) -> AsyncGenerator[Snapshot[State, int] | Lost[int] | Happened[int] | CaughtUp[int], None]:
    """One stream by its versions, which have no gaps: each is told once, in order, those that wait together at once.

    ``stale`` says that ``after`` is a cursor of another log.
    """
    with feed.watch_stream(stream_id) as mailbox:
        version, missed = after, False
        if version is not None:
            head = await feed.stream_head(stream_id)
            # A stream of which the log has nothing left may be at any version.
            if head is None or stale or version > head:
                yield Lost(GONE if head is None else OTHER, version)
                version = None
            else:
                missed = version < head
        while True:
            if version is None:
                shown = await snapshot()
                yield shown
                version = shown.place
            if missed:
                async for batch in _missed(feed, stream_id, version):
                    if batch is None:
                        yield Lost(GONE, version)
                        version = None
                        break
                    version = batch[-1].version
                    yield Happened(batch, version)
                missed = False
                continue
            yield CaughtUp(version)
            came = await mailbox.take()
            fresh = [event for event in came or () if event.version > version]
            missed = came is None or (bool(fresh) and fresh[-1].version != version + len(fresh))
            if fresh and not missed:
                version = fresh[-1].version
                yield Happened(fresh, version)


async def _missed(
    feed: Feed, stream_id: UUID, version: int
) -> AsyncGenerator[Sequence[LoggedEvent] | None, None]:
    """Pages of what a stream has after a version; None where the log has lost the next one."""
    while True:
        page = await feed.stream_after(stream_id, version, PAGE)
        if not page and await feed.stream_head(stream_id) is not None:
            return
        if not page or page[0].version != version + 1:
            yield None
            return
        yield page
        if len(page) < PAGE:
            return
        version = page[-1].version


async def follow_log(
    feed: Feed,
    audience: Audience,
    after: Position | None,
    snapshot: Callable[[], Awaitable[State]] | None = None,
    *,
    stale: bool = False,
) -> AsyncGenerator[
    Snapshot[State, Position] | Lost[Position] | Happened[Position] | CaughtUp[Position], None
]:
    """What an audience may hear, in the one order of the log; ``stale`` as with ``follow_stream``."""
    with feed.watch_log(audience) as mailbox:
        place, reason = after, None if after is None else await _out_of_reach(feed, after, stale=stale)
        while True:
            now = feed.settled
            if reason is not None:
                yield Lost(reason, now)
                place = None
            if place is None and snapshot is not None:
                state, now = await _at_rest(feed, audience, snapshot)
                yield Snapshot(state, now)
            async for step in _onward(feed, audience, mailbox, now if place is None else place):
                yield step
            reason = GONE


async def _out_of_reach(feed: Feed, after: Position, *, stale: bool) -> str | None:
    """Why there is no going on from a place; another process may have told more than this one has read so far."""
    first, last = await feed.log_reach()
    if stale or after > last:
        return OTHER
    return GONE if after < first else None


async def _at_rest(
    feed: Feed, audience: Audience, snapshot: Callable[[], Awaitable[State]]
) -> tuple[State, Position]:
    """A snapshot that has everything up to a place and nothing after it, so that the place is its cursor.

    What was committed but not settled when the snapshot was read would be told again after it. While there is such a
    thing, let it settle and read anew; where they never cease to come, a watcher is told some twice rather than none.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            await feed.turn()
        place = feed.settled
        state = await snapshot()
        if not await feed.goes_beyond(audience, place):
            break
    return state, place


async def _onward(
    feed: Feed, audience: Audience, mailbox: Mailbox, place: Position
) -> AsyncGenerator[Happened[Position] | CaughtUp[Position], None]:
    """What follows a place, for as long as the log has it all."""
    missed = place < feed.settled
    while True:
        if missed:
            now = max(place, feed.settled)
            async for page in _between(feed, audience, place, now):
                if page is None:
                    return
                yield Happened(page, page[-1].position)
            place = now
        yield CaughtUp(place)
        came = await mailbox.take()
        missed = came is None
        fresh = [event for event in came or () if event.position > place]
        if fresh:
            place = fresh[-1].position
            yield Happened(fresh, place)


async def _between(
    feed: Feed, audience: Audience, after: Position, upto: Position
) -> AsyncGenerator[Sequence[LoggedEvent] | None, None]:
    """Pages of what the log has between two places; None where it was trimmed beyond the first meanwhile."""
    while True:
        page = await feed.log_after(audience, after, upto, PAGE)
        if after < (await feed.log_reach())[0]:
            yield None
            return
        if page:
            after = page[-1].position
            yield page
        if len(page) < PAGE:
            return
