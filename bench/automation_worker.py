"""A worker that does nothing but keep visits open, to be killed: ``python -m bench.automation_worker FOLDER VISITS``.

It says ``ready`` each time that all of its visits are open.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.async_api import Page

from automation.browsers import pool
from automation.browsers.program import find_browser
from automation.browsers.visits import open_visits
from domain.jobs import AutomationStatus, Job
from domain.portals import BrowserCrashed, Portal


class Sitting:
    """A visit that stays where it is."""

    def __init__(self, page: Page, portal: Portal) -> None:
        self._page = page

    async def arrive(self) -> None:
        await self._page.goto("about:blank")


class Nowhere:
    key = "nowhere"
    time_zone = "UTC"
    origins = ("https://portal.example",)


def visit_of(key: str) -> Any:
    return Sitting


def a_job() -> Job:
    now = datetime.now(UTC)
    return Job(uuid4(), uuid4(), uuid4(), "nowhere", {}, AutomationStatus.STARTING, "", 0, 1, now, now)


async def work(folder: Path, number: int) -> None:
    program = find_browser()
    if program is None:
        sys.exit("no Chromium")
    nowhere: Any = Nowhere()
    async with open_visits(program, folder, visit_of, at_once=number) as visits:
        while True:
            try:
                async with AsyncExitStack() as stack:
                    opened = [
                        await stack.enter_async_context(visits(a_job(), nowhere)) for _ in range(number)
                    ]
                    print("ready", flush=True)
                    while True:
                        for visit in opened:
                            await visit.arrive()
                        await asyncio.sleep(0.1)
            except BrowserCrashed:
                continue


if __name__ == "__main__":
    pool.LOOKING, pool.SILENCE = 0.5, 1.0
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
