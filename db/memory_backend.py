"""The broker's backend for one process, or for several brokers within one."""

from __future__ import annotations

import asyncio

from broadcaster import BroadcastBackend, Event

from db.backlog import GAP


class MemoryBackend(BroadcastBackend):
    """Hands events to every connected backend that shares ``peers``; alone, to itself.

    Speaks the same language as `db.redis_backend.RedisBackend`: an event whose message is `GAP` follows every
    subscription. Never fails.
    """

    def __init__(self, peers: set[MemoryBackend] | None = None) -> None:
        self._peers = set() if peers is None else peers
        self._channels: set[str] = set()
        # Needs no limit: what a sender puts here in one turn is bounded by its own backlog, and the listener
        # empties the queue at its next turn.
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    async def connect(self) -> None:
        """Join the peers."""
        self._peers.add(self)

    async def disconnect(self) -> None:
        """Leave the peers."""
        self._peers.discard(self)

    async def subscribe(self, group: str) -> None:
        """Hear the channel ``group`` from now on."""
        self._channels.add(group)
        self._events.put_nowait(Event(group, GAP))

    async def unsubscribe(self, group: str) -> None:
        """Hear the channel ``group`` no longer."""
        self._channels.discard(group)

    async def publish(self, channel: str, message: str) -> None:
        """Hand ``message`` to every subscribed peer, this one included."""
        for peer in self._peers:
            if channel in peer._channels:
                peer._events.put_nowait(Event(channel, message))

    async def next_published(self) -> Event:
        """Wait for the next event."""
        return await self._events.get()
