"""One reader of the log a process, and the bounded mailboxes of its watchers.

A broker's message is a nudge to read, and so is each second that passes: what the broker loses costs time, never
an event. Each reading takes everything committed after the *settled* place. A version of a single stream is handed
out at once, for a stream's versions are committed in order. The order over all streams is final only below the
oldest transaction that still runs; so those who follow the log as a whole hear an event once it is settled.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
import structlog

from db.broker import Broker, Gap
from db.engine import Pool
from db.failures import is_gone
from db.log import COLUMNS, logged, page_of
from db.patience import patiently
from domain.events import LoggedEvent, Position, Stream
from domain.feed import Audience

TICK = 1.0
SOON = 0.02
"""Between two readings while something is not settled: who wrote nothing tells nobody that they are done.

Doubled each time that this is in vain: a transaction may be long, and another database's.
"""
PAGE = 1_000
MAILBOX = 256

_TAIL = f"""
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, tail.*
FROM (VALUES (1)) one LEFT JOIN LATERAL (
  SELECT {COLUMNS} FROM event WHERE (xid, id) > ($1::text::xid8, $2) AND id <> ALL ($3::bigint[])
  ORDER BY event.xid, id LIMIT {PAGE}
) tail ON true
"""
# Always a row, for the horizon; what was read before and is not settled yet is neither sent nor decoded again.
_START = """
SELECT log_epoch, pg_snapshot_xmin(pg_current_snapshot())::text AS horizon FROM installation
"""
_REACH = """
SELECT log_start_xid::text AS xid, log_start_id AS id, pg_snapshot_xmin(pg_current_snapshot())::text AS horizon
FROM installation
"""
_STREAM_AFTER = f"""
SELECT {COLUMNS} FROM event WHERE stream_id = $1 AND version > $2 ORDER BY version LIMIT $3
"""
_STREAM_HEAD = "SELECT max(version) FROM event WHERE stream_id = $1"

END = Position(2**62, 0)

log = structlog.get_logger("holdfast.feed")


class Mailbox:
    """Up to 256 events that wait for one watcher; of more, only the fact that there were more."""

    def __init__(self, audience: Audience | None = None) -> None:
        self._audience = audience
        self._waiting: deque[LoggedEvent] = deque()
        self._overflowed = False
        self._came = asyncio.Event()
        self._version = -1

    def offer(self, event: LoggedEvent) -> None:
        """Put an event in, unless it is not meant for this watcher or is here already."""
        if self._audience is None:
            if event.version <= self._version:
                return
            self._version = event.version
        elif not self._audience.includes(event):
            return
        if len(self._waiting) == MAILBOX:
            self._waiting.clear()
            self._overflowed = True
        if not self._overflowed:
            self._waiting.append(event)
        self._came.set()

    async def take(self) -> Sequence[LoggedEvent] | None:
        """What has come since, waiting for something; None if it was more than fits."""
        await self._came.wait()
        self._came.clear()
        taken, self._waiting = self._waiting, deque()
        overflowed, self._overflowed = self._overflowed, False
        return None if overflowed else tuple(taken)


class Feed:
    """The log seen from this process. ``run`` reads; everything else only listens."""

    def __init__(self, pool: Pool, broker: Broker) -> None:
        self._pool = pool
        self._broker = broker
        self._me = uuid4().hex
        self._wake = asyncio.Event()
        self._streams: defaultdict[UUID, set[Mailbox]] = defaultdict(set)
        self._followers: defaultdict[UUID, set[Mailbox]] = defaultdict(set)
        self._taps: defaultdict[str, list[Callable[[LoggedEvent], None]]] = defaultdict(list)
        self._turn = asyncio.Event()
        self._unsettled: dict[int, asyncpg.Record] = {}
        self.epoch = UUID(int=0)
        self.settled = Position(0, 0)
        self.healthy = False
        self.told: Counter[str] = Counter()
        """Events that became settled since the start, by type: the log's, and so the same in every process."""
        self.read_at = monotonic()
        """When the log was last read to its end, by ``monotonic``."""
        self.lag_seconds = 0.0
        """From the newest change, by the database's clock, to its being handed out here, by this machine's."""

    def committed(self) -> None:
        """The log has grown by this process: look, and tell the others."""
        self._wake.set()
        self._broker.publish(self._me)

    async def start(self) -> None:
        """Find the end of the log; watchers may come from here on."""
        row = (await self._fetch(_START))[0]
        self.epoch, self.settled = row["log_epoch"], Position(int(row["horizon"]), 0)
        self.healthy = True

    async def run(self) -> None:
        """Read the log whenever it may have grown, until cancelled."""
        listening = asyncio.create_task(self._listen(), name="feed-listen")
        soon = SOON
        try:
            while True:
                settled = self.settled
                try:
                    async with asyncio.timeout(soon if self._unsettled else TICK):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                await self._read()
                waits = self._unsettled and self.settled == settled
                soon = min(2 * soon, TICK) if waits else SOON
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        async for message in self._broker:
            if isinstance(message, Gap) or message.text != self._me:
                self._wake.set()

    async def _read(self) -> None:
        try:
            self._settle(await self._read_to_the_end())
        except Exception as error:  # whatever it is, a feed that ended would leave every watcher deaf
            if self.healthy and not is_gone(error):
                log.exception("feed.failed")
            elif self.healthy:
                log.warning("feed.lost", error=type(error).__name__)
            self.healthy = False
        else:
            if not self.healthy:
                log.info("feed.found")
            self.healthy, self.read_at = True, monotonic()
        turned, self._turn = self._turn, asyncio.Event()
        turned.set()

    async def _read_to_the_end(self) -> int:
        """Hand out what is new; the oldest transaction that still ran when the reading began."""
        place, horizon = self.settled, None
        while True:
            rows = await self._pool.fetch(_TAIL, str(place.xid), place.id, list(self._unsettled))
            horizon = int(rows[0]["horizon"]) if horizon is None else horizon
            told = [row for row in rows if row["id"] is not None]
            for row in told:
                self._hand_out(row)
            if len(told) < PAGE:
                break
            place = _place(told[-1])
        if told:
            self.lag_seconds = max(0.0, (datetime.now(UTC) - told[-1]["at"]).total_seconds())
        return horizon

    def _hand_out(self, row: asyncpg.Record) -> None:
        """Tell those who watch the event's stream; most events nobody here waits for stay the rows that they are."""
        self._unsettled[row["id"]] = row
        mailboxes, taps = self._streams.get(row["stream_id"]), self._taps.get(row["stream"])
        if mailboxes or taps:
            event = logged(row)
            for mailbox in mailboxes or ():
                mailbox.offer(event)
            for heard in taps or ():
                heard(event)

    def _settle(self, horizon: int) -> None:
        """Tell those who follow the log what lies below the horizon, where nothing can come in between any more."""
        settled = sorted(
            (place, row) for row in self._unsettled.values() if (place := _place(row)).xid < horizon
        )
        for place, row in settled:
            del self._unsettled[place.id]
            self.settled = place
            self.told[row["type"]] += 1
            keys = (row["organization_id"], row["account_id"], row["resource_id"])
            if mailboxes := set().union(*(self._followers[key] for key in keys if key in self._followers)):
                event = logged(row)
                for mailbox in mailboxes:
                    mailbox.offer(event)

    @contextmanager
    def watch_stream(self, stream_id: UUID) -> Iterator[Mailbox]:
        """Hear each version of one stream, as soon as it is committed."""
        with _registered(Mailbox(), self._streams, (stream_id,)) as mailbox:
            yield mailbox

    @contextmanager
    def watch_log(self, audience: Audience) -> Iterator[Mailbox]:
        """Hear each event that is meant, in the order of the log."""
        with _registered(Mailbox(audience), self._followers, audience.keys) as mailbox:
            yield mailbox

    async def beyond(self, place: Position) -> None:
        """Wait until something after a place is settled."""
        while self.settled <= place:
            await self._turn.wait()

    async def turn(self) -> None:
        """Wait until the log has been read once more."""
        turn = self._turn
        self._wake.set()
        await turn.wait()

    def tap(self, stream: Stream, heard: Callable[[LoggedEvent], None]) -> None:
        """Let ``heard`` know every event of one kind of stream, at least once."""
        self._taps[stream.value].append(heard)

    async def stream_after(self, stream_id: UUID, version: int, limit: int) -> Sequence[LoggedEvent]:
        """What the log has of a stream after a version."""
        return [logged(row) for row in await self._fetch(_STREAM_AFTER, stream_id, version, limit)]

    async def stream_head(self, stream_id: UUID) -> int | None:
        """The newest version of a stream in the log."""
        head: int | None = (await self._fetch(_STREAM_HEAD, stream_id))[0][0]
        return head

    async def log_after(
        self, audience: Audience, after: Position, upto: Position, limit: int
    ) -> Sequence[LoggedEvent]:
        """What the log has for an audience after a place, up to and with another."""
        statement, values = page_of(audience, after, upto, limit)
        return [logged(row) for row in await self._fetch(statement, *values)]

    async def goes_beyond(self, audience: Audience, place: Position) -> bool:
        """Whether anything for an audience is committed after a place, settled or not."""
        return bool(await self.log_after(audience, place, END, 1))

    async def log_reach(self) -> tuple[Position, Position]:
        """Where the log begins, and the place beyond which no process has told anything yet."""
        row = (await self._fetch(_REACH))[0]
        return Position(int(row["xid"]), row["id"]), Position(int(row["horizon"]), 0)

    async def _fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Rows, however long the database is away: a watcher waits rather than miss something."""
        return await patiently(lambda: self._pool.fetch(statement, *values), patience=inf)


def _place(row: asyncpg.Record) -> Position:
    return Position(int(row["xid"]), row["id"])


@contextmanager
def _registered(
    mailbox: Mailbox, watched: defaultdict[UUID, set[Mailbox]], keys: Sequence[UUID]
) -> Iterator[Mailbox]:
    for key in keys:
        watched[key].add(mailbox)
    try:
        yield mailbox
    finally:
        for key in set(keys):
            watched[key].discard(mailbox)
            if not watched[key]:
                del watched[key]
