"""A visit has a browser, and whatever happens to that browser, it is left within a second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Literal

import psutil
import pytest
from playwright.async_api import Error as PlaywrightError

from automation.browsers import pool as pools
from automation.browsers.program import describe, find_browser
from bench.browser_processes import is_driver
from domain.portals import BrowserCrashed, PortalChanged, PortalDown
from tests.automation.visiting import Site, browsing, program, site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
ELF = b"\x7fELF and so on"


@pytest.fixture
async def portal() -> AsyncIterator[Site]:
    async with site() as served:
        yield served


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every moment, and take silence for death sooner."""
    monkeypatch.setattr(pools, "LOOKING", 0.05)
    monkeypatch.setattr(pools, "SILENCE", 0.5)


def ours(folder: Path) -> list[psutil.Process]:
    """Drivers and browsers that run for a folder, with all that they have started."""
    found: dict[int, psutil.Process] = {}
    for one in psutil.process_iter():
        try:
            if str(folder) in one.environ().get("TMPDIR", "") and one.status() != psutil.STATUS_ZOMBIE:
                found |= {child.pid: child for child in [one, *one.children(recursive=True)]}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return list(found.values())


def driver(folder: Path) -> psutil.Process:
    return next(one for one in ours(folder) if is_driver(one))


def browsers(folder: Path) -> list[psutil.Process]:
    return [one for one in ours(folder) if one.pid == os.getsid(one.pid)]


@pytest.fixture
def worker_folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    assert ours(tmp_path) == []
    assert [path.name for path in (tmp_path / "run").iterdir()] in ([], ["lock"])


class TestFindingTheProgram:
    @pytest.mark.feature("S1.35")
    def test_the_chosen_one_comes_first_and_is_not_made_up_for(self, tmp_path: Path) -> None:
        mine = executable(tmp_path / "mine", ELF)
        assert find_browser(mine) == mine
        assert find_browser(tmp_path / "none") is None

    def test_playwrights_own_comes_before_the_machines_the_newest_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
        executable(tmp_path / "chromium-1300/chrome-linux64/chrome", ELF)
        executable(tmp_path / "chromium_headless_shell-999/chrome-linux/headless_shell", ELF)
        newest = executable(
            tmp_path / "chromium_headless_shell-1255/chrome-headless-shell-linux64/chrome-headless-shell", ELF
        )
        assert find_browser() == newest

    def test_a_script_around_a_browser_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script = executable(tmp_path / "chromium-1/chrome-linux/chrome", b"#!/bin/sh\nexec chromium")
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
        assert find_browser() != script

    def test_it_is_described_by_name_and_version(self) -> None:
        assert describe(program()).split()[0] in ("Chromium", "Chrome")
        assert describe(program()).split()[1].isdecimal()


def executable(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


async def test_each_visit_has_a_browser_of_its_own_and_one_waits_for_the_next(
    portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin, at_once=3) as here:
        async with here.visit() as one, here.visit() as other:
            await one.arrive()
            await other.arrive()
            await one.page.evaluate("document.cookie = 'a=1'")
            assert await other.page.evaluate("document.cookie") == ""
            await until(lambda: len(browsers(worker_folder)) == 3)
        await until(lambda: len(browsers(worker_folder)) == 1)


async def test_no_browser_waits_where_there_is_no_room_for_its_visit(
    portal: Site, worker_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CALM", 0.05)
    async with browsing(worker_folder, portal.origin, at_once=2) as here:
        supply = here.visits.pool.supply
        assert isinstance(supply, pools.Each)
        async with here.visit(), here.visit():
            await until(lambda: supply._later is None)
            assert supply._spare is None
            assert len(browsers(worker_folder)) == 2
        await until(lambda: len(browsers(worker_folder)) == 1)


async def test_a_page_that_waits_for_its_visit_reaches_nothing(portal: Site, worker_folder: Path) -> None:
    async with browsing(worker_folder, portal.origin) as here, here.visits.pool.browser() as chromium:
        tab = await chromium.tab(pools.HERE)
        assert tab.page.url == "about:blank"
        with pytest.raises(PlaywrightError, match="ERR_"):
            await tab.page.goto(portal.origin)
        assert portal.asked == []
        await tab.leave()


async def test_a_browser_that_nobody_waits_for_any_more_is_the_next_ones(
    portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin) as here:
        supply = here.visits.pool.supply
        assert isinstance(supply, pools.Each)
        async with here.visit():

            async def visit() -> None:
                async with here.visit():
                    pytest.fail("It was called off.")

            called_off = asyncio.create_task(visit())
            await until(lambda: supply._room == 0)
            called_off.cancel()
            await asyncio.wait([called_off])
        await until(lambda: supply._later is None)
        assert supply._spare is not None
        await supply._spare
        assert len(browsers(worker_folder)) == 1


@pytest.mark.feature("S1.35")
async def test_no_more_visits_than_there_is_room_for(portal: Site, worker_folder: Path) -> None:
    async with browsing(worker_folder, portal.origin, at_once=1) as here:
        async with here.visit():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3), here.visit():
                    pytest.fail("There was no room.")
        async with asyncio.timeout(10), here.visit() as visit:
            await visit.arrive()


@pytest.mark.feature("S1.35")
async def test_contexts_of_a_shared_browser_know_nothing_of_each_other(
    portal: Site, worker_folder: Path
) -> None:
    async with (
        browsing(worker_folder, portal.origin, sharing="worker") as here,
        here.visit() as one,
        here.visit() as other,
    ):
        await one.arrive()
        await other.arrive()
        await one.page.evaluate("document.cookie = 'a=1'")
        assert await other.page.evaluate("document.cookie") == ""
        assert len(browsers(worker_folder)) == 1


async def test_a_page_is_where_its_portal_is_and_may_nothing_beyond_showing_itself(
    portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin) as here, here.visit() as visit:
        await visit.arrive()
        page = visit.page
        assert await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone") == "Asia/Tokyo"
        for name in ("geolocation", "camera", "notifications", "clipboard-read"):
            asked = "async (name) => (await navigator.permissions.query({name})).state"
            assert await page.evaluate(asked, name) != "granted"
        worker = "navigator.serviceWorker.register('/worker.js').then(() => 'worked', () => 'refused')"
        await asyncio.wait({asyncio.ensure_future(page.evaluate(worker))}, timeout=0.5)
        assert "/worker.js" not in portal.asked


STUBBORN = {
    "busy": "setTimeout(() => { while (true); }, 0)",
    "asks before it goes": "addEventListener('beforeunload', (event) => { event.preventDefault(); alert('stay') })",
    "reloads itself": "setInterval(() => location.reload(), 5)",
}


@pytest.mark.feature("S0.18")
@pytest.mark.parametrize("sharing", ["job", "worker"])
async def test_leaving_takes_less_than_a_second_whatever_the_page_does(
    sharing: Literal["job", "worker"], portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin, sharing=sharing) as here:
        for how in STUBBORN.values():
            async with here.visit() as visit:
                await visit.arrive()
                await visit.page.evaluate(how)
                began = monotonic()
            assert monotonic() - began < 1


@pytest.mark.feature("S0.18")
@pytest.mark.parametrize("stopped", ["browser", "driver"])
async def test_leaving_takes_less_than_a_second_though_nobody_answers(
    stopped: str, portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin, at_once=1) as here:
        async with here.visit() as visit:
            await visit.arrive()
            mine = [psutil.Process(pid) for pid in here.roots()]
            for one in [driver(worker_folder)] if stopped == "driver" else mine:
                one.suspend()
            began = monotonic()
        assert monotonic() - began < 1
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in mine)


@pytest.mark.feature("S0.18")
@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize(
    ("how", "what", "sharing"),
    [
        (signal.SIGKILL, "browser", "job"),
        (signal.SIGKILL, "driver", "job"),
        (signal.SIGSTOP, "browser", "job"),
        (signal.SIGSTOP, "driver", "job"),
        (signal.SIGKILL, "browser", "worker"),
        (signal.SIGSTOP, "driver", "worker"),
    ],
)
async def test_a_visit_is_told_that_its_browser_is_gone_and_the_next_has_another(
    how: signal.Signals, what: str, sharing: Literal["job", "worker"], portal: Site, worker_folder: Path
) -> None:
    async with browsing(worker_folder, portal.origin, sharing=sharing) as here:
        async with here.visit() as visit:
            await visit.arrive()
            for one in [driver(worker_folder)] if what == "driver" else browsers(worker_folder):
                one.send_signal(how)
            await crashes(visit.arrive)
        async with asyncio.timeout(15), here.visit() as visit:
            await visit.arrive()


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.feature("S1.35", "S1.40")
async def test_a_browser_that_takes_too_much_memory_is_ended(portal: Site, worker_folder: Path) -> None:
    async with browsing(worker_folder, portal.origin, memory=350 << 20) as here, here.visit() as visit:
        await visit.arrive()
        await crashes(visit.hoard)


async def test_a_page_that_crashes_is_a_browser_that_crashed(portal: Site, worker_folder: Path) -> None:
    async with browsing(worker_folder, portal.origin) as here, here.visit() as visit:
        await visit.arrive()
        cdp = await visit.page.context.new_cdp_session(visit.page)
        with contextlib.suppress(PlaywrightError, TimeoutError):
            await asyncio.wait_for(cdp.send("Page.crash"), 1)
        await crashes(visit.arrive)


async def test_what_playwright_says_of_a_page_is_not_repeated(portal: Site, worker_folder: Path) -> None:
    async with browsing(worker_folder, portal.origin) as here:
        async with here.visit() as visit:
            await visit.arrive()
            with pytest.raises(PortalChanged, match="the step search") as changed:
                await visit.search({"button": "Anna Andersson"})
            assert "Anna" not in str(changed.value)
            assert changed.value.__cause__ is None
        async with here.visit(None, "http://127.0.0.1:1") as visit:
            with pytest.raises(PortalDown):
                await visit.arrive()


async def crashes(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step until the browser is gone."""
    async with asyncio.timeout(15):
        with pytest.raises(BrowserCrashed):
            await for_ever(step)


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await step()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110  # other processes tell nobody
            await asyncio.sleep(0.02)
