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

from playwright.async_api import BrowserContext, Page, ViewportSize
from playwright.async_api import Error as PlaywrightError

from automation.browsers.browser import CLOSE, Chromium, in_time
from automation.browsers.engine import Engine
from automation.browsers.pool import Pool, open_pool
from automation.browsers.reach import open_reach
from automation.browsers.reaping import open_folder
from automation.browsers.watched_visit import WatchedVisit
from automation.capture.artifacts import Artifacts
from automation.capture.evidence import evidence
from automation.portals import Opens
from domain.jobs import Artifact, Job
from domain.portals import BrowserCrashed, Portal, Visit

SCREEN: ViewportSize = {"width": 1280, "height": 900}
ANSWER = 1.0
"""Seconds that a browser has to say that it is still there, after something failed."""
STEP = 15_000
"""Milliseconds that Playwright waits for what an adapter does not bound itself."""


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
        inside = self.inside.intersection(portal.origins)
        async with open_reach(portal.origins, inside) as reach:
            context = await _context(chromium, portal, reach.proxy)
            try:
                yield await _page_of(context)
            finally:
                if not chromium.gone and self.pool.shared:
                    with contextlib.suppress(PlaywrightError, TimeoutError):
                        await in_time(context.close(), CLOSE)


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


async def _context(chromium: Chromium, portal: Portal, proxy: str) -> BrowserContext:
    try:
        context = await chromium.browser.new_context(
            proxy={"server": proxy},
            locale="sv-SE",
            timezone_id=portal.time_zone,
            viewport=SCREEN,
            accept_downloads=False,
            service_workers="block",
            permissions=[],
        )
    except PlaywrightError:
        raise BrowserCrashed("The browser gives no page.") from None
    context.set_default_timeout(STEP)
    return context


async def _page_of(context: BrowserContext) -> Page:
    try:
        page = await context.new_page()
    except PlaywrightError:
        raise BrowserCrashed("The browser gives no page.") from None
    page.on("crash", _close)
    return page


async def _close(page: Page) -> None:
    """A page that crashed stays open, and answers nothing: that is no better than none."""
    with contextlib.suppress(PlaywrightError):
        await page.close()


async def _lives(chromium: Chromium, page: Page) -> bool:
    return not page.is_closed() and await chromium.answers(ANSWER)
