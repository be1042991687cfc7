"""Jobs at a portal that is nothing but its terms: who starts them, who works on them, and time that passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.automation import Automation, StartJob
from domain.errors import InvalidInput
from domain.ids import new_id
from domain.jobs import Advance, AutomationStatus, Claim, Job, Lease, Outcome, Slot
from domain.once import Once
from domain.portals import Politeness
from domain.viewer import Viewer
from tests.audit import broken_rules, deadlocks
from tests.world import World, new_world

LEASE = timedelta(seconds=10)
CONFIG = {"exam": "theory"}
SLOT = Slot(date(2027, 3, 1), time(9, 30), "Uppsala")


@dataclass(frozen=True)
class Terms:
    """A portal nobody visits."""

    key: str = "toy"
    name: str = "Toy examinations"
    url: str = "https://toy.test.example"
    origins: Sequence[str] = ("https://toy.test.example",)
    time_zone: str = "Europe/Stockholm"
    currency: str = "SEK"
    politeness: Politeness = field(default_factory=Politeness)
    config_schema: Mapping[str, object] = field(default_factory=dict)

    def checked(self, config: object) -> Mapping[str, object]:
        """What names an exam."""
        if not isinstance(config, Mapping) or "exam" not in config:
            raise InvalidInput("Say which exam.", ("config", "exam"))
        return {"places": [], **config}

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        """The owner's."""
        return owner_name


@dataclass
class Errands:
    """One process' use cases of jobs. ``tables`` let time pass."""

    world: World
    automation: Automation

    @classmethod
    async def at(cls, world: World, *keys: str, jobs_per_account: int = 100) -> Errands:
        """At these portals, registered, with a worker that has reported."""
        begin = world.app.database.begin
        portals = {key: Terms(key) for key in keys or ("toy",)}
        once = Once(begin, world.app.services.guests)
        errands = cls(world, Automation(begin, once, portals, timedelta(minutes=60), jobs_per_account))
        await errands.automation.register()
        async with begin(None) as tx:
            await tx.jobs.report(new_id(), 4, 0)
        return errands

    async def start(self, viewer: Viewer, subject: str = "", portal: str = "toy", **more: Any) -> Job:
        """A new job."""
        return await self.automation.start(viewer, StartJob(portal, CONFIG, subject=subject, **more))

    async def claim(self, lease: timedelta = LEASE) -> Claim | None:
        """What a worker that has just come takes."""
        return await self.automation.claim(new_id(), lease)

    async def taken(self, lease: timedelta = LEASE) -> Claim:
        """The same, where there is something to take."""
        claim = await self.claim(lease)
        assert claim is not None
        return claim

    async def begun(self, viewer: Viewer, subject: str = "", lease: timedelta = LEASE) -> Claim:
        """A new job that somebody works on."""
        job = await self.start(viewer, subject)
        claim = await self.taken(lease)
        assert claim.job.id == job.id
        return claim

    async def step(self, lease: Lease, status: AutomationStatus, message: str = "On it.", **more: Any) -> Job:
        """A step of a run."""
        return await self.automation.advance(lease, Advance(status, message, **more))

    async def fenced(self, lease: Lease, slot: Slot = SLOT) -> Job:
        """A job whose booking click is about to happen."""
        return await self.step(lease, AutomationStatus.BOOKING, fence=slot)

    async def complete(self, lease: Lease, number: str = "TOY-1", slot: Slot = SLOT) -> Job:
        """A job whose booking the portal has confirmed."""
        return await self.automation.complete(lease, Outcome(number, slot), "Booked.")

    async def read(self, job_id: UUID) -> Job:
        """A job as the system sees it."""
        async with self.world.app.database.begin(None) as tx:
            job = await tx.jobs.job(job_id)
        assert job is not None
        return job

    async def lapse(self, job_id: UUID) -> None:
        """Let a lease run out, if there is one: the job may have been stopped meanwhile."""
        await self.world.tables.execute(
            "UPDATE automation_job SET lease_until = clock_timestamp() WHERE id = $1 AND lease_until IS NOT NULL",
            job_id,
        )

    async def expire(self, job_id: UUID) -> None:
        """Let the time of a job be over."""
        await self.world.tables.execute(
            "UPDATE automation_job SET deadline_at = clock_timestamp() WHERE id = $1", job_id
        )

    async def events(self, id_: UUID) -> list[str]:
        """The types of the events of one stream, in order."""
        rows = await self.world.tables.fetch(
            "SELECT type FROM event WHERE stream_id = $1 ORDER BY version", id_
        )
        return [row["type"] for row in rows]


@asynccontextmanager
async def crews_of(
    data_dir: Path, database_url: str, count: int, pool: int, **more: Any
) -> AsyncIterator[list[Errands]]:
    """Jobs at one portal in several processes, all connections open; what they leave behind is looked into."""
    async with AsyncExitStack() as stack:
        size = {"database_pool_min": pool, "database_pool_max": pool}
        worlds = [
            await stack.enter_async_context(new_world(data_dir, database_url, **size)) for _ in range(count)
        ]
        yield [await Errands.at(world, **more) for world in worlds]
        assert await broken_rules(worlds[0].tables) == []
    assert await deadlocks(database_url) == 0
