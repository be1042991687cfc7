"""Many who ask for the same thing at once get one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """At most one reading of a thing is under way, and at most one waits for its end.

    Who asks while another's reading is under way does not get that one, which may have begun before what they must
    see: they share the next. So what an answer tells is never older than the question.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Task[Answer]] = {}
        self._flying: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, thing: Hashable, reading: Callable[[], Awaitable[Answer]]) -> Answer:
        """What a reading that begins from now on gives or raises; whoever leaves, it goes on for the others."""
        waiting = self._waiting.get(thing)
        if waiting is None:
            waiting = self._waiting[thing] = asyncio.create_task(self._fly(thing, reading))
        return await asyncio.shield(waiting)

    async def _fly(self, thing: Hashable, reading: Callable[[], Awaitable[Answer]]) -> Answer:
        before = self._flying.get(thing)
        if before is not None:
            await asyncio.wait({before})
        self._flying[thing] = self._waiting.pop(thing)
        try:
            return await reading()
        finally:
            del self._flying[thing]
