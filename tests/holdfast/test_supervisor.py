"""Processes that are kept up, over toy servers that do as a file says."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.listening import listening
from holdfast.settings import Settings
from holdfast.supervisor import Patience, supervise
from holdfast.terminal import CommandFailed
from tests.processes import eventually

TOY = Path(__file__).with_name("toy_server.py")
HASTE = Patience(start=10, silence=3, farewell=5, backoff=(0.01, 0.02), steady=60)


class Stage:
    """Two toy servers under supervision in this process, which gets the signals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = asyncio.Event()

    def plan(self, text: str) -> None:
        """What servers that are started from now on do."""
        (self.folder / "plan").write_text(text)

    def happened(self, what: str) -> list[str]:
        """Numbers of the servers to which it happened."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split()[0] for line in lines if line.endswith(what)]

    async def run(self) -> None:
        def command(number: int, listening: int, line: int) -> list[str]:
            return [
                sys.executable,
                "-S",
                "-E",
                str(TOY),
                str(self.folder),
                str(number),
                str(listening),
                str(line),
            ]

        with listening(Settings(port=0), 2) as sockets:
            await supervise(sockets, command, self.started.set, HASTE, leave=0.2)


@asynccontextmanager
async def supervised(stage: Stage) -> AsyncIterator[None]:
    """Run it, and stop it as an operator does."""
    running = asyncio.create_task(stage.run())
    await eventually(lambda: stage.started.is_set() or running.done())
    try:
        yield
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running


@pytest.fixture(autouse=True)
def _no_signal_ends_the_tests() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.plan("serve")
    return made


async def test_a_server_that_falls_silent_is_replaced(stage: Stage) -> None:
    stage.plan("mute")
    async with supervised(stage):
        stage.plan("serve")
        await eventually(lambda: len(stage.happened("begins")) == 4)
    assert sorted(stage.happened("begins")) == ["1", "1", "2", "2"]


async def test_each_server_goes_when_its_successor_serves(stage: Stage) -> None:
    async with supervised(stage):
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: len(stage.happened("retires")) == 2)
    events = [line.split()[::2] for line in (stage.folder / "log").read_text().splitlines()][2:]
    assert events[:4] == [["1", "begins"], ["1", "retires"], ["2", "begins"], ["2", "retires"]]


async def test_a_restart_that_is_asked_for_while_they_start_comes_when_all_serve(stage: Stage) -> None:
    running = asyncio.create_task(stage.run())
    await asyncio.sleep(0)  # it begins
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stage.started.is_set()
    await eventually(lambda: len(stage.happened("retires")) == 2)
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_a_successor_that_cannot_serve_leaves_everything_as_it_was(stage: Stage) -> None:
    async with supervised(stage):
        stage.plan("fail")
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: stage.happened("fails"))
        stage.plan("serve")
        assert stage.happened("retires") == []
        await eventually(lambda: _hung_up(stage))
    assert stage.happened("fails") == ["1"], "the second was not even tried"
    assert stage.happened("retires")[:2] == ["1", "2"]


async def test_servers_that_end_without_having_heard_a_word_are_no_end_of_the_others(stage: Stage) -> None:
    stage.plan("deaf")
    async with supervised(stage):
        stage.plan("serve")
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: len(stage.happened("begins")) == 4)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: len(stage.happened("retires")) == 2)


def _hung_up(stage: Stage) -> bool:
    """Ask until there are successors: a signal during a restart that is given up is one too early."""
    os.kill(os.getpid(), signal.SIGHUP)
    return len(stage.happened("retires")) >= 2


async def test_before_they_are_stopped_all_are_to_say_that_they_leave(stage: Stage) -> None:
    async with supervised(stage):
        assert stage.happened("is to say that it leaves") == []
    assert sorted(stage.happened("is to say that it leaves")) == ["1", "2"]


async def test_servers_that_cannot_serve_at_the_first_start_end_it(stage: Stage) -> None:
    stage.plan("fail")
    with pytest.raises(CommandFailed, match="ended before it served"):
        await stage.run()
