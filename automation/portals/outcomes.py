"""Steps on a portal's pages: each races its possible outcomes, and what Playwright tells becomes what a visit raises.

Nothing waits for a fixed time. A page has ``ANSWER`` to come, and then ``KNOWN`` to show something that is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, TypeVar

from playwright.async_api import Error, Locator, Page, Response
from playwright.async_api import TimeoutError as TooLate

from domain.portals import BrowserCrashed, PortalChanged, PortalDown, VisitFailed

Read = TypeVar("Read")

ANSWER: Final = 30.0
KNOWN: Final = 5.0
"""Seconds."""

UNSCANNED: Final = 24 * 3600.0
"""Seconds that somebody may take to sign in, as far as an adapter goes: the journey has its own patience."""

TRIES: Final = 5
"""How often something is begun anew that a page which loads itself anew has undone."""


class Moved(Exception):
    """The page became another one while something was done with it."""


@dataclass
class Steps:
    """Steps on one page. ``standing`` are what any step may come upon, and what is raised then."""

    page: Page
    standing: Mapping[Locator, VisitFailed]
    _crashed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(KNOWN * 1000)
        self.page.on("crash", self._crash)

    async def open(self, url: str) -> None:
        """Go to an address. Raises PortalDown, BrowserCrashed."""

        async def go() -> Response | None:
            return await self.page.goto(url, wait_until="domcontentloaded", timeout=ANSWER * 1000)

        _must_be_up(await self._steady(go))

    async def follow(self, link: Locator) -> None:
        """Press what leads to another page, and wait for that. Raises PortalDown, PortalChanged, BrowserCrashed."""
        loading = self.page.expect_navigation(wait_until="domcontentloaded", timeout=ANSWER * 1000)
        with suppress(Moved), self.in_our_words():
            async with loading as navigation:
                await self.do(link.click(no_wait_after=True), "going on")
            _must_be_up(await navigation.value)

    async def do(self, act: Awaitable[object], what: str) -> None:
        """Do something on this page. Raises PortalChanged, saying that ``what`` is not possible, and BrowserCrashed."""
        with self.in_our_words(late=PortalChanged(f"{what} is not possible")):
            await act

    async def first(self, within: float | None = None, **wanted: Locator) -> str:
        """Wait until one of several is visible, and say which.

        Raises:
            VisitFailed: one of ``standing`` is visible; PortalChanged: nothing of all this is within so many seconds
                (by default ``KNOWN``); BrowserCrashed.

        """
        every = reduce(Locator.or_, [*self.standing, *wanted.values()]).filter(visible=True).first
        while True:
            with (
                suppress(Moved),
                self.in_our_words(late=PortalChanged(f"none of these: {', '.join(wanted)}")),
            ):
                await every.wait_for(timeout=(within or KNOWN) * 1000)
            shown = await asyncio.gather(*map(self.visible, [*self.standing, *wanted.values()]))
            for failure, seen in zip(self.standing.values(), shown, strict=False):
                if seen:
                    raise failure
            for name, seen in zip(wanted, shown[len(self.standing) :], strict=True):
                if seen:
                    return name

    async def visible(self, locator: Locator) -> bool:
        """Whether it is on the page now."""
        return await self._steady(locator.filter(visible=True).count) > 0

    async def texts(self, locator: Locator) -> list[str]:
        """The text of each that matches."""
        return await self._steady(locator.all_inner_texts)

    async def value(self, locator: Locator) -> str:
        """What a field holds. Raises PortalChanged: there is none."""
        return await self._steady(locator.input_value, PortalChanged("a field is missing"))

    async def _steady(self, act: Callable[[], Awaitable[Read]], late: VisitFailed | None = None) -> Read:
        """Do what can be done again where the page becomes another one meanwhile."""
        for _ in range(TRIES):
            with suppress(Moved), self.in_our_words(late):
                return await act()
        raise PortalDown("its page is loaded again and again")

    @contextmanager
    def in_our_words(self, late: VisitFailed | None = None) -> Iterator[None]:
        """Playwright's errors in a visit's words; ``late`` is what to raise for what did not come in time."""
        try:
            yield
        except TooLate:
            raise late or PortalDown("it does not answer") from None
        except Error as error:
            if self._crashed or self.page.is_closed() or "crashed" in error.message:
                raise BrowserCrashed("the page is gone") from None
            if "net::ERR_ABORTED" in error.message or "interrupted by another navigation" in error.message:
                raise Moved from None
            if "net::" in error.message:
                raise PortalDown("it cannot be reached") from None
            if "context was destroyed" in error.message or "frame was detached" in error.message:
                raise Moved from None
            raise

    def _crash(self, _: Page) -> None:
        self._crashed = True


def _must_be_up(response: Response | None) -> None:
    """The answer that a page came with."""
    if response is not None and response.status >= 500:
        raise PortalDown(f"it answers {response.status}")
