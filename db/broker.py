"""The broker: tells every process at once that something changed. A hurry-up only; the log is the truth.

What arrives may be late, twice or missing. `Gap` says that it may be missing: read the log, then go on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, final
from urllib.parse import urlsplit

from broadcaster import BroadcastBackend

from db.backlog import GAP, Backlog
from db.memory_backend import MemoryBackend

FIRST_PAUSE: Final = 0.1
"""Seconds before the second attempt at most; the third waits twice as long, and so on."""

LONGEST_PAUSE: Final = 0.5
"""Seconds between two attempts at most: watchers are to be live within two seconds of Redis' return."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What some process, perhaps this one, published."""

    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may be missing up to here: comes first of all, and after an outage or an overflow."""


@final
class Broker:
    """One process' subscription to one channel, on either of our backends.

    Enter it to listen; iterate over it to hear `Gap` first and then every message in the order of its sender,
    one's own included. It has one reader; a second at the same time gets a `RuntimeError`. Neither a reader
    that does not read nor an outage makes it grow: see `db.backlog`.
    """

    # Drives the backend itself: broadcaster's `Broadcast` would put an unbounded queue between, and its
    # listener ends with the first failure.
    def __init__(self, backend: BroadcastBackend, *, channel: str, description: str) -> None:
        self.description = description
        self._backend = backend
        self._channel = channel
        self._inbox = Backlog()
        self._outbox = Backlog()
        self._link = _Link(description)
        self._reading = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def healthy(self) -> bool:
        """Whether, as far as is known now, messages come and go."""
        return bool(self._tasks) and self._link.works

    def publish(self, message: bytes | str) -> None:
        """Send ``message`` (UTF-8) to every process in a moment. Never waits, never raises for an outage.

        An empty message, one longer than `db.backlog.CHARACTERS`, and what an outage left no room for, arrive
        as one `Gap`. Call it from the event loop's thread.
        """
        self._outbox.put(message.decode() if isinstance(message, bytes) else message)

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._listen(), name="broker-listen"),
            asyncio.create_task(self._send(), name="broker-send"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = set(self._tasks), []
        while tasks:
            for task in tasks:
                task.cancel()
            # Again and again: redis waits with asyncio.wait_for, which before Python 3.12 loses a cancellation
            # that comes together with the answer.
            _, tasks = await asyncio.wait(tasks, timeout=FIRST_PAUSE)
        await self._backend.disconnect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Gap:
        if self._reading:
            raise RuntimeError("the broker has a reader already")
        self._reading = True
        try:
            text = await self._inbox.get()
        finally:
            self._reading = False
        return Message(text) if text != GAP else Gap()

    async def _listen(self) -> None:
        attempt = 0
        while True:
            try:
                await self._backend.connect()
                await self._backend.subscribe(self._channel)
                while True:
                    event = await self._backend.next_published()
                    attempt = 0
                    self._link.found("listening")
                    self._inbox.put(event.message)
            except Exception as failure:  # one that ended this task would leave the process deaf
                self._link.lost("listening", failure)
            await _pause(attempt)
            attempt += 1

    async def _send(self) -> None:
        while True:
            text = await self._outbox.get()
            attempt = 0
            while not await self._sent(text):
                await _pause(attempt)
                attempt += 1

    async def _sent(self, text: str) -> bool:
        try:
            await self._backend.publish(self._channel, text)
        except Exception as failure:  # as above
            self._link.lost("sending", failure)
            return False
        self._link.found("sending")
        return True


class _Link:
    """Which directions work. Tells the operator of an outage once when it starts and once when it ends."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._down = {"listening"}
        self._told = False

    @property
    def works(self) -> bool:
        return not self._down

    def lost(self, direction: str, failure: Exception) -> None:
        self._down.add(direction)
        if not self._told:
            self._told = True
            unforeseen = failure if not isinstance(failure, ConnectionError) else None
            logger.warning("broker lost: %s: %s", self._description, failure, exc_info=unforeseen)

    def found(self, direction: str) -> None:
        self._down.discard(direction)
        if self._told and not self._down:
            self._told = False
            logger.warning("broker found again: %s", self._description)


async def _pause(attempt: int) -> None:
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 8))
    # Spread, so that the processes that lost Redis together do not come back together.
    await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret


def make_broker(redis_url: str | None, *, channel: str = "holdfast") -> Broker:
    """Build the broker over Redis at ``redis_url``, or within this process when there is none.

    Opens nothing yet. Raises `ValueError`, without any part of the URL, when it cannot be read.
    """
    if redis_url is None:
        return Broker(MemoryBackend(), channel=channel, description="in-process")
    from db.redis_backend import RedisBackend  # redis costs a third of a second to import

    return Broker(RedisBackend(redis_url), channel=channel, description=f"redis at {_address(redis_url)}")


def _address(redis_url: str) -> str:
    url = urlsplit(redis_url)
    return f"{url.hostname or 'localhost'}:{url.port or 6379}" if url.scheme != "unix" else url.path
