"""Holdfast as an operator runs it: processes of the real command, and several of them on one database."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

CONSOLE_SCRIPT = (str(Path(sys.executable).with_name("holdfast")),)
_LISTENS = re.compile(r"^Holdfast listens on (http://\S+)$", re.MULTILINE)
_PASSWORD = re.compile(r"^  (\w+)@demo\.example +(\S+)$", re.MULTILINE)
_numbers = itertools.count(1)
_opener = build_opener(ProxyHandler({}))


class Holdfast:
    """One command, in a process group and a session of its own, as a terminal gives it.

    ``folder`` is where it works and where what it says is kept; ``settings`` are HOLDFAST_* in lower case. Its
    methods block, but for a moment only: ``ready`` and ``ended`` are for a thread.
    """

    def __init__(
        self, command: str, folder: Path, *, program: Sequence[str] = CONSOLE_SCRIPT, **settings: object
    ) -> None:
        # All callers of a test have one address; the tests of the rates set their own.
        rates = {"requests_per_minute": 0, "requests_per_minute_per_address": 0}
        # A browser in reserve and a demo portal are for the tests that ask for them.
        self.settings = {"port": 0, "data_dir": folder / "data", "automation": False, **rates, **settings}
        self.log = folder / f"{command.split()[0]}-{next(_numbers)}.log"
        environment = {f"HOLDFAST_{name.upper()}": str(value) for name, value in self.settings.items()}
        self.started_at = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*program, *command.split()],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        """Everything it has told the terminal, log lines among it."""
        return self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        """Where it listens: ``http://host:port``."""
        found = _LISTENS.search(self.said)
        assert found is not None, self.said
        return found[1]

    @property
    def url(self) -> str:
        """Where its GraphQL is."""
        return f"{self.address}/graphql"

    @property
    def passwords(self) -> dict[str, str]:
        """The demo's passwords as they were printed: customer, provider, staff, admin."""
        return dict(_PASSWORD.findall(self.said))

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether something has frozen it."""
        return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    def ready(self, seconds: float = 20) -> Self:
        """Wait until it serves, or works."""
        until(lambda: "Ctrl-C stops" in self.said or not self.running, seconds, self._what_it_said)
        assert self.running, self.said
        if _LISTENS.search(self.said):
            until(lambda: self.get("/health/ready")[0] == 200, seconds, self._what_it_said)
        return self

    def ended(self, seconds: float = 10) -> int:
        """Wait for its end and give its exit code."""
        return self._process.wait(seconds)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one answer; status 0 where nobody answers."""
        try:
            with _opener.open(self.address + path, timeout=2) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to the whole foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would: nothing is tidied up."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it, frozen or not; by force if it does not stop by itself."""
        if self.running:
            self.thaw()
            self.interrupt()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _what_it_said(self) -> str:
        return f"it said:\n{self.said}"


def missing(what: str) -> NoReturn:
    """A program that a test needs is not here: fail in CI, which brings it, and skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def until(happened: Callable[[], bool], seconds: float = 10, otherwise: Callable[[], str] = str) -> None:
    """Look every 20 ms until something happened. Raises AssertionError after ``seconds``. It blocks."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s; {otherwise()}")
        time.sleep(0.02)


async def eventually(happened: Callable[[], Any], seconds: float = 10) -> None:
    """The same without blocking; ``happened`` may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            found = happened()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
