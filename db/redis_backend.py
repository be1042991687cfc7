"""The broker's backend over Redis publish/subscribe (RESP2, https://redis.io/docs/latest/develop/pubsub/)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from broadcaster import BroadcastBackend, Event
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.exceptions import RedisError

from db.backlog import GAP

PATIENCE: Final = 1.0
"""Seconds: how long Redis may take to answer, and how long it may be silent before it is asked."""

OPTIONS: Final[dict[str, Any]] = {
    "protocol": 2,
    # `answering` bounds each call: to send within a time of its own, redis-py uses asyncio.wait_for, which up to
    # Python 3.11 loses a cancellation that comes with the result, so that its task would go on for ever.
    "socket_timeout": None,
    "socket_connect_timeout": PATIENCE,
    "driver_info": None,
}


@asynccontextmanager
async def answering(seconds: float = PATIENCE) -> AsyncIterator[None]:
    """For a call of Redis: whatever fails, or takes longer, is a ConnectionError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError) as failure:
        raise ConnectionError(str(failure) or type(failure).__name__) from failure


class RedisBackend(BroadcastBackend):
    """One connection listens, another publishes. Neither repairs itself: its driver calls `connect` again.

    For every subscription that Redis confirms, `next_published` gives an event whose message is `GAP`: what
    was published before it has not been heard. Every failure is a `ConnectionError`, whose text names the
    address at most.

    ``url`` is ``redis://``, ``rediss://`` (TLS; certificate and host name are checked) or ``unix://``, with
    the query options of redis-py. A `ValueError` for any other shows no part of it: it may hold a password.
    """

    def __init__(self, url: str) -> None:
        try:
            self._pool = ConnectionPool.from_url(url, **OPTIONS)
            self._listening: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, RedisError):
            raise ValueError("the Redis URL cannot be read") from None
        # Either would change the shape of the replies; misreading them is being deaf without knowing it.
        if self._listening.protocol != 2 or self._listening.encoder.decode_responses:
            raise ValueError("the Redis URL may set neither protocol nor decode_responses")
        self._client = Redis(connection_pool=self._pool)

    async def connect(self) -> None:
        """Open the listening connection, unless it is open; a failure has closed it."""
        async with answering():
            await self._listening.connect()  # type: ignore[no-untyped-call]

    async def disconnect(self) -> None:
        """Close both connections."""
        # Failing at it leaves them closed as well: the other end did not say goodbye in time.
        with suppress(RedisError, OSError):
            await self._listening.disconnect(nowait=True)
            await self._pool.disconnect()

    async def subscribe(self, group: str) -> None:
        """Ask for the channel ``group``; `next_published` reports the answer."""
        await self._listening_command("SUBSCRIBE", group)

    async def unsubscribe(self, group: str) -> None:
        """Ask to hear the channel ``group`` no longer."""
        await self._listening_command("UNSUBSCRIBE", group)

    async def publish(self, channel: str, message: str) -> None:
        """Publish ``message`` and wait for Redis to have taken it."""
        async with answering():
            await self._client.publish(channel, message)

    async def next_published(self) -> Event:
        """Wait for the next event, asking for a sign of life when Redis is silent."""
        while True:
            match await self._reply():
                case [b"message", bytes(channel), bytes(text)]:
                    return Event(channel.decode(), text.decode(errors="replace"))
                case [b"subscribe", bytes(channel), _]:
                    return Event(channel.decode(), GAP)

    async def _listening_command(self, *words: str) -> None:
        async with answering():
            await self._listening.send_command(*words)

    async def _reply(self) -> object:
        async with answering(2 * PATIENCE):
            reply = await self._listening.read_response(timeout=PATIENCE)
            if reply is None:
                # A peer that was stopped or unplugged leaves a connection that stays open and silent for ever.
                await self._listening.send_command("PING")
                reply = await self._listening.read_response()
            return reply
