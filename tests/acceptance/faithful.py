"""Watchers who come back, as clients do: where a server says that it goes away, they go on with their cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.acceptance.watchers import LogReader, Watcher
from tests.clients import Closed
from tests.processes import eventually

GOING_AWAY = 1001


@dataclass
class Faithful:
    """How often everybody had to come back, which is told by 1001 alone; anything else fails the test."""

    url: str
    returns: list[object] = field(default_factory=list)

    async def follow(self, listener: Watcher | LogReader) -> None:
        """Listen for ever."""
        while True:
            try:
                await listener.follow(self.url)
            except Closed as closed:
                if closed.code != GOING_AWAY:
                    raise
                self.returns.append(listener)


@asynccontextmanager
async def faithfully(url: str, watchers: Sequence[Watcher], *logs: LogReader) -> AsyncIterator[Faithful]:
    """Let them all follow one address, whoever answers there."""
    faithful = Faithful(url)
    async with asyncio.TaskGroup() as group:
        listeners: tuple[Watcher | LogReader, ...] = (*watchers, *logs)
        tasks = [group.create_task(faithful.follow(each)) for each in listeners]
        await eventually(lambda: all(watcher.seats for watcher in watchers))
        try:
            yield faithful
        finally:
            for task in tasks:
                task.cancel()
