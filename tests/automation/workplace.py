"""Where jobs are run: a world with a scripted portal, and workers over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from automation.jobs import Runner
from automation.worker import Worker
from db.live import MemoryLive
from domain.automation import Automation, StartJob
from domain.events import Stream
from domain.expiry import Expiry
from domain.housekeeping import Housekeeping
from domain.jobs import FINAL, AutomationStatus, Job
from domain.portals import Visits
from domain.runs import Patience
from domain.viewer import Viewer
from tests.automation.scripted_visits import ScriptedVisits
from tests.domain.scripted_visit import ScriptedPortal
from tests.processes import eventually
from tests.world import World

BRIEF = Patience(readings=(0.0, 0.05, 0.05), first_pause=0.05)
"""Of somebody whose clicks take no time on their way."""


@dataclass
class Workplace:
    """A portal, what was booked there, and any number of workers."""

    world: World
    automation: Automation
    visits: ScriptedVisits = field(default_factory=ScriptedVisits)
    live: MemoryLive = field(default_factory=MemoryLive)
    owners: dict[UUID, Viewer] = field(default_factory=dict)

    async def start(self, **config: Any) -> Job:
        """A new job of somebody new."""
        viewer = await self.world.person()
        assert viewer.user_id is not None
        self.owners[viewer.user_id] = viewer
        return await self.automation.start(viewer, StartJob("demo", {"person": "Ada Lindström", **config}))

    def runner(self, **more: Any) -> Runner:
        """What runs jobs, over the scripted visits."""

        @asynccontextmanager
        async def visits() -> AsyncIterator[Visits]:
            yield self.visits

        settings = {"slots": 16, "grace": 1.0, "patience": BRIEF, "lease": timedelta(seconds=4.5), **more}
        runner = Runner(self.automation, self.live, visits, b"a key of tests", **settings)
        self.world.app.feed.tap(Stream.AUTOMATION, runner.heard)  # for as long as the world lasts
        return runner

    @asynccontextmanager
    async def working(self, runner: Runner | None = None, **more: Any) -> AsyncIterator[asyncio.Task[None]]:
        """A worker under way; it is shut down at the end."""
        begin = self.world.app.database.begin
        runner = runner or self.runner(**more)
        worker = Worker(begin, Expiry(begin), Housekeeping(begin), self.automation, runner=runner)
        running = asyncio.create_task(worker.run())
        try:
            yield running
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled(), running.exception()

    async def job(self, job: Job) -> Job:
        """A job as it is now."""
        async with self.world.app.database.begin(None) as tx:
            found = await tx.jobs.job(job.id)
        assert found is not None
        return found

    async def reaches(self, job: Job, *statuses: AutomationStatus, seconds: float = 10) -> Job:
        """Wait until a job has one of these statuses."""

        async def is_there() -> bool:
            # Without the lock that a worker would find taken.
            status = await self.world.tables.fetchval(
                "SELECT status FROM automation_job WHERE id = $1", job.id
            )
            return status in statuses

        await eventually(is_there, seconds)
        return await self.job(job)

    async def ends(self, job: Job, seconds: float = 10) -> Job:
        """Wait until a job is over."""
        return await self.reaches(job, *FINAL, seconds=seconds)

    def booked(self, job: Job) -> Sequence[str]:
        """The numbers of what the job's person has booked at the portal."""
        return [each.number for each in self.visits.ledgers[job.account_id].booked]

    async def stop(self, job: Job) -> None:
        """Ask for a job's end as its owner."""
        await self.automation.stop(self.owners[job.account_id], job.id)

    async def events(self, job_id: UUID) -> Sequence[str]:
        """The types of a job's events, in their order; fails where a version is missing."""
        rows = await self.world.tables.fetch(
            "SELECT type, version FROM event WHERE stream_id = $1 ORDER BY version", job_id
        )
        assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
        return [row["type"] for row in rows]


@asynccontextmanager
async def new_workplace(world: World, *, minutes: float = 10) -> AsyncIterator[Workplace]:
    """A workplace whose portal is open."""
    automation = replace(
        world.app.services.automation,
        portals={"demo": ScriptedPortal()},
        life=timedelta(minutes=minutes),
    )
    await automation.register()
    async with world.app.database.begin(None) as tx:
        await tx.jobs.report(UUID(int=1), 1, 0)
    yield Workplace(world, automation)
