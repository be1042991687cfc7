"""What every row works with."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bench import load
from bench.cluster import Cluster
from bench.figures import percentile
from bench.load import Job, Outcome, Requests
from bench.servers import Server, Stable, node_missing


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how often. ``rounds`` are measured, alternating, ``seconds`` each."""

    rounds: int = 3
    seconds: float = 3.0
    warm_up: float = 1.5
    watchers: tuple[int, ...] = (1_000, 5_000)
    changes: int = 20
    idle: int = 2_000
    starts: int = 5
    repetitions: int = 12
    peers: bool = True


TINY = Scale(rounds=1, seconds=0.2, warm_up=0.1, watchers=(20,), changes=3, idle=50, starts=1, repetitions=1)
"""Enough to see that all of it still works; its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of load on one server: what the client saw, and the CPU of the server and of PostgreSQL, in seconds."""

    outcome: Outcome
    cpu: float
    postgres: float

    @property
    def each(self) -> float:
        """Seconds of the server's CPU a request."""
        return self.cpu / self.outcome.count

    def told(self) -> dict[str, Any]:
        count = self.outcome.count
        return {
            "per second": round(self.outcome.rate, 1),
            "server CPU us": round(self.cpu / count * 1e6, 1),
            "PostgreSQL CPU us": round(self.postgres / count * 1e6, 1),
            "client CPU us": round(self.outcome.cpu / count * 1e6, 1),
            "p50 ms": round(percentile(self.outcome.latencies, 0.5) * 1e3, 2),
            "p99 ms": round(percentile(self.outcome.latencies, 0.99) * 1e3, 2),
            "answer bytes": self.outcome.length,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """The cluster, the servers and the scale of one run."""

    cluster: Cluster
    stable: Stable
    scale: Scale
    _schedules: Iterator[int] = field(default_factory=count)

    def next_schedule(self) -> int:
        """A schedule of which no seat is sold yet, wherever it is asked for in this run."""
        return next(self._schedules)

    def load(
        self, server: Server, requests: Requests, good: bytes, connections: int, seconds: float
    ) -> Round:
        """One round."""
        cpu, postgres = server.cpu(), self.cluster.cpu()
        try:
            outcome = load.run(Job(server.address, connections, seconds, requests, good))
        except RuntimeError as error:
            raise RuntimeError(f"{server.name}: {error}\n{server.words}") from None
        return Round(outcome, server.cpu() - cpu, self.cluster.cpu() - postgres)

    def alternate(
        self, servers: Sequence[Server], requests: Callable[[int], Requests], good: bytes, connections: int
    ) -> dict[str, list[Round]]:
        """Rounds of each server by its name, one server after the other, after a round that does not count."""
        served: dict[str, list[Round]] = {server.name: [] for server in servers}
        for number in range(self.scale.rounds + 1):
            seconds = self.scale.seconds if number else self.scale.warm_up
            for server in servers:
                done = self.load(server, requests(number), good, connections, seconds)
                if number:
                    served[server.name].append(done)
        return served

    @property
    def node_missing(self) -> str:
        """Why there are no peers on Node; empty where there are."""
        return node_missing() if self.scale.peers else "left out"


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def raise_limit() -> None:
    """Let us, and whom we start, have as many sockets as the machine allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
