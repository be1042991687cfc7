"""Kill workers under jobs that are going on, in all ways: ``python -m bench.kill_jobs [KILLS]``.

Customers start jobs one after the other at the demo portal, sign in as often as they are asked, and wait for the end.
Meanwhile workers, their drivers and their browsers are killed and frozen at random, while the portal dawdles at random
pages. Ends with 1 where a person is booked twice, a job has no end, a completed one is not in the portal's books, or
something of a killed worker is there five seconds later.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from bench.automation_kills import PATIENCE
from bench.browser_processes import alive, is_driver
from bench.customers import ANYWHERE, Customer, Watched, customers
from bench.office import Office, Worker, office_alone
from bench.rows.jobs import can_start
from bench.run import say

KILLS = 100
AT_ONCE = 8
WORKERS = 2
SLOTS = 6
APART = 5.0
"""Seconds between two kills, more or less."""
PEOPLE = 2_000
FROZEN = 14.0
"""Seconds that a worker is frozen for: longer than its lease."""
PAGES = ("front", "login", "code", "bookings", "times", "keep", "kept", "book", "booked")


@dataclass
class Staff:
    """A worker, its folder, and all that was seen of it."""

    worker: Worker
    folder: Path
    seen: list[psutil.Process] = field(default_factory=list)

    def look(self) -> Sequence[psutil.Process]:
        self.seen = [one for one in self.seen if alive(one)] + self.worker.family()
        return self.seen

    def driver(self) -> psutil.Process | None:
        children = psutil.Process(self.worker.pid).children()
        return next((one for one in children if alive(one) and is_driver(one)), None)

    def browsers(self) -> Sequence[psutil.Process]:
        with suppress(psutil.Error):  # it may just be ending
            driver = self.driver()
            return driver.children() if driver else ()
        return ()

    def left(self) -> int:
        """Processes and folders."""
        folders = [each for each in self.folder.glob("run/*") if each.is_dir()]
        return sum(map(alive, self.seen)) + len(folders)


@dataclass
class Rampage:
    """One run."""

    made: Office
    chance: random.Random
    folders: Path
    staff: list[Staff] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    completed: list[str] = field(default_factory=list)
    over: bool = False
    _numbers: count[int] = field(default_factory=count)

    async def hire(self) -> None:
        folder = self.folders / f"worker-{next(self._numbers)}"
        folder.mkdir()
        sharing = self.chance.choice(("job", "worker"))
        worker = await asyncio.to_thread(
            self.made.hire, jobs_per_worker=SLOTS, browser_sharing=sharing, data_dir=folder
        )
        self.staff.append(Staff(worker, folder))

    async def go(self, kills: int) -> None:
        """So many kills, one after the other, each told what it left."""
        for number in range(kills):
            await asyncio.sleep(self.chance.uniform(0.2, 2 * APART))
            way = self.chance.choices(
                ("kill", "hang and kill", "browser", "driver", "freeze"), (4, 3, 2, 1, 2)
            )[0]
            await self._strike(self.chance.choice(self.staff), way)
            self.kills[way] += 1
            if number % 10 == 9:
                say(f"{number + 1} kills; {dict(self.ends)}; left {sum(self.left.values())}")
        self.over = True

    async def _strike(self, victim: Staff, way: str) -> None:
        victim.look()
        if way == "browser":
            _all(psutil.Process.kill, victim.browsers()[:1])
        elif way == "driver":
            _all(psutil.Process.kill, [victim.driver()])
        elif way == "freeze":
            process = psutil.Process(victim.worker.pid)
            process.suspend()
            await asyncio.sleep(FROZEN)
            process.resume()
        else:
            if way != "kill":
                _all(psutil.Process.suspend, [victim.driver(), *victim.browsers()])
            self.staff.remove(victim)
            self.made.workers.remove(victim.worker)
            victim.worker.kill()
            hiring = asyncio.create_task(self.hire())
            ends = time.monotonic() + PATIENCE
            while victim.left() and time.monotonic() < ends:  # noqa: ASYNC110  # nobody tells of others' processes
                await asyncio.sleep(0.05)
            self.left[way] += victim.left()
            await hiring

    async def custom(self, people: Sequence[Customer], queue: count[int]) -> None:
        """One customer after the other, until the killing is over."""
        while not self.over:
            person = people[next(queue)]
            try:
                async with person.job(**ANYWHERE, person=person.name) as job, _willing(job):
                    await job.until(lambda job: job.over, 600)
                self.ends[job.status] += 1
                if job.status == "COMPLETED":
                    self.completed.append(person.name)
                else:
                    say(f"{person.name}: {job.status}: {job.message}")
            except (RuntimeError, TimeoutError) as error:
                self.ends["no end"] += 1
                say(f"{person.name}: {error}")

    async def dawdle(self, person: Customer) -> None:
        """Have the portal answer late, before or after it did what was asked."""
        while True:
            await asyncio.sleep(1)
            asked = {
                "page": self.chance.choice(PAGES),
                "kind": "slow",
                "seconds": self.chance.uniform(0.2, 5),
            }
            await control(person, "trouble", **asked, after=self.chance.random() < 0.5)


@asynccontextmanager
async def _willing(job: Watched) -> AsyncIterator[None]:
    """Somebody who scans each code that comes, and confirms what is taken."""

    async def sign() -> None:
        seen = 0
        while not job.over:
            await job.until(lambda job, seen=seen: len(job.codes) > seen or job.over, 600)
            seen = len(job.codes)
            if seen and await job.customer.phone("scan", text=job.codes[-1].text):
                await job.customer.phone("confirm")

    signing = asyncio.create_task(sign())
    try:
        yield
    finally:
        signing.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            await signing


async def control(person: Customer, what: str, **asked: Any) -> Any:
    """An act of the portal's control API, or with nothing asked what it reads."""
    portal = person.office.portal
    headers, url = {"authorization": f"Bearer {portal.control}"}, f"{portal.url}/control/{what}"
    async with person.http.request(
        "POST" if asked else "GET", url, json=asked or None, headers=headers
    ) as answer:
        return await answer.json()


async def rampage(made: Office, kills: int, folders: Path) -> int:
    """So many kills; 0 if all was well afterwards."""
    run = Rampage(made, random.Random(4), folders)
    async with customers(made, PEOPLE) as people:
        for _ in range(WORKERS):
            await run.hire()
        await can_start(people[0])
        queue = count()
        dawdling = asyncio.create_task(run.dawdle(people[0]))
        coming = [asyncio.create_task(run.custom(people, queue)) for _ in range(AT_ONCE)]
        await run.go(kills)
        await asyncio.gather(*coming)
        dawdling.cancel()
        booked = await control(people[0], "booked")
    for each in run.staff:
        each.look()
    twice = sorted(person for person, times in booked.items() if times > 1)
    missing = [name for name in run.completed if f"D-{name}" not in booked]
    print(
        f"{sum(run.kills.values())} kills {dict(run.kills)}; left behind {sum(run.left.values())} {dict(run.left)}"
    )
    print(f"jobs {sum(run.ends.values())}: {dict(run.ends)}")
    print(
        f"people booked {len(booked)}, more than once {len(twice)} {twice}; completed and not booked {len(missing)}"
    )
    return 1 if twice or missing or run.ends["no end"] or sum(run.left.values()) else 0


def _all(act: Callable[[psutil.Process], None], them: Iterable[psutil.Process | None]) -> None:
    """Do it to each that is there; they may be ending by themselves."""
    for one in them:
        with suppress(psutil.NoSuchProcess):
            if one is not None:
                act(one)


def main() -> int:
    """Run it."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    with office_alone() as working:
        return asyncio.run(rampage(working, kills, working.folder))


if __name__ == "__main__":
    sys.exit(main())
