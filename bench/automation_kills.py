"""Kill workers, drivers and browsers in all ways, some of them stopped, and count what is left after five seconds.

``python -m bench.automation_kills 100``
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

from bench.browser_processes import alive, is_driver, is_keeper

PATIENCE = 5.0
VISITS = 2


@dataclass
class Doomed:
    """A worker that runs, and everything that it started."""

    folder: Path
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, folder: Path, visits: int = VISITS) -> Doomed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.automation_worker",
            folder,
            str(visits),
            stdout=asyncio.subprocess.PIPE,
        )
        doomed = cls(folder, process)
        await doomed.ready()
        return doomed

    async def ready(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while (await self.process.stdout.readline()).strip() != b"ready":
                if self.process.returncode is not None:
                    raise RuntimeError("The worker ended.")

    def tree(self) -> list[psutil.Process]:
        """The worker and all descendants."""
        worker = psutil.Process(self.process.pid)
        return [one for one in (worker, *worker.children(recursive=True)) if alive(one)]

    def driver(self) -> psutil.Process:
        return next(one for one in self.tree() if is_driver(one))

    def keeper(self) -> psutil.Process:
        return next(one for one in self.tree() if is_keeper(one))

    def browsers(self) -> list[psutil.Process]:
        return self.driver().children()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def kill_worker(doomed: Doomed) -> None:
    doomed.process.kill()


def kill_worker_with_hung_driver(doomed: Doomed) -> None:
    doomed.driver().suspend()
    doomed.process.kill()


def kill_worker_with_hung_browsers(doomed: Doomed) -> None:
    for one in doomed.browsers():
        one.suspend()
    doomed.process.kill()


def kill_worker_with_all_hung(doomed: Doomed) -> None:
    for one in doomed.tree():
        if "automation.browsers.reaping" not in one.cmdline():
            one.suspend()
    doomed.process.kill()


def kill_driver_and_worker(doomed: Doomed) -> None:
    doomed.driver().kill()
    doomed.process.kill()


def kill_driver(doomed: Doomed) -> None:
    doomed.driver().kill()


def hang_driver(doomed: Doomed) -> None:
    doomed.driver().suspend()


def kill_browsers(doomed: Doomed) -> None:
    for one in doomed.browsers():
        one.kill()


FATAL: Sequence[Callable[[Doomed], None]] = (
    kill_worker,
    kill_worker_with_hung_driver,
    kill_worker_with_hung_browsers,
    kill_worker_with_all_hung,
    kill_driver_and_worker,
)
"""After these nothing may be left."""

SURVIVED: Sequence[Callable[[Doomed], None]] = (kill_driver, hang_driver, kill_browsers)
"""After these the worker goes on, and of what was killed nothing may be left."""


@dataclass
class Tally:
    """What was left after five seconds, and how long it took for the rest to go."""

    kills: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


async def run(kills: int, seed: int = 4) -> Tally:
    """So many kills, mixed, each of a worker with visits open."""
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="holdfast-kills-") as folder:
        doomed: Doomed | None = None
        try:
            for number in range(kills):
                ways = (*FATAL, *SURVIVED)
                way = ways[number] if number < len(ways) else chance.choice(ways)
                if doomed is None:
                    doomed = await Doomed.start(Path(folder))
                await _kill(doomed, way, tally)
                if way in FATAL:
                    doomed = None
                else:
                    await doomed.ready()
        finally:
            if doomed is not None:
                await doomed.end()
    return tally


async def _kill(doomed: Doomed, way: Callable[[Doomed], None], tally: Tally) -> None:
    name = way.__name__
    before = doomed.tree() if way in FATAL else _doomed_by(way, doomed)
    own = [path for path in doomed.folder.iterdir() if path.is_dir()] if way in FATAL else []
    way(doomed)
    began = monotonic()
    if way in FATAL:
        await doomed.process.wait()

    def left() -> bool:
        return any(map(alive, before)) or any(path.exists() for path in own)

    while left() and monotonic() - began < PATIENCE:  # noqa: ASYNC110  # nobody tells of others' processes
        await asyncio.sleep(0.02)
    tally.kills[name] += 1
    tally.slowest = max(tally.slowest, monotonic() - began)
    tally.processes[name] += sum(map(alive, before))
    tally.folders[name] += sum(path.exists() for path in own)


def _doomed_by(way: Callable[[Doomed], None], doomed: Doomed) -> list[psutil.Process]:
    """What is to end although the worker lives."""
    driver = doomed.driver()
    below = driver.children(recursive=True)
    return below if way is kill_browsers else [driver, *below]


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    tally = asyncio.run(run(kills))
    for way, number in tally.kills.items():
        print(f"{number:4} {way}: {tally.processes[way]} processes and {tally.folders[way]} folders left")
    print(f"{kills} kills, the slowest to clear away took {tally.slowest:.2f} s")


if __name__ == "__main__":
    main()
