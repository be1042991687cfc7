"""A worker's visits to a portal that does as each test says: where a job is held, and what was booked in the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from domain.ids import new_id
from domain.jobs import Artifact, ArtifactKind, Job
from domain.portals import BrowserCrashed, Person, Portal, Visit
from tests.domain.scripted_visit import Ledger, Outcome, ScriptedVisit


class Torn(Exception):
    """What a driver raises in the middle of a step when its browser is gone; who opened the visit knows that."""


class ScriptedVisits:
    """``domain.portals.Visits``. Each account is a person; what they have booked outlives visits, as at a portal."""

    def __init__(self) -> None:
        self.ledgers: defaultdict[UUID, Ledger] = defaultdict(Ledger)
        self.scripts: defaultdict[UUID, dict[str, Sequence[Outcome]]] = defaultdict(dict)
        """What is to happen in a job's next visit."""
        self.people: dict[UUID, Person] = {}
        """Who signs in for an account, where that is not somebody of its own."""
        self.then: dict[UUID, Person] = {}
        """Who signs in in a job's second visit, and later."""
        self.asked: list[float] = []
        """When requests were sent to the portal, by ``monotonic``."""
        self.opened: defaultdict[UUID, int] = defaultdict(int)
        self.open = 0
        self.stuck: set[UUID] = set()
        """Jobs whose browsers never close."""
        self.held: dict[UUID, asyncio.Event] = {}
        """Set when a job has come to where it is held."""

    def hold(self, job: Job, step: str, *before: Outcome) -> asyncio.Event:
        """Let a job's next visit never come back from a step, after as many outcomes of it."""
        event = self.held[job.id] = asyncio.Event()

        async def never() -> None:
            event.set()
            await asyncio.Event().wait()

        self.scripts[job.id] = {step: [*before, never]}
        return event

    @asynccontextmanager
    async def __call__(self, job: Job, portal: Portal) -> AsyncIterator[Visit]:
        script = self.scripts.pop(job.id, {})
        visit = ScriptedVisit(self.ledgers[job.account_id], **script)
        visit.person = self.people.get(job.account_id, Person("Ada Lindström", str(job.account_id)))
        if self.opened[job.id] and job.id in self.then:
            visit.person = self.then[job.id]
        visit.asked = self.asked
        self.opened[job.id] += 1
        self.open += 1
        try:
            await visit.start()
            yield visit
        except Torn:
            raise BrowserCrashed("gone") from None
        finally:
            self.open -= 1
            if job.id in self.stuck:
                await asyncio.Event().wait()

    async def witness(self, job_id: UUID) -> Sequence[Artifact]:
        return [Artifact(new_id(), job_id, ArtifactKind.SCREENSHOT, datetime.now(UTC))]
