"""A page in a context of its own, which reaches nothing until a visit has moved in."""

from __future__ import annotations

import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize
from playwright.async_api import Error as PlaywrightError

from automation.browsers.reach import Reach, open_reach
from domain.portals import BrowserCrashed

SCREEN: ViewportSize = {"width": 1280, "height": 900}
STEP = 15_000
"""Milliseconds that Playwright waits for what an adapter does not bound itself."""


@dataclass(frozen=True, slots=True)
class Tab:
    """The page, the clock of its context, and what it may reach."""

    page: Page
    time_zone: str
    reach: Reach
    _line: AsyncExitStack = field(repr=False)

    async def leave(self) -> None:
        """Let it reach nothing any more. The page itself ends with its context, or with its browser."""
        await self._line.aclose()


async def open_tab(browser: Browser, time_zone: str) -> Tab:
    """Open one. Raises BrowserCrashed."""
    async with AsyncExitStack() as line:
        reach = await line.enter_async_context(open_reach())
        try:
            page = await (await _context(browser, time_zone, reach.proxy)).new_page()
        except PlaywrightError:
            raise BrowserCrashed("The browser gives no page.") from None
        page.on("crash", _close)
        return Tab(page, time_zone, reach, line.pop_all())


async def _context(browser: Browser, time_zone: str, proxy: str) -> BrowserContext:
    context = await browser.new_context(
        proxy={"server": proxy},
        locale="sv-SE",
        timezone_id=time_zone,
        viewport=SCREEN,
        accept_downloads=False,
        service_workers="block",
        permissions=[],
    )
    context.set_default_timeout(STEP)
    return context


async def _close(page: Page) -> None:
    """A page that crashed stays open, and answers nothing: that is no better than none."""
    with contextlib.suppress(PlaywrightError):
        await page.close()
