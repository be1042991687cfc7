"""A visit whose steps are timed, and whose browser may go at any moment."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import time
from typing import Any

from playwright.async_api import Error as PlaywrightError

from automation.capture.trace import Step
from domain.portals import BrowserCrashed, PortalChanged, PortalDown, Visit

MOST_STEPS = 1000
"""Steps that are remembered: a search that goes on for an hour takes some hundreds."""


@dataclass(slots=True)
class WatchedVisit:
    """Stands before an adapter's visit. What Playwright raises through it becomes what a visit may raise."""

    visit: Visit
    lives: Callable[[], Awaitable[bool]]
    """Whether its page, and all it needs, is still there."""
    steps: list[Step] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        step = getattr(self.visit, name)
        if not inspect.iscoroutinefunction(step):
            return step

        async def taken(*args: Any, **options: Any) -> Any:
            return await self._take(name, lambda: step(*args, **options))

        return taken

    async def _take(self, name: str, step: Callable[[], Awaitable[Any]]) -> Any:
        began, failure = time(), None
        try:
            return await step()
        except PlaywrightError as error:
            failed = await self._told(name, error)
            failure = type(failed).__name__
            raise failed from None
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            if name != "picture" and len(self.steps) < MOST_STEPS:
                self.steps.append(Step(name, began, time(), failure))

    async def _told(self, name: str, error: PlaywrightError) -> BrowserCrashed | PortalDown | PortalChanged:
        """In our words: Playwright's may quote the page."""
        if not await self.lives():
            return BrowserCrashed("The browser is gone.")
        if "net::ERR_" in error.message:
            return PortalDown("It does not answer.")
        return PortalChanged(f"a page on which the step {name} cannot be taken")
