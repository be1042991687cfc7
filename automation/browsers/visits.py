"""Visits to portals: each in a browser of its own, or in a context of one that a worker's jobs share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, cast
from uuid import UUID

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from automation.browsers.browser import CLOSE, Chromium, in_time
from automation.browsers.engine import Engine
from automation.browsers.pool import Pool, open_pool
from automation.browsers.reaping import open_folder
from automation.browsers.watched_visit import WatchedVisit
from automation.capture.artifacts import Artifacts
from automation.capture.evidence import evidence
from automation.portals import Opens
from domain.jobs import Artifact, Job
from domain.portals import Portal, Visit

ANSWER = 1.0
"""Seconds that a browser has to say that it is still there, after something failed."""


@dataclass(frozen=True, slots=True)
class BrowserVisits:
    """``domain.portals.Visits`` in Chromium."""

    pool: Pool
    visit_of: Callable[[str], Opens]
    inside: frozenset[str]
    artifacts: Artifacts | None
    folder: Path
    _open: dict[UUID, tuple[Page, WatchedVisit]] = field(default_factory=dict, init=False)

    @asynccontextmanager
    async def __call__(self, job: Job, portal: Portal) -> AsyncIterator[Visit]:
        """A visit for a job; leaving closes its context, and its browser, within a second."""
        async with self.pool.browser() as chromium, self._page(chromium, portal) as page:
            visit = self.visit_of(portal.key)(page, portal)
            watched = WatchedVisit(visit, partial(_lives, chromium, page))
            self._open[job.id] = page, watched
            try:
                yield cast("Visit", watched)
            finally:
                del self._open[job.id]

    async def witness(self, job_id: UUID) -> Sequence[Artifact]:
        """Keep what a job's visit shows, and how it came there."""
        if self.artifacts is None or job_id not in self._open:
            return ()
        page, watched = self._open[job_id]
        found = await evidence(page, watched.steps, self.folder)
        with contextlib.suppress(OSError):
            return [await asyncio.to_thread(self.artifacts.put, job_id, *each) for each in found]
        return ()

    @asynccontextmanager
    async def _page(self, chromium: Chromium, portal: Portal) -> AsyncIterator[Page]:
        tab = await chromium.tab(portal.time_zone)
        tab.reach.admit(portal.origins, self.inside.intersection(portal.origins))
        try:
            yield tab.page
        finally:
            await tab.leave()
            if not chromium.gone and self.pool.shared:
                with contextlib.suppress(PlaywrightError, TimeoutError):
                    await in_time(tab.page.context.close(), CLOSE)


@asynccontextmanager
async def open_visits(
    program: Path,
    parent: Path,
    visit_of: Callable[[str], Opens],
    *,
    sharing: Literal["job", "worker"] = "job",
    at_once: int = 4,
    memory: int = 2**30,
    inside: frozenset[str] = frozenset(),
    artifacts: Artifacts | None = None,
) -> AsyncIterator[BrowserVisits]:
    """Visits with this browser, at most ``at_once``, each in ``memory`` bytes.

    In ``parent`` each worker gets a folder for temporary files; ``inside`` are the origins that may be on this machine
    or in a private network; ``artifacts`` is where files of failures are kept, None keeps none.
    """
    async with (
        open_folder(parent) as folder,
        open_pool(Engine(program, folder), shared=sharing == "worker", at_once=at_once, most=memory) as pool,
    ):
        yield BrowserVisits(pool, visit_of, inside, artifacts, folder)


async def _lives(chromium: Chromium, page: Page) -> bool:
    return not page.is_closed() and await chromium.answers(ANSWER)
