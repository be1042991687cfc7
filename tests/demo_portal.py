"""A demo portal for tests: the real command as a process, steered and read through its control API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.processes import CONSOLE_SCRIPT


@dataclass(frozen=True, slots=True)
class Running:
    """A portal's process: where it is, and the token of its control API."""

    url: str
    token: str
    pid: int


@contextmanager
def running_portal(*arguments: str) -> Iterator[Running]:
    """Run ``holdfast portal`` on a free port; it listens when this returns."""
    command = [*CONSOLE_SCRIPT, "portal", "--port", "0", "--control", *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Running(told["url"], told["control"], process.pid)
        finally:
            process.terminate()
            process.wait(5)


class DemoPortal:
    """A running portal. ``async with DemoPortal(running) as portal``; ``anew`` lets tests share a process."""

    def __init__(self, running: Running) -> None:
        self.url = running.url
        self._client = httpx2.AsyncClient(
            base_url=running.url,
            trust_env=False,
            verify=False,
            timeout=10,
            headers={"authorization": f"Bearer {running.token}"},
        )

    async def anew(self, seed: int = 1, **scenario: object) -> None:
        """Forget everything and begin with a scenario."""
        await self.do("anew", seed=seed, scenario=scenario)

    async def scenario(self, **choices: object) -> None:
        """Choose anew how it behaves."""
        await self.do("scenario", **choices)

    async def trouble(self, page: str, kind: str, **more: object) -> None:
        """Trouble with the next answers of a page: ``after`` it was done, ``seconds``, so many ``times``."""
        await self.do("trouble", page=page, kind=kind, **more)

    async def offer(self, place: str, starts: str, exam: str = "Driving test") -> str:
        """One more time; its id."""
        return str(await self.do("offer", place=place, starts=starts, exam=exam))

    async def do(self, act: str, **asked: object) -> Any:
        """Any act of the control API."""
        answer = await self._client.post(f"/control/{act}", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def booked(self) -> dict[str, int]:
        """How often each person booked, by number."""
        return dict(await self._read("booked"))

    async def log(self, what: str | None = None) -> list[dict[str, Any]]:
        """What happened, or all of one kind of it."""
        return [entry for entry in await self._read("log") if what in (None, entry["what"])]

    async def times(self, exam: str = "Driving test") -> list[dict[str, str]]:
        """What is free."""
        return list((await self._read("times"))[exam])

    async def troubles(self) -> dict[str, int]:
        """How many that were ordered have not come yet, by page."""
        return dict(await self._read("troubles"))

    async def _read(self, what: str) -> Any:
        answer = await self._client.get(f"/control/{what}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
