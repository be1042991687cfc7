"""Nothing is left of a worker that ended, however it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

from automation.browsers.processes import kill, process
from automation.browsers.reaping import open_folder
from bench.automation_kills import FATAL, SURVIVED, Doomed, kill_browsers
from bench.browser_processes import alive
from tests.automation.visiting import program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


@pytest.fixture
async def doomed(tmp_path: Path) -> AsyncIterator[Doomed]:
    program()
    worker = await Doomed.start(tmp_path / "run", 1)
    tree = worker.tree()
    yield worker
    for one in [*tree, *(worker.tree() if alive(tree[0]) else ())]:
        if alive(one):
            one.kill()
    await worker.process.wait()


def folders(worker: Doomed) -> list[Path]:
    return [path for path in worker.folder.iterdir() if path.is_dir()]


async def until(holds: Callable[[], bool]) -> float:
    """How long it took, in seconds."""
    began = monotonic()
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110  # nobody tells of others' processes
            await asyncio.sleep(0.02)
    return monotonic() - began


@pytest.mark.feature("S0.18")
@pytest.mark.parametrize("way", FATAL, ids=lambda way: way.__name__)
async def test_nothing_is_left_five_seconds_after(way: Callable[[Doomed], None], doomed: Doomed) -> None:
    tree = doomed.tree()
    assert len(tree) > 6
    way(doomed)
    await doomed.process.wait()
    assert await until(lambda: not any(map(alive, tree)) and not folders(doomed)) < 5


@pytest.mark.feature("S0.18")
async def test_a_worker_outlives_its_driver_and_its_browsers_and_clears_them_away(doomed: Doomed) -> None:
    for way in SURVIVED:
        driver = doomed.driver()
        browsers = driver.children()
        way(doomed)
        await doomed.ready()
        killed = browsers if way is kill_browsers else [driver, *browsers]
        await until(lambda killed=killed: not any(map(alive, killed)))  # type: ignore[misc]
    [folder] = folders(doomed)
    await until(lambda: len([path for path in folder.iterdir() if path.is_dir()]) == 1)


@pytest.mark.feature("S0.18")
async def test_the_next_worker_sweeps_what_no_keeper_could(doomed: Doomed, tmp_path: Path) -> None:
    tree = doomed.tree()
    doomed.keeper().kill()
    doomed.driver().suspend()
    doomed.process.kill()
    await doomed.process.wait()
    left = [one for one in tree if alive(one)]
    assert left
    async with open_folder(tmp_path / "run") as mine:
        assert not any(map(alive, left))
        assert folders(doomed) == [mine]
    assert folders(doomed) == []


async def test_a_worker_that_lives_is_not_swept(doomed: Doomed, tmp_path: Path) -> None:
    browsers = doomed.browsers()
    async with open_folder(tmp_path / "run"):
        assert len(folders(doomed)) == 2
    assert browsers
    assert all(map(alive, browsers))


async def test_ctrl_c_does_not_reach_the_keeper(doomed: Doomed) -> None:
    keeper = doomed.keeper()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        keeper.send_signal(number)
    assert os.getsid(keeper.pid) == keeper.pid
    doomed.process.kill()
    await doomed.process.wait()
    await until(lambda: not alive(keeper))
    assert folders(doomed) == []


def test_a_process_that_took_over_an_id_is_not_killed() -> None:
    echo = "while True: print(input(), flush=True)"
    other = subprocess.Popen([sys.executable, "-c", echo], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        found = process(other.pid)
        assert found is not None
        kill(type(found)(found.pid, found.parent, found.session, found.started - 1, found.state))
        other.stdin.write(b"still here\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"still here\n"
        kill(found)
        assert other.wait(5) == -signal.SIGKILL
