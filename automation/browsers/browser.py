"""Chromium under Playwright: one driver, and the browsers it starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog
from playwright.async_api import Browser, CDPSession, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from automation.browsers.processes import Process, began_in, kill, process, processes, related
from automation.browsers.reaping import family, note, reap
from automation.browsers.tab import Tab, open_tab
from domain.portals import BrowserCrashed

ARGUMENTS = (
    # Names are looked up, and addresses judged, by who stands between a page and the network: reach.py
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--proxy-server=socks5://127.0.0.1:9",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--disable-domain-reliability",
    "--no-pings",
    "--disk-cache-size=1",
    "--disable-gpu",
    "--disable-software-rasterizer",  # 3D in software, for which each browser would hold 13 MB ready
)
LAUNCH = 20.0
CLOSE = 0.5
"""Seconds that a browser has to end itself."""
GONE = 0.3

Answer = TypeVar("Answer")
log = structlog.get_logger("holdfast.browser")


@dataclass(slots=True)
class Chromium:
    """A running browser and its processes: ``root`` is the one that leads the others' session."""

    browser: Browser
    cdp: CDPSession
    root: Process | None
    closing: bool = field(default=False, init=False)
    _ready: Tab | None = field(default=None, init=False)

    @property
    def version(self) -> str:
        """Such as "156.0.8078.79"."""
        return self.browser.version

    @property
    def gone(self) -> bool:
        """Whether it has ended, or is about to."""
        return self.closing or not self.browser.is_connected()

    def tree(self) -> list[Process]:
        """Its processes."""
        return related([self.root.pid], list(processes())) if self.root else []

    async def make_ready(self, time_zone: str) -> None:
        """Open a page for the next visit, which takes ten times as long as moving in. Raises BrowserCrashed."""
        tab = await open_tab(self.browser, time_zone)
        if self.closing:
            await tab.leave()
        else:
            self._ready = tab

    async def tab(self, time_zone: str) -> Tab:
        """A page for a visit: the one that is ready, or a new one. Raises BrowserCrashed."""
        ready, self._ready = self._ready, None
        if ready is not None:
            if ready.time_zone == time_zone and not ready.page.is_closed():
                return ready
            await ready.leave()
        return await open_tab(self.browser, time_zone)

    async def answers(self, within: float) -> bool:
        """Whether it, and the driver before it, answers within so many seconds."""
        try:
            await in_time(self.cdp.send("Browser.getVersion"), within)
        except (PlaywrightError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """End it, by force where it does not end itself: within a second."""
        self.closing = True
        tree = self.tree()
        if self._ready is not None:
            await self._ready.leave()
        with contextlib.suppress(PlaywrightError, TimeoutError):
            await in_time(self.browser.close(), CLOSE)
        await _gone(tree, GONE)

    def kill(self) -> None:
        """End it now; whoever uses it is told by Playwright."""
        for one in self.tree():
            kill(one)


@dataclass(slots=True)
class Driver:
    """Playwright's driver, a process of its own; ``folder`` is where it and its browsers keep what they write."""

    playwright: Playwright
    program: Path
    folder: Path
    root: Process | None
    _killed: bool = field(default=False, init=False)

    async def launch(self) -> Chromium:
        """Start a browser. Raises BrowserCrashed."""
        try:
            return await in_time(self._launched(), LAUNCH)
        except (PlaywrightError, TimeoutError) as error:
            log.warning("browser.not_started", error=type(error).__name__)
            raise BrowserCrashed("The browser does not start.") from None

    async def answers(self, within: float) -> bool:
        """Whether the driver itself answers within so many seconds."""
        try:
            asked = await in_time(self.playwright.request.new_context(), within)
            await in_time(asked.dispose(), within)
        except (PlaywrightError, TimeoutError):
            return False
        return True

    @property
    def dead(self) -> bool:
        """Whether its process has ended, as far as that can be seen."""
        return self._killed or (self.root is not None and not _lives(self.root))

    async def stop(self) -> None:
        """End it, and all browsers it started, within a second, and remove what they left in its folder."""
        with contextlib.suppress(PlaywrightError, TimeoutError):
            await in_time(self.playwright.stop(), CLOSE)
        await asyncio.to_thread(reap, self.folder)

    def kill(self) -> None:
        """End it now, and its browsers."""
        self._killed = True
        for one in family(self.folder):
            kill(one)

    async def _launched(self) -> Chromium:
        browser = await self.playwright.chromium.launch(
            executable_path=self.program,
            args=ARGUMENTS,
            chromium_sandbox=os.geteuid() != 0,  # Chromium's sandbox refuses to run as root
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
            timeout=LAUNCH * 900,  # a little less, so that Playwright ends what it started
        )
        cdp = await browser.new_browser_cdp_session()
        told = await cdp.send("SystemInfo.getProcessInfo")
        root = process(next(one["id"] for one in told["processInfo"] if one["type"] == "browser"))
        if root is not None:
            note(self.folder, root)
        return Chromium(browser, cdp, root)


async def start_driver(program: Path, folder: Path) -> Driver:
    """Start a driver. It and its browsers are told by ``folder``, where they keep temporary files.

    Raises BrowserCrashed.
    """
    folder.mkdir(mode=0o700)  # noqa: ASYNC240  # a local folder, once a driver
    try:
        with _temporary_files_in(folder):
            playwright = await in_time(async_playwright().start(), LAUNCH)
    except (PlaywrightError, TimeoutError, OSError) as error:
        log.warning("driver.not_started", error=type(error).__name__)
        await asyncio.to_thread(reap, folder)
        raise BrowserCrashed("The browser's driver does not start.") from None
    return Driver(playwright, program, folder, _driver_in(folder))


async def in_time(call: Awaitable[Answer], seconds: float) -> Answer:
    """What Playwright answers. Raises TimeoutError if it does not in time, and what Playwright raises.

    The call itself is not cancelled: Playwright would tell the event loop of an error that nobody asks for.
    """
    asked = asyncio.ensure_future(call)
    asked.add_done_callback(lambda done: done.cancelled() or done.exception())
    done, _ = await asyncio.wait({asked}, timeout=seconds)
    if not done:
        raise TimeoutError
    return asked.result()


def _driver_in(folder: Path) -> Process | None:
    ours = os.getpid()
    found = (one for one in processes() if one.parent == ours and began_in(one.pid, folder))
    return max(found, key=lambda one: one.started, default=None)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Playwright gives its driver our environment, and nothing else."""
    tempfile.gettempdir()  # remembers its answer: ours stays what it was
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


async def _gone(tree: list[Process], within: float) -> None:
    """Kill what is left of these processes, and wait until they are gone, for so many seconds."""
    for one in tree:
        kill(one)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while any(map(_lives, tree)):  # noqa: ASYNC110  # the kernel tells only parents
                await asyncio.sleep(0.01)
    _bury(tree)


def _lives(one: Process) -> bool:
    now = process(one.pid)
    return now is not None and now.started == one.started and not now.dead


def _bury(tree: list[Process]) -> None:
    """Take notice of the dead among them that came to us when their own parent had ended."""
    for one in tree:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(one.pid, os.WNOHANG)
