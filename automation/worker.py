"""The worker: loops that run until they are cancelled, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import structlog

from automation.jobs import Runner
from automation.webhooks.courier import Courier
from domain.automation import Automation
from domain.errors import Unavailable
from domain.expiry import Expiry
from domain.housekeeping import Housekeeping
from domain.ports import Begin, LoopReport

SOON = 1.0
"""Seconds between two looks at most: a hold made meanwhile may be shorter than the next one due."""

HOURLY = 3600.0
REPORTING = 15.0
OVERDUE = 2.0
AFTER_FAILURE = 1.0
BREATH = 0.05
"""Seconds between two steps of trimming the log, in which others get the disk."""

log = structlog.get_logger("holdfast.worker")


@dataclass(slots=True)
class Loop:
    """One loop: what it repeats, how often it ran and failed, and when last (by ``monotonic``)."""

    name: str
    step: Callable[[], Awaitable[float]]
    runs: int = 0
    failures: int = 0
    ran: float | None = None
    failed: float | None = None
    error: str | None = None

    def report(self) -> LoopReport:
        """What others may know of it."""
        now = monotonic()
        ran, failed = (None if at is None else now - at for at in (self.ran, self.failed))
        return LoopReport(self.name, ran, failed, self.error)


@dataclass(frozen=True, slots=True)
class Worker:
    """Ends what has run out, clears away what is old, and runs jobs where there is a ``runner`` (a browser).

    Any number of workers may run side by side.
    """

    begin: Begin
    expiry: Expiry
    housekeeping: Housekeeping
    automation: Automation
    runner: Runner | None = None
    courier: Courier | None = None
    loops: list[Loop] = field(init=False)
    """All of them, for whoever asks how they do."""
    _browsing: list[Loop] = field(init=False)
    """Those of them that need a browser."""

    def __post_init__(self) -> None:
        browsing = []
        if (runner := self.runner) is not None:
            browsing = [
                Loop("jobs", runner.take),
                Loop("leases", runner.renew),
                Loop("availability", runner.report),
            ]
        loops = [
            Loop("expiry", self._expire),
            Loop("housekeeping", self._keep_house),
            Loop("retention", self._trim),
            Loop("overdue", self._end_overdue),
        ]
        if self.courier is not None:
            loops.append(Loop("webhooks", self.courier.step))
        object.__setattr__(self, "_browsing", browsing)
        object.__setattr__(self, "loops", loops + browsing)

    async def run(self) -> None:
        """Run all loops until cancelled."""
        async with self.courier or nullcontext(), asyncio.TaskGroup() as running:
            for loop in (*self.loops, Loop("report", self._report)):
                if loop not in self._browsing:
                    running.create_task(_for_ever(loop))
            if self.runner is not None:
                running.create_task(_for_ever(Loop("browsers", partial(self._run_jobs, self.runner))))

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

    async def _trim(self) -> float:
        dropped = await self.housekeeping.trim()
        return BREATH if dropped else HOURLY

    async def _end_overdue(self) -> float:
        return 0 if await self.automation.overdue() else OVERDUE

    async def _run_jobs(self, runner: Runner) -> float:
        """Run jobs until cancelled."""
        async with runner.working(), asyncio.TaskGroup() as running:
            for loop in self._browsing:
                running.create_task(_for_ever(loop))
        return 0

    async def _report(self) -> float:
        """Tell the other processes that the loops run: an operator asks a server, which may run none."""
        reports = [loop.report() for loop in self.loops]
        async with self.begin(None) as tx:
            await tx.upkeep.note(reports)
        all_began = all(report.ran is not None or report.failed is not None for report in reports)
        return REPORTING if all_began else SOON


async def _for_ever(loop: Loop) -> None:
    """Repeat a step; each says how many seconds to wait for the next. A failing one is told once and tried again."""
    failing = False
    while True:
        try:
            pause = await loop.step()
            if failing:
                log.info("loop.recovered", loop=loop.name)
            failing = False
        except Exception as error:  # a loop that ended would leave its work undone for ever
            loop.failures, loop.failed, loop.error = loop.failures + 1, monotonic(), type(error).__name__
            if not failing:
                told = log.warning if isinstance(error, Unavailable) else log.exception
                told("loop.failed", loop=loop.name, error=loop.error)
            failing, pause = True, AFTER_FAILURE
        else:
            loop.runs, loop.ran = loop.runs + 1, monotonic()
        await asyncio.sleep(pause)
