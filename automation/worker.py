"""The worker: loops that run until they are cancelled, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from domain.errors import Unavailable
from domain.expiry import Expiry
from domain.housekeeping import Housekeeping

SOON = 1.0
"""Seconds between two looks at most: a hold made meanwhile may be shorter than the next one due."""

HOURLY = 3600.0
AFTER_FAILURE = 1.0

log = structlog.get_logger("holdfast.worker")


@dataclass(frozen=True, slots=True)
class Worker:
    """Ends what has run out, and clears away what is old. Any number of workers may run side by side."""

    expiry: Expiry
    housekeeping: Housekeeping

    async def run(self) -> None:
        """Run all loops until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_for_ever("expiry", self._expire))
            loops.create_task(_for_ever("housekeeping", self._keep_house))

    async def _expire(self) -> float:
        ended = await self.expiry.sweep()
        if ended:
            log.info("reservations.expired", count=ended)
            return 0
        left = await self.expiry.next_due()
        return SOON if left is None else min(SOON, left.total_seconds())

    async def _keep_house(self) -> float:
        dropped = await self.housekeeping.sweep()
        return 0 if dropped else HOURLY


async def _for_ever(name: str, step: Callable[[], Awaitable[float]]) -> None:
    """Repeat a step; each says how many seconds to wait for the next. A failing one is told once and tried again."""
    failing = False
    while True:
        try:
            pause = await step()
            if failing:
                log.info("loop.recovered", loop=name)
            failing = False
        except Exception as error:  # a loop that ended would leave its work undone for ever
            if not failing:
                told = log.warning if isinstance(error, Unavailable) else log.exception
                told("loop.failed", loop=name, error=type(error).__name__)
            failing, pause = True, AFTER_FAILURE
        await asyncio.sleep(pause)
