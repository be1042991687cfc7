"""A watcher is told each thing once, in order, whatever the feed loses, repeats or brings too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import LoggedEvent, Position, Stream
from domain.feed import Audience
from domain.streams import GONE, OTHER, CaughtUp, Happened, Lost, Snapshot, follow_log, follow_stream

ONE, HOUSE = UUID(int=1), UUID(int=2)
EVERYTHING = Audience([HOUSE])


def step(version: int, xid: int | None = None) -> LoggedEvent:
    """A version of the one stream; its place is its version unless ``xid`` says otherwise."""
    at = datetime(2027, 1, 1, tzinfo=UTC)
    place = Position(version if xid is None else xid, version)
    return LoggedEvent(Stream.SCHEDULE, ONE, version, "seats.held", at, organization_id=HOUSE, position=place)


@dataclass
class Post:
    """A mailbox that brings what a test put in."""

    came: asyncio.Queue[Sequence[LoggedEvent] | None] = field(default_factory=asyncio.Queue)

    async def take(self) -> Sequence[LoggedEvent] | None:
        return await self.came.get()


@dataclass
class Log:
    """A feed in a list: ``kept`` is what the log still has, ``post`` what comes live."""

    kept: list[LoggedEvent] = field(default_factory=list)
    settled: Position = Position(0, 0)
    start: Position = Position(0, 0)
    horizon: Position = Position(1_000, 0)
    epoch: UUID = field(default=UUID(int=9))
    post: Post = field(default_factory=Post)

    @contextmanager
    def watch_stream(self, stream_id: UUID) -> Iterator[Post]:
        yield self.post

    @contextmanager
    def watch_log(self, audience: Audience) -> Iterator[Post]:
        yield self.post

    async def stream_after(self, stream_id: UUID, version: int, limit: int) -> Sequence[LoggedEvent]:
        found = sorted((e for e in self.kept if e.version > version), key=lambda e: e.version)
        return found[:limit]

    async def stream_head(self, stream_id: UUID) -> int | None:
        return max((e.version for e in self.kept), default=None)

    async def log_after(
        self, audience: Audience, after: Position, upto: Position, limit: int
    ) -> Sequence[LoggedEvent]:
        return [e for e in self.kept if after < e.position <= upto][:limit]

    async def goes_beyond(self, audience: Audience, place: Position) -> bool:
        return any(e.position > place for e in self.kept)

    async def log_reach(self) -> tuple[Position, Position]:
        return self.start, self.horizon

    async def turn(self) -> None:
        self.settled = max(e.position for e in self.kept)

    def tap(self, stream: object, heard: object) -> None:
        raise NotImplementedError


def stream(
    log: Log, after: int | None = None, *, at: int = 0, stale: bool = False
) -> AsyncGenerator[Any, None]:
    """The stream's steps; its snapshots are of version ``at``."""

    async def snapshot() -> Snapshot[str, int]:
        return Snapshot("state", at)

    return follow_stream(log, ONE, after, snapshot, stale=stale)


def following(log: Log, after: Position | None) -> AsyncGenerator[Any, None]:
    """The steps of the log as a whole, without snapshots."""
    return follow_log(log, EVERYTHING, after)


async def news(steps: AsyncGenerator[Any, None]) -> Any:
    """The next step that tells something."""
    while isinstance(step := await anext(steps), CaughtUp):
        pass
    return step


async def told(steps: AsyncGenerator[Any, None], upto: int) -> list[int]:
    """The versions that are told, until one of them is ``upto``."""
    versions: list[int] = []
    async with asyncio.timeout(5):
        while True:
            each = await news(steps)
            assert isinstance(each, Happened)
            versions += [event.version for event in each.events]
            if versions[-1] >= upto:
                break
    await steps.aclose()
    return versions


async def test_a_snapshot_then_what_is_newer() -> None:
    log = Log([step(v) for v in range(4)])
    steps = stream(log, at=2)
    assert await news(steps) == Snapshot("state", 2)
    log.post.came.put_nowait([step(1), step(2)])
    log.post.came.put_nowait([step(2), step(3)])
    assert await told(steps, 3) == [3]


@pytest.mark.parametrize(
    "batches",
    [
        [[3], [4], [5]],
        [[5]],
        [[3, 5]],
        [[4], [3], [5]],
        [None, [5]],
        [[3, 3, 4], None, [5]],
        [[5], [4], [5], [3]],
    ],
)
async def test_a_hole_is_filled_from_the_log(batches: list[list[int] | None]) -> None:
    log = Log([step(v) for v in range(6)])
    steps = stream(log, at=2)
    await anext(steps)
    for batch in batches:
        log.post.came.put_nowait(None if batch is None else [step(v) for v in sorted(set(batch))])
    assert await told(steps, 5) == [3, 4, 5]


@given(st.lists(st.none() | st.sets(st.integers(1, 12)), max_size=8), st.integers(0, 12))
def test_whatever_comes_each_version_is_told_once(batches: list[set[int] | None], after: int) -> None:
    async def run() -> list[int]:
        log = Log([step(v) for v in range(14)])
        for batch in [*batches, {13}]:
            log.post.came.put_nowait(None if batch is None else [step(v) for v in sorted(batch)])
        return await told(stream(log, after), 13)

    assert asyncio.run(run()) == list(range(after + 1, 14))


@pytest.mark.parametrize("after", range(6))
async def test_going_on_from_any_version_tells_exactly_the_rest(after: int) -> None:
    log = Log([step(v) for v in range(6)])
    log.post.came.put_nowait([step(5), step(6)])
    assert await told(stream(log, after), 6) == list(range(after + 1, 7))


@pytest.mark.parametrize(
    ("kept", "after", "stale", "reason"),
    [
        ([4, 5], 2, False, GONE),
        ([], 2, False, GONE),
        ([], 0, False, GONE),
        ([0, 1, 2], 3, False, OTHER),
        ([0, 1, 2], 1, True, OTHER),
    ],
)
async def test_a_lost_trail_is_said_once_and_a_snapshot_follows(
    kept: list[int], after: int, stale: bool, reason: str
) -> None:
    log = Log([step(v) for v in kept])
    steps = stream(log, after, at=5, stale=stale)
    assert await news(steps) == Lost(reason, after)
    assert await news(steps) == Snapshot("state", 5)
    log.post.came.put_nowait([step(6)])
    assert await told(steps, 6) == [6]


async def test_a_trail_that_is_lost_while_one_watches_is_a_resync_too() -> None:
    log = Log([step(v) for v in range(3)])
    steps = stream(log, 2, at=9)
    log.kept = [step(8), step(9)]
    log.post.came.put_nowait(None)
    assert await news(steps) == Lost(GONE, 2)
    assert await news(steps) == Snapshot("state", 9)


async def test_the_log_goes_on_from_a_place_that_another_process_told_first() -> None:
    """Here the log was read up to 3; the cursor, taken from another, is at 5."""
    log = Log([step(v) for v in range(1, 7)], settled=Position(3, 3))
    steps = following(log, Position(5, 5))
    log.post.came.put_nowait([step(4), step(5)])
    log.post.came.put_nowait([step(6)])
    assert await told(steps, 6) == [6]


async def test_an_overflow_before_this_process_caught_up_repeats_nothing() -> None:
    log = Log([step(v) for v in range(1, 8)], settled=Position(3, 3))
    steps = following(log, Position(5, 5))
    log.post.came.put_nowait(None)
    log.post.came.put_nowait([step(4), step(5), step(6), step(7)])
    assert await told(steps, 7) == [6, 7]


@pytest.mark.parametrize(
    ("after", "stale", "reason"),
    [(Position(2_000, 1), False, OTHER), (Position(1, 1), False, GONE), (Position(4, 4), True, OTHER)],
)
async def test_a_place_out_of_reach_is_a_resync(after: Position, stale: bool, reason: str) -> None:
    log = Log([step(v) for v in range(1, 6)], settled=Position(5, 5), start=Position(3, 3))

    async def snapshot() -> str:
        return "state"

    steps = follow_log(log, EVERYTHING, after, snapshot, stale=stale)
    assert await news(steps) == Lost(reason, Position(5, 5))
    assert await news(steps) == Snapshot("state", Position(5, 5))
    await steps.aclose()


async def test_what_is_committed_but_not_settled_is_not_told_again_after_a_snapshot() -> None:
    log = Log([step(1), step(2)], settled=Position(1, 1))

    async def snapshot() -> int:
        return len(log.kept)

    steps = follow_log(log, EVERYTHING, None, snapshot)
    assert await news(steps) == Snapshot(2, Position(2, 2))
    log.post.came.put_nowait([step(2), step(3)])
    assert await told(steps, 3) == [3]


async def test_an_overflowed_follower_reads_the_log_up_to_what_is_settled() -> None:
    log = Log([step(v) for v in range(1, 1_204)])
    steps = following(log, None)
    log.post.came.put_nowait([step(1)])
    assert await news(steps) == Happened([step(1)], Position(1, 1))
    log.settled = Position(1_200, 1_200)
    log.post.came.put_nowait(None)
    log.post.came.put_nowait([step(1_200), step(1_201), step(1_203)])
    assert await told(steps, 1_203) == [*range(2, 1_202), 1_203]


async def test_a_log_that_is_trimmed_while_one_watches_is_a_resync_too() -> None:
    """What the mailbox had no room for is not in the log any more."""
    log = Log([step(v) for v in range(1, 10)])

    async def snapshot() -> int:
        return len(log.kept)

    for state in snapshot, None:
        log.settled, log.start = Position(1, 1), Position(0, 0)
        log.kept = [step(v) for v in range(1, 10)]
        steps = follow_log(log, EVERYTHING, Position(1, 1), state)
        assert await anext(steps) == CaughtUp(Position(1, 1))
        log.settled, log.kept, log.start = Position(9, 9), [step(8), step(9)], Position(7, 7)
        log.post.came.put_nowait(None)
        assert await news(steps) == Lost(GONE, Position(9, 9))
        if state:
            assert await news(steps) == Snapshot(2, Position(9, 9))
        log.post.came.put_nowait([step(9), step(10)])
        assert await told(steps, 10) == [10]


async def test_a_watcher_is_told_where_it_has_caught_up() -> None:
    log = Log([step(v) for v in range(5)], settled=Position(2, 2))
    fresh, resumed, follower = stream(log, at=4), stream(log, 3), following(log, Position(1, 1))
    assert [await anext(fresh) for _ in range(2)] == [Snapshot("state", 4), CaughtUp(4)]
    assert [await anext(resumed) for _ in range(2)] == [Happened([step(4)], 4), CaughtUp(4)]
    assert [await anext(follower) for _ in range(2)] == [
        Happened([step(2)], Position(2, 2)),
        CaughtUp(Position(2, 2)),
    ]
    log.post.came.put_nowait([step(4), step(5)])
    assert [await anext(fresh) for _ in range(2)] == [Happened([step(5)], 5), CaughtUp(5)]
    for steps in fresh, resumed, follower:
        await steps.aclose()
