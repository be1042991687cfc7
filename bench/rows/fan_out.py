"""One change to many watchers, beside a bare broadcaster and beside graphql-ws and mercurius on Node.

A change is a reservation, asked for over HTTP from the server that the watchers are at. Compared is the time from its
commit, as PostgreSQL noted it, to the last watcher's frame: reading the log, executing, serialising and sending are in
it, the reservation's own work is not. From the request to the last frame stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from bench.crowd import Told, Watchers, Watching, watchers
from bench.data import bench_id, pairs, schedule_gid
from bench.documents import FIRST, RESERVE, WATCH
from bench.figures import Figure, Goal, Row, percentile, ratio
from bench.run import Run, say
from bench.servers import Program, Server
from bench.wire import post

WARM_UP = 3
COMMITS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xid::xid))::float8 FROM event
WHERE stream_id = $1 ORDER BY version DESC LIMIT $2
"""


@dataclass(slots=True)
class FanOut:
    """What a server made of some changes, a figure a change: seconds, and the server's CPU."""

    server: Server
    crowd: Watchers
    schedule: int
    database: str
    watchers: int
    heard: list[Told] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    from_commit: list[float] = field(default_factory=list)

    @property
    def frame(self) -> float:
        """CPU a frame."""
        return sum(self.cpu) / len(self.cpu) / self.watchers

    def tell(self, run: Run, number: int, *, counts: bool) -> None:
        """One change. Raises RuntimeError where somebody does not hear of one that counts."""
        cpu = self.server.cpu()
        told = self.crowd.change(change(run, self.schedule, number), patience=30 if counts else 5)
        if not counts:
            return
        if told.missed:
            raise RuntimeError(
                f"{told.missed} of {self.watchers} at {self.server.name} did not hear of a change"
            )
        self.cpu.append(self.server.cpu() - cpu)
        self.heard.append(told)

    def finish(self, run: Run) -> None:
        """Ask PostgreSQL when the changes were committed."""
        commits = run.cluster.run(
            lambda connection: committed(connection, self.schedule, len(self.heard)), self.database
        )
        self.from_commit = [each.last - commit for each, commit in zip(self.heard, commits, strict=True)]

    def told(self) -> dict[str, Any]:
        from_request = [each.last - each.asked for each in self.heard]
        return {
            "commit to last, p50 ms": round(percentile(self.from_commit, 0.5) * 1e3, 2),
            "commit to last, p99 ms": round(percentile(self.from_commit, 0.99) * 1e3, 2),
            "request to last, p50 ms": round(percentile(from_request, 0.5) * 1e3, 2),
            "CPU a frame us": round(self.frame * 1e6, 2),
            "frame bytes": self.heard[-1].length,
        }


def measure(run: Run) -> Row:
    """All servers have their watchers at the same time, and are told a change one after the other."""
    row = Row("fan_out")
    for count in run.scale.watchers:
        with ExitStack() as stack:
            done = {each.server.name: each for each in watched(run, count, stack)}
            for number in range(WARM_UP + run.scale.changes):
                for each in done.values():
                    each.tell(run, number, counts=number >= WARM_UP)
        for each in done.values():
            each.finish(run)
            say(f"  fan-out to {count}, {each.server.name}: {each.told()}")
        row.figures += judged(count, done, run.node_missing)
        row.behind |= {f"{count} watchers, {name}": each.told() for name, each in done.items()}
    return row


def watched(run: Run, count: int, stack: ExitStack) -> list[FanOut]:
    """Every server, each with so many watchers of one schedule."""
    schedule = run.next_schedule()
    found = []
    for number, (started, snapshot) in enumerate(contestants(run)):
        database = run.cluster.copy(f"fan_out_{number}")
        (server,) = stack.enter_context(run.stable.running(started(database)))
        watching = Watching(server.address, WATCH, {"schedule": schedule_gid(schedule)}, snapshot)
        crowd = stack.enter_context(watchers(watching))
        crowd.come(count)
        found.append(FanOut(server, crowd, schedule, database, count))
    return found


def contestants(run: Run) -> list[tuple[Callable[[str], Program], bool]]:
    """How each is started on a database, and whether it sends a snapshot first."""
    stable = run.stable
    found: list[tuple[Callable[[str], Program], bool]] = [
        (lambda database: stable.bare("broadcaster", database, post(FIRST, {})), False),
        (stable.holdfast, True),
    ]
    if not run.node_missing:
        found += [(partial(stable.peer, name), False) for name in ("graphql-ws", "mercurius")]
    return found


async def committed(connection: asyncpg.Connection, schedule: int, count: int) -> list[float]:
    """Unix times at which the schedule's last changes were committed, in their order."""
    rows = await connection.fetch(COMMITS, bench_id(6, schedule), count)
    return [row[0] for row in reversed(rows)]


def change(run: Run, schedule: int, number: int) -> bytes:
    """The request that makes a change."""
    variables = {"schedule": schedule_gid(schedule), "labels": pairs()[number]}
    return post(RESERVE, variables, run.stable.buyers.tokens[number])


def judged(count: int, done: dict[str, FanOut], missing: str) -> list[Figure]:
    """The figures of one number of watchers."""
    ours, bare = done["holdfast"], done["broadcaster"]
    what = f"one change to {count:,} watchers"
    soon, lean = Goal("at most", 1.25), Goal("at most", 0.25)
    figures = [
        Figure(
            f"{what}, commit to last, to a bare broadcaster", ratio(ours.from_commit, bare.from_commit), soon
        ),
        Figure(f"{what}, CPU a frame, to a bare broadcaster", ours.frame / bare.frame, soon),
    ]
    for name in ("graphql-ws", "mercurius"):
        value = ratio(ours.from_commit, done[name].from_commit) if name in done else None
        figures.append(Figure(f"{what}, commit to last, to {name}", value, lean, told=missing))
    return figures
