"""A browser for tests, a small site for it to visit, and an adapter that leaves all to the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from aiohttp import web
from playwright.async_api import Page

from automation.browsers.program import find_browser
from automation.browsers.visits import BrowserVisits, open_visits
from automation.capture.artifacts import Artifacts
from domain.jobs import AutomationStatus, Job
from domain.portals import Portal
from tests.processes import missing


@dataclass
class Site:
    """Pages by path, and what was asked for."""

    pages: Mapping[str, str]
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if request.path.startswith("/to/"):
            raise web.HTTPFound(request.query["url"])
        page = self.pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound
        return web.Response(text=page, content_type="text/html")


@asynccontextmanager
async def site(pages: Mapping[str, str] | None = None) -> AsyncIterator[Site]:
    """Serve pages on a free port."""
    served = Site(pages or {"/": "<title>Portal</title><h1>Portal</h1>"})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    served.port = runner.addresses[0][1]
    try:
        yield served
    finally:
        await runner.cleanup()


class PageVisit:
    """A visit whose page the test walks itself."""

    def __init__(self, page: Page, portal: Portal) -> None:
        self.page = page
        self.portal = portal

    async def arrive(self) -> None:
        await self.page.goto(self.portal.origins[0])

    async def hoard(self) -> None:
        """Take another 32 MiB."""
        await self.page.evaluate("() => { (window.hoard ??= []).push(new Uint8Array(32 << 20).fill(7)) }")

    async def search(self, config: Mapping[str, object]) -> Sequence[Any]:
        await self.page.get_by_role("button", name=str(config["button"])).click(timeout=200)
        return ()


class Terms:
    """The terms of a portal at these origins."""

    key = "test"
    time_zone = "Asia/Tokyo"

    def __init__(self, *origins: str) -> None:
        self.origins = origins


def program() -> Path:
    found = find_browser()
    return missing("No Chromium on this machine.") if found is None else found


def a_job() -> Job:
    now = datetime.now(UTC)
    return Job(uuid4(), uuid4(), uuid4(), "test", {}, AutomationStatus.STARTING, "", 0, 1, now, now)


class Browsing:
    """Visits to one site: ``async with browsing.visit() as visit``, whose ``page`` is the browser's."""

    def __init__(self, visits: BrowserVisits, origins: Sequence[str]) -> None:
        self.visits = visits
        self.origins = origins

    def roots(self) -> list[int]:
        """The browsers that visits have now, by the ids of their first processes."""
        return [one.root.pid for one in self.visits.pool._used if one.root]

    @asynccontextmanager
    async def visit(self, job: Job | None = None, *origins: str) -> AsyncIterator[Any]:
        portal: Any = Terms(*(origins or self.origins))
        async with self.visits(job or a_job(), portal) as opened:
            yield opened


@asynccontextmanager
async def browsing(
    folder: Path,
    *origins: str,
    sharing: Literal["job", "worker"] = "job",
    at_once: int = 2,
    memory: int = 2**30,
    artifacts: Artifacts | None = None,
) -> AsyncIterator[Browsing]:
    """Visits to sites of this machine."""

    def visit_of(key: str) -> Any:
        return PageVisit

    async with open_visits(
        program(),
        folder,
        visit_of,
        sharing=sharing,
        at_once=at_once,
        memory=memory,
        inside=frozenset(origins),
        artifacts=artifacts,
    ) as visits:
        yield Browsing(visits, origins)
