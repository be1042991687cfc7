"""A driver that is always there: replaced when it has died, or has fallen silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from automation.browsers.browser import Chromium, Driver, start_driver
from automation.browsers.reaping import bury
from domain.portals import BrowserCrashed

ANSWER = 2.0
"""Seconds that a driver has to say that it was not its fault."""

log = structlog.get_logger("holdfast.engine")


@dataclass(slots=True)
class Engine:
    """Starts browsers. What they write while they run is in ``folder``."""

    program: Path
    folder: Path
    _driver: Driver | None = field(default=None, init=False)
    _number: int = field(default=0, init=False)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def launch(self) -> Chromium:
        """Start a browser; a driver that does not start one is replaced, once. Raises BrowserCrashed."""
        driver = await self._living()
        try:
            return await driver.launch()
        except BrowserCrashed:
            if await driver.answers(ANSWER):
                raise
        driver.kill()
        return await (await self._living()).launch()

    async def look(self, silence: float) -> None:
        """End a driver that says nothing for so many seconds: its browsers cannot be spoken to."""
        driver = self._driver
        await asyncio.to_thread(bury, self.folder)
        if driver is None or driver.dead or await driver.answers(silence):
            return
        log.warning("driver.silent")
        driver.kill()

    async def stop(self) -> None:
        """End everything, within a second."""
        if self._driver is not None:
            await self._driver.stop()

    async def _living(self) -> Driver:
        async with self._starting:
            if self._driver is not None and self._driver.dead:
                log.warning("driver.died")
                await self._driver.stop()
                self._driver = None
            if self._driver is None:
                self._number += 1
                self._driver = await start_driver(self.program, self.folder / str(self._number))
            return self._driver
