"""The courier: sends deliveries to the endpoints that this worker has a lease on.

Step by step it writes what came of earlier attempts, turns what is new in the log into deliveries, and fetches what is
due. Sending goes on between and beside the steps; each endpoint has requests of its own under way and waits for no
other's. A delivery's subject has at most one under way: ``db.webhooks`` holds back what comes later.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol, Self
from uuid import UUID, uuid4

import structlog

from domain.endpoints import Post, event_of
from domain.events import Position
from domain.messages import Messages
from domain.ports import Begin
from domain.webhooks import DISABLED, Attempt, Due, Endpoint, Outcome, outcome

IN_FLIGHT = 16
"""Requests at once to an endpoint that answers quickly; a failing one gets one at a time."""
AT_FIRST = 2
"""Requests at once to one that does not, or has not answered yet."""
QUICK = 2.0
"""Seconds that a quick answer takes at most."""
AHEAD = 64
"""Deliveries of one endpoint that are fetched and not settled yet."""
LINES = 400
"""Endpoints that a worker sends to at once. With more, they take turns."""

LEASE = timedelta(seconds=15)
RENEWED = 5.0
IDLE = 30.0
"""Seconds without anything to send after which another worker may have an endpoint."""

TICK = 1.0
SOON = 0.1
"""Seconds between two looks at who waits where others have left room."""
PACE = 0.01
"""Seconds between two steps: what comes meanwhile is gathered."""
BATCH = 1_000

log = structlog.get_logger("holdfast.webhooks")


class Growing(Protocol):
    """The log, as far as its order is final."""

    @property
    def settled(self) -> Position:
        """Up to where it is."""

    async def beyond(self, place: Position) -> None:
        """Wait until something after a place is settled."""


@dataclass(slots=True)
class Line:
    """What this worker has in hand for one endpoint: ``held`` is fetched and not settled, of which some ``wait``."""

    endpoint: Endpoint
    until: float
    used: float
    quick: bool = False
    served: bool = False
    """Whether anything was fetched for it."""
    waiting: deque[Due] = field(default_factory=deque)
    held: set[int] = field(default_factory=set)
    busy: int = 0

    @property
    def failing(self) -> bool:
        """Whether the last that was heard of the endpoint was a failure."""
        return self.endpoint.failing_since is not None

    @property
    def most(self) -> int:
        """How many requests may be under way."""
        return 1 if self.failing else IN_FLIGHT if self.quick else AT_FIRST

    @property
    def room(self) -> int:
        """How many more deliveries may be fetched."""
        return max(0, (AHEAD if self.most == IN_FLIGHT else self.most) - len(self.held))


class Courier:
    """One a worker. ``step`` is repeated by the worker's loop; leaving the context gives all leases back."""

    def __init__(self, begin: Begin, feed: Growing, messages: Messages, post: Post) -> None:
        self.worker = uuid4()
        self._begin = begin
        self._feed = feed
        self._messages = messages
        self._post = post
        self._lines: dict[UUID, Line] = {}
        self._outcomes: list[tuple[UUID, Outcome]] = []
        self._came = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slow: set[UUID] = set()
        self._crowded = False
        self._looked = 0.0
        self._reminded = -TICK
        self._renewed = 0.0
        self.sent: Counter[str] = Counter()
        """Attempts since the start, by what came of their deliveries."""

    async def __aenter__(self) -> Self:
        self._begun(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Exception):  # a database that is away lets the leases run out
            async with asyncio.timeout(1):
                await self._settle()
                await self._give_back(list(self._lines))

    async def step(self) -> float:
        """Wait for something to do, and do it; the seconds to wait for the next."""
        if not self._lines and not await self._anybody():
            return TICK
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await self._came.wait()
        self._came.clear()
        await self._settle()
        touched = await self._tell()
        await self._take(touched)
        await self._fetch()
        return PACE

    async def _anybody(self) -> bool:
        async with self._begin(None) as tx:
            return await tx.webhooks.told()

    async def _listen(self) -> None:
        """Wake up whenever the log has grown."""
        while True:
            place = self._feed.settled
            await self._feed.beyond(place)
            self._came.set()

    async def _settle(self) -> None:
        """Write what came of attempts; what cannot be written now is kept."""
        outcomes = self._outcomes[:]
        if not outcomes:
            return
        async with self._begin(None) as tx:
            await tx.webhooks.finish(self.worker, [each for _, each in outcomes])
        del self._outcomes[: len(outcomes)]
        for endpoint_id, each in outcomes:
            if line := self._lines.get(endpoint_id):
                line.held.discard(each.number)
        await self._judge(outcomes)

    async def _judge(self, outcomes: list[tuple[UUID, Outcome]]) -> None:
        """Note which endpoints fail, and disable those that did so for too long or are gone."""
        well = {endpoint_id for endpoint_id, each in outcomes if each.attempt.succeeded}
        failed = {endpoint_id for endpoint_id, each in outcomes if not each.attempt.succeeded} - well
        gone = {endpoint_id for endpoint_id, each in outcomes if each.attempt.gone}
        recovered = {id_ for id_ in well if (line := self._lines.get(id_)) is None or line.failing} - gone
        if not (failed or recovered or gone):
            return
        async with self._begin(None) as tx:
            disabled = await tx.webhooks.fail(self.worker, [*failed], [*recovered], [*gone])
            for endpoint, at in disabled:
                tx.emit(event_of(endpoint, DISABLED, at))
        for endpoint, _ in disabled:
            log.warning("webhook.disabled", endpoint=str(endpoint.id))
            self._lines.pop(endpoint.id, None)

    async def _tell(self) -> set[UUID]:
        """Turn what is new in the log into deliveries; the endpoints that they are for.

        Of a long replay that is a part: between two of them others are sent what is theirs.
        """
        behind = monotonic() - self._reminded >= TICK
        async with self._begin(None) as tx:
            told = await tx.webhooks.tell(BATCH, behind=behind)
        if behind and not told.behind:
            self._reminded = monotonic()
        if told.events >= BATCH:
            self._came.set()
        return set(told.endpoints)

    async def _take(self, touched: set[UUID]) -> None:
        """Take and renew leases, and give back those of endpoints that have nothing to send.

        Where more want a line than there are, each is given back as soon as nothing of it is in hand.
        """
        now, wanted = monotonic(), set(touched)
        for lapsed in [id_ for id_, line in self._lines.items() if line.until <= now]:
            del self._lines[lapsed]  # another may have had it since: what waits here may have been sent
        idle = [id_ for id_, line in self._lines.items() if not line.held]
        looking = now - self._looked >= (SOON if self._crowded and idle else TICK)
        if looking:
            self._looked = now
            async with self._begin(None) as tx:
                wanted.update(await tx.webhooks.waiting(LINES, list(self._slow)))
        wanted -= self._lines.keys()
        renewing = now - self._renewed >= RENEWED
        if looking or wanted:
            self._crowded = len(wanted) > LINES - len(self._lines)
        if renewing or self._crowded:
            bear = 0.0 if self._crowded else IDLE
            await self._give_back([id_ for id_ in idle if now - self._lines[id_].used > bear])
        wanted = set(sorted(wanted, key=self._slow.__contains__)[: max(0, LINES - len(self._lines))])
        if renewing:
            self._renewed = now
            wanted.update(self._lines)
        if not wanted:
            return
        async with self._begin(None) as tx:
            claimed = await tx.webhooks.claim(self.worker, list(wanted), LEASE)
        until = now + LEASE.total_seconds()
        for endpoint in claimed:
            line = self._lines.setdefault(endpoint.id, Line(endpoint, until, now))
            line.until = until
        for lost in wanted & self._lines.keys() - {endpoint.id for endpoint in claimed}:
            del self._lines[lost]

    async def _give_back(self, endpoints: list[UUID]) -> None:
        if endpoints:
            async with self._begin(None) as tx:
                await tx.webhooks.release(self.worker, endpoints)
        for endpoint_id in endpoints:
            del self._lines[endpoint_id]

    async def _fetch(self) -> None:
        """Fetch what is due, and send it."""
        room = {id_: (self._room(line), line.held) for id_, line in self._lines.items()}
        if not room:
            return
        async with self._begin(None) as tx:
            endpoints, due = await tx.webhooks.due(self.worker, room)
        known = {endpoint.id: endpoint for endpoint in endpoints}
        for endpoint_id in room.keys() - known.keys():
            del self._lines[endpoint_id]
        for endpoint_id, endpoint in known.items():
            self._lines[endpoint_id].endpoint = endpoint
        for each in due:
            line = self._lines[each.endpoint_id]
            line.waiting.append(each)
            line.held.add(each.number)
            line.used = monotonic()
        for line in self._lines.values():
            line.served = True
            self._send(line)

    def _room(self, line: Line) -> int:
        """How many more deliveries of an endpoint may be fetched; who is slow lets others have a turn."""
        return 0 if self._crowded and line.served and line.most < IN_FLIGHT else line.room

    def _send(self, line: Line) -> None:
        """Put as many requests under way as an endpoint may have; what waits when the lease is over is another's."""
        while line.waiting and line.busy < line.most and monotonic() < line.until:
            line.busy += 1
            self._begun(self._deliver(line, line.waiting.popleft()))

    async def _deliver(self, line: Line, due: Due) -> None:
        endpoint = line.endpoint
        try:
            attempt = await self._attempt(endpoint, due)
            line.quick = attempt.duration.total_seconds() <= QUICK
            (self._slow.discard if line.quick else self._slow.add)(endpoint.id)
            came = outcome(due.number, due.tries, attempt, random.random())  # noqa: S311 - spreads load, guards nothing
            self.sent[came.status] += 1
            self._outcomes.append((endpoint.id, came))
        finally:
            line.busy -= 1
            self._came.set()
            self._send(line)

    async def _attempt(self, endpoint: Endpoint, due: Due) -> Attempt:
        now = datetime.now(UTC)
        try:
            message = self._messages.of_event(endpoint, due.event, due.job, now)
            return await self._post(endpoint.url, message)
        except Exception:  # it is tried again like any other; else it would be in hand for ever
            log.exception("webhook.broke", endpoint=str(endpoint.id))
            return Attempt(now, timedelta(), error="internal")

    def _begun(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
