"""A bound on how long a peer may take to accept what is sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


class Patience:
    """Gives up on peers that do not read.

    A time-out around each send costs half as much as the send itself; here one timer looks after all that are
    under way, so that a send which is taken at once costs two dictionary operations.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, sending: Awaitable[Result], give_up: Callable[[], None]) -> Result:
        """Await ``sending``; call ``give_up``, once, when it takes too long.

        Too long is ``seconds``, or up to a quarter more.
        """
        loop = asyncio.get_running_loop()
        ticket = object()
        self._waiting[ticket] = (loop.time() + self.seconds, give_up)
        if self._timer is None:
            self._timer = loop.call_later(self.seconds / 4, self._look)
        try:
            return await sending
        finally:
            self._waiting.pop(ticket, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        overdue = [ticket for ticket, (due, _) in self._waiting.items() if due <= now]
        for ticket in overdue:
            _, give_up = self._waiting.pop(ticket)
            give_up()
        self._timer = loop.call_later(self.seconds / 4, self._look) if self._waiting else None
