"""An end, from outside, to what a task is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Ending:
    """Ends what is awaited in this task, and tells why, as ``asyncio.timeout`` does of time.

    A task of its own for each query, to be cancelled, and another to see its reader leave, cost as much as to execute
    a small one.
    """

    def __init__(self) -> None:
        self._why: Exception | None = None
        self._task: asyncio.Task[Any] | None = None
        self._waiting: asyncio.Task[None] | None = None

    def now(self, why: Exception) -> None:
        """End it. Only the first reason counts."""
        if self._why is None and self._task is not None:
            self._why = why
            self._task.cancel()

    def after(self, event: Callable[[], Awaitable[None]], why: Exception) -> None:
        """End it when ``event`` has come, unless it ends before."""

        async def wait() -> None:
            await event()
            self.now(why)

        self._waiting = asyncio.create_task(wait())

    async def of(self, doing: Awaitable[Result]) -> Result:
        """Await ``doing``. Raises what was the reason to end it."""
        self._task = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits is one
        try:
            return await doing
        except asyncio.CancelledError:
            if self._why is None or task.uncancel():
                raise
            raise self._why from None
        finally:
            self._task = None
            if self._waiting is not None:
                self._waiting.cancel()
