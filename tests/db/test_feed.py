"""One reader of the log: nothing is passed over, nothing comes twice, whoever commits when."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

import db.feed
from db.caller import ALL_SEEING
from db.feed import Mailbox
from domain.events import LoggedEvent, Position, Stream
from domain.feed import Audience
from domain.holding import Seats
from domain.reserving import Reserve, serve
from domain.streams import CaughtUp, Happened, Snapshot, follow_log, follow_stream
from tests.processes import eventually
from tests.world import World

Steps: TypeAlias = AsyncGenerator[Any, None]

ELSEWHERE = """
INSERT INTO event (stream, stream_id, version, type, at, actor, organization_id, data)
VALUES ('schedule', gen_random_uuid(), 1, $2, now(), 'system', $1, '{}')
"""


@asynccontextmanager
async def writer(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection whose transactions a test holds open."""
    connection = await asyncpg.connect(dsn, server_settings=ALL_SEEING)
    try:
        yield connection
    finally:
        await connection.close()


async def taken(mailbox: Mailbox, seconds: float = 5) -> list[str]:
    """The types of the events that come next."""
    async with asyncio.timeout(seconds):
        return [event.type for event in await mailbox.take() or ()]


async def test_the_order_of_the_log_waits_for_a_transaction_that_is_still_open(
    world: World, database_url: str
) -> None:
    """A read after the commit of the later one must not pass over the earlier one, which commits after it."""
    house, feed = (await world.organization()).id, world.app.feed
    await feed.turn()
    async with writer(database_url) as early, writer(database_url) as late:
        with feed.watch_log(Audience([house])) as mailbox:
            opened = early.transaction()
            await opened.start()
            await early.execute(ELSEWHERE, house, "first")
            await late.execute(ELSEWHERE, house, "second")
            for _ in range(3):
                await feed.turn()
            assert not mailbox._waiting
            await opened.commit()
            assert await taken(mailbox) == ["first", "second"]


async def test_what_waits_for_a_transaction_is_read_once_and_told_once(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that dawdles must not make each reading dearer than the last."""
    house, feed, read = (await world.organization()).id, world.app.feed, list[str]()
    await feed.turn()

    def noted(row: Any) -> None:
        read.append(row["type"])
        hand_out(row)

    hand_out = feed._hand_out
    monkeypatch.setattr(feed, "_hand_out", noted)
    async with writer(database_url) as early, writer(database_url) as late:
        with feed.watch_log(Audience([house])) as mailbox:
            opened = early.transaction()
            await opened.start()
            await early.execute(ELSEWHERE, house, "first")
            types = [f"later {number}" for number in range(5)]
            for each in types:
                await late.execute(ELSEWHERE, house, each)
                await feed.turn()
            for _ in range(3):
                await feed.turn()
            assert read == types
            assert not mailbox._waiting
            await opened.commit()
            heard: list[str] = []
            while len(heard) < 6:
                heard += await taken(mailbox)
            assert heard == ["first", *types]
    assert read == [*types, "first"]
    assert feed._unsettled == {}


async def test_what_waits_for_a_long_transaction_is_looked_for_less_and_less_often(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, feed, looks = (await world.organization()).id, world.app.feed, list[float]()
    await feed.turn()

    async def counted() -> None:
        looks.append(monotonic())
        await read()

    read = feed._read
    async with writer(database_url) as early, writer(database_url) as late:
        with feed.watch_log(Audience([house])) as mailbox:
            opened = early.transaction()
            await opened.start()
            await early.execute(ELSEWHERE, house, "first")
            await late.execute(ELSEWHERE, house, "second")
            await feed.turn()
            monkeypatch.setattr(feed, "_read", counted)
            await eventually(lambda: len(looks) > 3 and looks[-1] - looks[0] > 1)
            assert len(looks) < 12
            await opened.commit()
            assert await taken(mailbox) == ["first", "second"]


async def test_the_feed_knows_how_late_it_tells(world: World, database_url: str) -> None:
    house, feed = (await world.organization()).id, world.app.feed
    async with writer(database_url) as other:
        await other.execute(ELSEWHERE.replace("now()", "now() - interval '5 s'"), house, "late")
        await feed.turn()
        await feed.turn()
        assert 5 <= feed.lag_seconds < 30
        await other.execute(ELSEWHERE, house, "now")
        await feed.turn()
        await feed.turn()
        assert feed.lag_seconds < 5


async def test_a_single_stream_waits_for_nobody(world: World, database_url: str) -> None:
    departure, feed = await world.departure(), world.app.feed
    await feed.turn()
    async with writer(database_url) as early:
        with feed.watch_stream(departure.schedule_id) as mailbox:
            opened = early.transaction()
            await opened.start()
            await early.execute(ELSEWHERE, departure.organization.id, "still open")
            await world.app.services.reservations.reserve(
                world.guest(), Reserve(departure.schedule_id, Seats(["A1"]))
            )
            assert await taken(mailbox) == ["seats.held"]
            await opened.rollback()


async def test_the_log_has_the_steps_of_a_schedule_in_their_order_whoever_began_first(world: World) -> None:
    """A transaction that took an idempotency key first and the schedule second has the later number."""
    departure, use = await world.departure(), world.app.services.reservations
    async with world.app.database.begin(world.guest()) as first:
        await first.keys.claim(b"somebody", "key")
        await use.reserve(world.guest(), Reserve(departure.schedule_id, Seats(["A1"])))
        late = use.reserving.asked(world.guest(), Reserve(departure.schedule_id, Seats(["A2"])))
        await serve(first, [late])
    rows = await world.tables.fetch(
        "SELECT version FROM event WHERE stream_id = $1 ORDER BY event.xid, id", departure.schedule_id
    )
    assert [row["version"] for row in rows] == [0, 1, 2]


@dataclass
class Heard:
    """What one watcher of a schedule and one follower of its organization were told."""

    versions: list[int] = field(default_factory=list)
    streams: defaultdict[UUID, list[int]] = field(default_factory=lambda: defaultdict(list))
    places: list[Position] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, world: World, schedule_id: UUID) -> None:
        """Until its 30th version."""

        async def snapshot() -> Snapshot[None, int]:
            board = await world.app.services.reads.board(schedule_id)
            return Snapshot(None, board.schedules[0].version)

        steps: Steps = follow_stream(world.app.feed, schedule_id, None, snapshot)
        async for step in steps:
            self.begun.set()
            self.versions += [event.version for event in step.events] if isinstance(step, Happened) else []
            if self.versions[-1:] == [30]:
                return
            await asyncio.sleep(0.003)  # slow, so that much waits for it

    async def follow(self, world: World, audience: Audience) -> None:
        """Until 30 reservations were made, each of which is two events."""
        steps: Steps = follow_log(world.app.feed, audience, world.app.feed.settled)
        async for step in steps:
            for event in () if isinstance(step, CaughtUp) else step.events:
                self.streams[event.stream_id].append(event.version)
                self.places.append(event.position)
            if len(self.places) == 60:
                return
            await asyncio.sleep(0.003)


@pytest.mark.parametrize("mailbox", [3, 256])
async def test_nothing_is_missed_or_repeated_under_thirty_writers(
    world: World, monkeypatch: pytest.MonkeyPatch, mailbox: int
) -> None:
    monkeypatch.setattr(db.feed, "MAILBOX", mailbox)
    departure, use, heard = await world.departure(seats=40), world.app.services.reservations, Heard()
    await world.app.feed.turn()
    async with asyncio.timeout(20), asyncio.TaskGroup() as watchers:
        watchers.create_task(heard.watch(world, departure.schedule_id))
        watchers.create_task(heard.follow(world, Audience([departure.organization.id])))
        await heard.begun.wait()
        async with asyncio.TaskGroup() as writers:
            for number in range(30):
                seat = Seats([f"{'ABCDEFGHIJ'[number // 4]}{number % 4 + 1}"])
                key = f"key {number}" if number % 2 else None
                writers.create_task(use.reserve(world.guest(), Reserve(departure.schedule_id, seat), key))
    assert heard.versions == list(range(1, 31))
    assert heard.streams.pop(departure.schedule_id) == list(range(1, 31))
    assert list(heard.streams.values()) == [[1]] * 30
    assert heard.places == sorted(set(heard.places))


async def test_a_reader_that_was_told_nothing_looks_by_itself(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is no process of ours and nudges nobody."""
    monkeypatch.setattr(db.feed, "TICK", 0.05)
    house, feed = (await world.organization()).id, world.app.feed
    with feed.watch_log(Audience([house])) as mailbox:
        async with writer(database_url) as other:
            await other.execute(ELSEWHERE, house, "written elsewhere")
        assert await taken(mailbox) == ["written elsewhere"]


async def test_a_watcher_that_leaves_is_forgotten(world: World) -> None:
    feed = world.app.feed
    stream_id, house = UUID(int=5), UUID(int=6)
    with feed.watch_stream(stream_id), feed.watch_log(Audience([house, house])):
        assert stream_id in feed._streams
        assert house in feed._followers
    assert not feed._streams
    assert not feed._followers


def event(version: int, house: UUID | None = None) -> LoggedEvent:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    return LoggedEvent(Stream.SCHEDULE, UUID(int=1), version, "seats.held", at, organization_id=house)


async def test_a_mailbox_keeps_so_much_and_then_only_that_there_was_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db.feed, "MAILBOX", 2)
    mailbox = Mailbox()
    mailbox.offer(event(1))
    mailbox.offer(event(1))
    mailbox.offer(event(2))
    assert [each.version for each in await mailbox.take() or ()] == [1, 2]
    for version in 3, 4, 5, 6:
        mailbox.offer(event(version))
        assert len(mailbox._waiting) <= 2
    assert await mailbox.take() is None
    mailbox.offer(event(7))
    assert [each.version for each in await mailbox.take() or ()] == [7]


async def test_a_mailbox_takes_only_what_is_meant() -> None:
    house, other = UUID(int=1), UUID(int=2)
    mailbox = Mailbox(Audience([house]))
    mailbox.offer(event(1, other))
    mailbox.offer(event(2))
    mailbox.offer(event(3, house))
    assert [each.version for each in await mailbox.take() or ()] == [3]
