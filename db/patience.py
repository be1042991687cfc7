"""Waiting for a database that is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from db.failures import is_gone, meaning

PATIENCE = 5.0
"""Seconds a request waits before it is told that the database does not answer."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5

Result = TypeVar("Result")


async def patiently(attempt: Callable[[], Awaitable[Result]], patience: float = PATIENCE) -> Result:
    """The result of ``attempt``, tried again while the database is away, for ``patience`` seconds.

    Only for what may be tried again: reading, and beginning a transaction. Raises domain.errors.Unavailable.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience, FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_gone(error) or loop.time() + pause > deadline:
                raise meaning(error) or error from error
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
