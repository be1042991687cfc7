"""Running jobs: as many at once as this worker has room for, each under a lease that is renewed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from traceback import extract_tb
from uuid import UUID

import structlog

from automation.capture.screen import live_view
from automation.job_run import UNKNOWN, Ending, JobRun
from domain.automation import Automation
from domain.errors import Unavailable
from domain.events import LoggedEvent
from domain.ids import new_id
from domain.jobs import AutomationFailure, Claim, Job, LeaseLost
from domain.journey import Journey
from domain.live import Live
from domain.portals import BrowserCrashed, Visit, Visits
from domain.runs import Patience, Walk

LEASE = timedelta(seconds=10)
RENEWING = 3.0
LOOKING = 1.0
REPORTING = 10.0
CLOSING = 2.0
"""Seconds that a visit may take to close: it is to do so within one."""
ATTEMPTS = 5
"""After so many a browser that crashes ends the job."""

log = structlog.get_logger("holdfast.jobs")


@dataclass(slots=True)
class Runner:
    """The runs of one worker. ``slots`` is how many there may be, ``grace`` the seconds that they get at a shutdown."""

    automation: Automation
    live: Live
    open_visits: Callable[[], AbstractAsyncContextManager[Visits]]
    secret: bytes = field(repr=False)
    slots: int
    grace: float
    lease: timedelta = LEASE
    patience: Patience = field(default_factory=Patience)
    worker: UUID = field(default_factory=new_id)
    _visits: Visits = field(init=False)
    _runs: dict[UUID, JobRun] = field(init=False, default_factory=dict)
    _attending: dict[JobRun, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _wake: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    @property
    def runs(self) -> Collection[JobRun]:
        """What runs now."""
        return self._attending.keys()

    def heard(self, event: LoggedEvent) -> None:
        """Look at once at what the log tells of jobs."""
        run = self._runs.get(event.stream_id)
        if run and event.type == "automation.stop_asked":
            run.stop()
        elif run and event.type == "automation.stopped":
            run.lost()
        elif event.type == "automation.queued":
            self._wake.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Be able to run jobs; afterwards none is left that another worker cannot have at once."""
        async with self.open_visits() as self._visits:
            try:
                yield
            finally:
                await self._leave()

    async def take(self) -> float:
        """Take jobs while there is room, when one was queued and each second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOKING):
                await self._wake.wait()
        self._wake.clear()
        while len(self.runs) < self.slots:
            asked = monotonic()
            claim = await self.automation.claim(self.worker, self.lease)
            if claim is None:
                break
            self._start(claim, asked + self.lease.total_seconds())
        return 0

    async def renew(self) -> float:
        """Renew all leases; what is missing was lost, and what is to stop is told so here, too."""
        runs = list(self._attending)
        if runs:
            asked = monotonic()
            kept = await self.automation.renew([run.lease for run in runs], self.lease)
            for run in runs:
                lease, stop = kept.get(run.job_id, (None, False))
                if lease is None:
                    run.lost()
                    continue
                run.renewed(lease, asked + self.lease.total_seconds())
                if stop:
                    run.stop()
        return min(RENEWING, self.lease.total_seconds() / 3)

    async def report(self) -> float:
        """Tell that jobs can be run here."""
        async with self.automation.begin(None) as tx:
            await tx.jobs.report(self.worker, self.slots, len(self.runs))
        return REPORTING

    def _start(self, claim: Claim, lease_ends: float) -> None:
        job = claim.job
        log.info("job.taken", job=str(job.id), attempt=job.attempt, portal=job.portal_key)
        portal = self.automation.portals[job.portal_key]
        witness = partial(self._visits.witness, job.id)
        run = JobRun(self.automation, self.live, portal, self.secret, witness, claim, lease_ends, self.lease)
        self._runs[job.id] = run
        run.walking = asyncio.create_task(self._walk(run, job), name=f"job {job.id}")
        self._attending[run] = asyncio.create_task(self._attend(run), name=f"run of {job.id}")

    async def _walk(self, run: JobRun, job: Job) -> None:
        expected = run.portal.expected_name(job.config, run.claim.owner_name)
        try:
            async with (
                _closed_soon(self._visits(job, run.portal)) as visit,
                live_view(self.live, job.id, visit),
            ):
                walk = Walk(visit, run, run.portal, job.config, self.patience)
                try:
                    await Journey(walk, expected).go()
                except (BrowserCrashed, LeaseLost):
                    raise
                except Exception:  # whatever it is, the page may show why; it may be that the browser is gone
                    await run.look()
                    raise
        except BrowserCrashed:
            if job.attempt < ATTEMPTS:
                await asyncio.sleep(min(job.attempt, ATTEMPTS))
                raise
            message = f"The browser ended, and this was attempt {job.attempt}: no more are made."
            await _fail(run, AutomationFailure.BROWSER_CRASHED, message)

    async def _attend(self, run: JobRun) -> None:
        """See a run to its end, whichever."""
        try:
            await asyncio.wait([run.walking])
            with suppress(LeaseLost, TimeoutError):
                async with asyncio.timeout(max(0.0, run.lease_ends - monotonic())):
                    await self._conclude(run, run.walking)
        except Exception as error:  # its lease runs out, and another worker goes on
            log.error("job.unsettled", job=str(run.job_id), error=type(error).__name__, at=_places(error))
        finally:
            run.done()
            del self._attending[run]
            if self._runs.get(run.job_id) is run:
                del self._runs[run.job_id]
            self._wake.set()
            log.info("job.left", job=str(run.job_id), over=run.over)

    async def _conclude(self, run: JobRun, walking: asyncio.Task[None]) -> None:
        """Write what is still to be written of a run whose journey has ended."""
        error = None if walking.cancelled() else walking.exception()
        if run.over or run.ending in (Ending.LOST, Ending.LEAVE) or isinstance(error, LeaseLost):
            return
        if run.ending is Ending.STOP:
            await run.stopped()
        elif isinstance(error, BrowserCrashed):
            await self.automation.give_back([run.lease])
        elif isinstance(error, Exception):
            await _broke(run, error)

    async def _leave(self) -> None:
        """Break off what is under way, behind the fence as late as possible, and give it back."""
        runs = dict(self._attending)
        for run in runs:
            run.leave()
        if runs:
            await asyncio.wait(runs.values(), timeout=self.grace)
            for run in runs:
                run.break_off()
            await asyncio.wait(runs.values(), timeout=CLOSING)
        left = [run.lease for run in runs if run.ending is Ending.LEAVE and not run.over]
        if left:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self.automation.give_back(left)


@asynccontextmanager
async def _closed_soon(visit: AbstractAsyncContextManager[Visit]) -> AsyncIterator[Visit]:
    """A visit that is left in time, whatever its browser does."""
    opened = await visit.__aenter__()
    try:
        yield opened
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await visit.__aexit__(*sys.exc_info())


async def _broke(run: JobRun, error: Exception) -> None:
    log.error("job.broke", job=str(run.job_id), error=type(error).__name__, at=_places(error))
    await _fail(run, AutomationFailure.INTERNAL, "Something went wrong here that should not.")


async def _fail(run: JobRun, failure: AutomationFailure, message: str) -> None:
    """End a job whose journey could not say so; behind the fence, nobody knows how."""
    if run.fence is not None:
        failure, message = AutomationFailure.UNKNOWN_OUTCOME, f"{message} {UNKNOWN}"
    await run.fail(failure, message)


def _places(error: BaseException) -> list[str]:
    """Where it was raised: its words may be a page's, and so somebody's."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-5:]]
