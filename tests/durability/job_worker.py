"""A worker with a scripted portal, as a process that can be killed.

Run as a program, with the worker's settings in the environment: the folder in which the portal keeps its books, a file
an account, and the seconds of a lease. A job's config says at which step its first visit never comes back (``hold``),
and its second (``then``); a visit that is held says so with a file. ``"guarded": false`` makes a job click
without a fence, and in blissful ignorance of what its person has booked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from automation.job_run import JobRun
from automation.jobs import Runner
from automation.worker import Worker
from domain.events import Stream
from domain.expiry import Expiry
from domain.housekeeping import Housekeeping
from domain.jobs import Artifact, Job, Slot
from domain.portal_booking import PortalBooker
from domain.portals import Person, Portal, PortalBooking, Visit, Visits
from domain.runs import Patience
from holdfast.logs import configure_logging
from holdfast.settings import load_settings
from holdfast.terminal import say
from holdfast.wiring import wire
from tests.domain.scripted_visit import UPPSALA, Ledger, ScriptedPortal, ScriptedVisit

STEPS = (
    "start",
    "arrive",
    "open_login",
    "begin_identity_check",
    "code",
    "signed_in",
    "my_bookings",
    "configure",
    "choose_places",
    "search",
    "choose",
)
"""Where a visit can be held before the fence."""
BEHIND = ("before the click", "after the click", "at the list")
"""And behind it."""

raise_fence, must_have_none = JobRun.raise_fence, PortalBooker.must_have_none


class Books(Ledger):
    """A ledger in a file, written as a portal's: what is booked stays, whoever asked for it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        super().__init__([PortalBooking(line, UPPSALA) for line in lines])

    def book(self, slot: Slot) -> str:
        assert slot == UPPSALA
        number = super().book(slot)
        with self._path.open("a") as books:
            books.write(f"{number}\n")
            books.flush()
            os.fsync(books.fileno())
        return number


class ScriptedBrowsers:
    """``domain.portals.Visits`` over books in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def __call__(self, job: Job, portal: Portal) -> AsyncIterator[Visit]:
        books = Books(self._folder / str(job.account_id))
        visit = ScriptedVisit(books, **self._script(job, books))
        visit.person = Person("Ada Lindström", str(job.account_id))
        await visit.start()
        yield visit

    async def witness(self, job_id: UUID) -> Sequence[Artifact]:
        return ()

    def _script(self, job: Job, books: Books) -> dict[str, list[Any]]:
        """What this attempt's visit does."""

        async def never() -> None:
            (self._folder / f"{job.id} {job.attempt}").touch()
            await asyncio.Event().wait()

        async def click_and_never_answer() -> None:
            books.book(UPPSALA)
            await never()

        where = job.config.get({1: "hold", 2: "then"}.get(job.attempt, ""))
        match where:
            case None:
                return {}
            case "before the click":
                return {"confirm": [never]}
            case "after the click":
                return {"confirm": [click_and_never_answer]}
            case "at the list":
                return {"my_bookings": [None, never]}
        return {str(where): [never]}


async def _raise_fence(self: JobRun, slot: Slot, message: str) -> None:
    if self.claim.job.config.get("guarded", True):
        await raise_fence(self, slot, message)


async def _must_have_none(self: PortalBooker) -> None:
    if self._walk.config.get("guarded", True):
        await must_have_none(self)


async def work(folder: Path, lease: timedelta) -> None:
    settings = load_settings()
    configure_logging(settings)
    assert settings.database_url is not None

    @asynccontextmanager
    async def visits() -> AsyncIterator[Visits]:
        yield ScriptedBrowsers(folder)

    async with wire(settings, settings.database_url) as app:
        automation = replace(app.services.automation, portals={"demo": ScriptedPortal()})
        await automation.register()
        patience = Patience(readings=(0.0, 0.1, 0.1))
        live = app.services.live
        runner = Runner(automation, live, visits, b"a key", 32, 1.0, lease, patience)
        app.feed.tap(Stream.AUTOMATION, runner.heard)
        begin = app.database.begin
        worker = Worker(begin, Expiry(begin), Housekeeping(begin), automation, runner=runner)
        say("Working. Ctrl-C stops.")
        await worker.run()


if __name__ == "__main__":
    JobRun.raise_fence = _raise_fence  # type: ignore[method-assign]
    PortalBooker.must_have_none = _must_have_none  # type: ignore[method-assign]
    asyncio.run(work(Path(sys.argv[1]), timedelta(seconds=float(sys.argv[2]))))
