"""Everything that a job needs, each part a process of its own: a portal, Redis, a server, and workers with browsers."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.browser_processes import alive, is_driver
from tests.acceptance.applicants import Applicant, applying
from tests.acceptance.cluster import Cluster
from tests.clients import GraphQLHttp
from tests.demo_portal import DemoPortal, Running, running_portal
from tests.keys import new_signing_key
from tests.processes import CONSOLE_SCRIPT, Holdfast, eventually
from tests.redis_server import RedisServer

PLENTY: Mapping[str, Any] = {"rivals": 0, "new_times": 1, "step_seconds": 0.05}
"""A free time is never far: no job waits for its luck."""
GONE = 5.0
PATIENT = (sys.executable, str(Path(__file__).with_name("patient_worker.py")))

_FORGET = """
UPDATE automation_job SET status = 'STOPPED', failure = NULL, lease_until = NULL, finished_at = now()
WHERE finished_at IS NULL;
UPDATE portal SET failures = 0, shut_until = NULL, probing = false;
DELETE FROM automation_worker
"""


class Worker:
    """A worker, and the tree of its driver and browsers."""

    def __init__(self, process: Holdfast) -> None:
        self.process = process
        self.folder = Path(str(process.settings["data_dir"]))
        self._seen: list[psutil.Process] = []

    def look(self) -> Sequence[psutil.Process]:
        """It and all its descendants, who are remembered."""
        worker = psutil.Process(self.process.pid)
        self._seen += [worker, *worker.children(recursive=True)]
        return self._seen

    def drivers(self) -> Sequence[psutil.Process]:
        """Playwright's process, which starts the browsers, once there is one."""
        below = psutil.Process(self.process.pid).children()
        return [one for one in below if is_driver(one)]

    def browsers(self) -> Sequence[psutil.Process]:
        """The first process of each browser, the one in reserve among them."""
        return [browser for driver in self.drivers() for browser in driver.children()]

    def kill(self) -> None:
        """End it, and nothing else, as a crash would."""
        self.look()
        self.process.kill()

    async def nothing_is_left(self) -> None:
        """Wait until there is no process and no folder of it any more; fails with what there is after five seconds."""
        with suppress(TimeoutError):
            await eventually(lambda: not self._left(self._seen), GONE)
        assert self._left(psutil.process_iter()) == []

    def _left(self, among: Iterable[psutil.Process]) -> list[str]:
        """What is there of it: processes that were seen, or were started in its folder, and folders."""
        there = [one for one in among if (one in self._seen or _began_in(one, self.folder)) and alive(one)]
        return [str(each) for each in (*there, *self.folder.glob("run/*/"))]


@dataclass
class Office:
    """What runs. Workers come and go by ``hire``."""

    cluster: Cluster
    running: Running
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def server(self) -> Holdfast:
        return self.cluster.a

    async def hire(self, *, patient: bool = False, **settings: object) -> Worker:
        """Start a worker, and wait until it can run jobs; ``patient``, it waits minutes for a portal's answer."""
        folder = self.cluster.folder / f"worker-{next(self._numbers)}"
        folder.mkdir()
        given = self.settings | {"data_dir": folder, "jobs_per_worker": 8} | settings
        process = self.cluster.start("worker", program=PATIENT if patient else CONSOLE_SCRIPT, **given)
        await asyncio.to_thread(process.ready)
        worker = Worker(process)
        await eventually(worker.browsers, 20)
        return worker

    @property
    def settings(self) -> dict[str, Any]:
        """Those by which jobs can be run."""
        return {"automation": True, "demo_portal_url": self.running.url, "jobs_per_account": 100}

    async def close(self) -> None:
        """Stop all but the first server, and leave no job, worker or worry to the next day."""
        leaving = self.cluster.processes[1:]
        await asyncio.gather(*(asyncio.to_thread(process.close) for process in leaving))
        del self.cluster.processes[1:]
        async with self.cluster.database() as database:
            await database.execute(_FORGET)

    async def open(self, server: Holdfast | None = None) -> None:
        """Wait until jobs can be started."""
        async with GraphQLHttp((server or self.server).url) as http:

            async def available() -> bool:
                told = await http.run("{ server { automationAvailable } }")
                return bool(told["data"]["server"]["automationAvailable"])

            await eventually(available, 20)


@dataclass
class Day:
    """A test's time at the office: the portal is as new, and all who come are remembered."""

    office: Office
    portal: DemoPortal
    _guests: AsyncExitStack

    async def apply(self, name: str, *, server: Holdfast | None = None, **more: Any) -> Applicant:
        """Somebody new starts a job."""
        owner = await self.office.cluster.person()
        url = (server or self.office.server).url
        return await self._guests.enter_async_context(
            applying(url, self.portal.url, owner.token, name, **more)
        )

    @contextmanager
    def frozen_portal(self) -> Iterator[None]:
        """Have the portal answer nothing for a while."""
        os.kill(self.office.running.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.office.running.pid, signal.SIGCONT)

    async def clicks(self, applicant: Applicant) -> int:
        """How often the button that books was pressed for somebody."""
        return sum(entry.get("person") == applicant.person for entry in await self.portal.log("clicked"))

    async def times_booked(self, applicant: Applicant) -> int:
        """The portal's counter of somebody."""
        return (await self.portal.booked()).get(applicant.person, 0)


@asynccontextmanager
async def day_at(office: Office, **scenario: Any) -> AsyncIterator[Day]:
    """Begin with a portal that knows nobody; afterwards no worker is left."""
    async with AsyncExitStack() as guests:
        portal = await guests.enter_async_context(DemoPortal(office.running))
        await portal.anew(**{**PLENTY, **scenario})
        guests.push_async_callback(office.close)
        yield Day(office, portal, guests)


@contextmanager
def running_office(database_url: str, folder: Path) -> Iterator[Office]:
    """Run a portal, Redis and a server; no worker yet."""
    redis = RedisServer()
    asyncio.run(redis.__aenter__())
    cluster = Cluster(database_url, redis, folder, new_signing_key())
    try:
        with running_portal() as portal:
            office = Office(cluster, portal)
            cluster.start(inline_worker=False, **office.settings)
            office.server.ready()
            yield office
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Holdfast.close, cluster.processes))
        asyncio.run(redis.__aexit__(None, None, None))


def _began_in(one: psutil.Process, folder: Path) -> bool:
    """Whether a process was started with something of a folder."""
    try:
        return one.environ().get("HOLDFAST_DATA_DIR") == str(folder) or any(
            str(folder) in word for word in one.cmdline()
        )
    except psutil.Error:
        return False
