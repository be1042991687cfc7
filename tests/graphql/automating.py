"""Somebody with jobs at the demo portal, and a worker without a browser that takes them from step to step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from domain.access import Role
from domain.automation import Automation, StartJob
from domain.ids import new_id
from domain.jobs import Advance, AutomationFailure, AutomationStatus, Job, Lease, Outcome, Slot
from domain.live import Live
from domain.portals import CapturedCode
from domain.viewer import Viewer
from schema.ids import encode
from tests.world import World

PORTAL_URL = "http://127.0.0.1:9"
PNG = b"\x89PNG of a code"
LIFE = timedelta(seconds=30)
LEASE = timedelta(minutes=5)
SLOT = Slot(date(2027, 3, 28), time(9, 30), "Uppsala")
UNTIL_CODE = [
    AutomationStatus.STARTING,
    AutomationStatus.NAVIGATING,
    AutomationStatus.LOGIN,
    AutomationStatus.BANKID,
    AutomationStatus.QR_WAITING,
]


def animated(second: int) -> str:
    """The text of a code in its so manieth second."""
    return f"bankid.67df3917-fa0d-44e5-b327-edcc928297f8.{second}.{second:064x}"


@dataclass
class Running:
    """A job, and the lease under which it is run once it was claimed."""

    job: Job
    automation: Automation
    live: Live
    worker: UUID
    lease: Lease | None = None

    @property
    def id(self) -> UUID:
        return self.job.id

    @property
    def gid(self) -> str:
        return encode("AutomationJob", self.job.id)

    async def claim(self) -> None:
        """Take it from the queue, in which it stands alone."""
        claim = await self.automation.claim(self.worker, LEASE)
        assert claim is not None
        assert claim.job.id == self.id
        self.job, self.lease = claim.job, claim.lease

    async def reach(self, *statuses: AutomationStatus) -> None:
        """Go on to these statuses, one after the other."""
        for status in statuses:
            if self.lease is None:
                assert status is AutomationStatus.STARTING
                await self.claim()
                continue
            failure = AutomationFailure.INTERNAL if status is AutomationStatus.FAILED else None
            await self.advance(Advance(status, f"It is {status.value.lower()}.", failure))

    async def fail(self, failure: AutomationFailure) -> None:
        await self.advance(Advance(AutomationStatus.FAILED, "It did not work.", failure))

    async def advance(self, advance: Advance) -> None:
        assert self.lease is not None
        self.job = await self.automation.advance(self.lease, advance)

    async def complete(self, number: str = "DEMO-4711", slot: Slot = SLOT) -> None:
        assert self.lease is not None
        self.job = await self.automation.complete(self.lease, Outcome(number, slot), "Booked.")

    async def show(self, second: int, life: timedelta = LIFE) -> None:
        """Show the code of a second."""
        code = CapturedCode(animated(second), PNG, datetime.now(UTC), life, f"bankid:///?x={second}")
        await self.live.show_code(self.id, code)

    async def hide(self) -> None:
        await self.live.hide_code(self.id)

    async def picture(self, own: bytes, masked: bytes) -> None:
        await self.live.show_picture(self.id, own, masked)


@dataclass
class Automating:
    """A world with a worker that says it has a browser."""

    world: World
    owner: Viewer
    organization_id: UUID
    worker: UUID

    @classmethod
    async def of(cls, world: World) -> Automating:
        worker = new_id()
        async with world.app.database.begin(None) as tx:
            await tx.jobs.report(worker, 8, 0)
            state = await tx.jobs.portal("demo")
        assert state is not None
        return cls(world, await world.person("astrid"), state.organization_id, worker)

    @property
    def portal_organization(self) -> str:
        return encode("Organization", self.organization_id)

    async def start(
        self, viewer: Viewer | None = None, config: Mapping[str, Any] | None = None, **more: Any
    ) -> Running:
        """A job in the queue."""
        services = self.world.app.services
        request = StartJob("demo", config or {"places": ["Uppsala"]}, **more)
        job = await services.automation.start(viewer or self.owner, request)
        return Running(job, services.automation, services.live, self.worker)

    async def waiting(self, viewer: Viewer | None = None, **more: Any) -> Running:
        """A job that waits for its person to sign in."""
        running = await self.start(viewer, **more)
        await running.reach(*UNTIL_CODE)
        return running

    async def staff(self, role: Role = Role.STAFF) -> Viewer:
        """Staff of the portal's organization."""
        async with self.world.app.database.begin(None) as tx:
            organization = await tx.catalogue.organization(self.organization_id)
        assert organization is not None
        return await self.world.member(organization, role)

    async def others(self) -> dict[str, Viewer]:
        """Those for whom there is no job."""
        world, elsewhere = self.world, await self.world.organization("Norrsken Lab")
        return {
            "guest": world.guest(),
            "another account": await world.person("bertil"),
            "staff elsewhere": await world.member(elsewhere),
            "admin elsewhere": await world.member(elsewhere, Role.ADMIN),
            "provider of the portal": await self.staff(Role.PROVIDER),
        }

    async def settled(self) -> None:
        """Let everything committed so far be told."""
        for _ in range(2):  # the first reading may have begun before the last commit
            await self.world.app.feed.turn()

    async def watched(self, job: Running, *, by_staff: bool = False, by_owner: bool = True) -> None:
        """Wait until the job's page is watched."""
        async with asyncio.timeout(10), job.live.watched(job.id) as audiences:
            audience = await anext(audiences)
            while audience.own < by_owner or audience.masked < by_staff:
                audience = await anext(audiences)
