"""One change to many watchers, beside a bare broadcaster and beside graphql-ws and mercurius on Node.

A change is a reservation, asked for over HTTP from the server that the watchers are at. Compared is the time from its
commit, as PostgreSQL noted it, to the last watcher's frame: reading the log, executing, serialising and sending are in
it, the reservation's own work is not. From the request to the last frame stands beside it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.crowd import Told, Watchers, Watching, watchers
from bench.data import bench_id, pairs, schedule_gid
from bench.documents import FIRST, RESERVE, WATCH
from bench.figures import Figure, Goal, Row, percentile
from bench.run import Run, say
from bench.servers import Program, Server
from bench.wire import post

WARM_UP = 3
COMMITS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xid::xid))::float8 FROM event
WHERE stream_id = $1 ORDER BY version DESC LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class FanOut:
    """What a server made of some changes: seconds, and CPU of the server a frame."""

    name: str
    watchers: int
    from_commit: list[float]
    from_request: list[float]
    frame: float
    length: int

    @property
    def typical(self) -> float:
        return statistics.median(self.from_commit)

    def told(self) -> dict[str, Any]:
        return {
            "commit to last, p50 ms": round(self.typical * 1e3, 2),
            "commit to last, p99 ms": round(percentile(self.from_commit, 0.99) * 1e3, 2),
            "request to last, p50 ms": round(statistics.median(self.from_request) * 1e3, 2),
            "CPU a frame us": round(self.frame * 1e6, 2),
            "frame bytes": self.length,
        }


def measure(run: Run) -> Row:
    """Each server in turn, for one has all the sockets at a time."""
    row = Row("fan_out")
    for count in run.scale.watchers:
        done = {}
        for program, snapshot in contestants(run):
            done[program.name] = one(run, program, count, snapshot=snapshot)
            say(f"  fan-out to {count}, {program.name}: {done[program.name].told()}")
        row.figures += judged(count, done, run.node_missing)
        row.behind |= {f"{count} watchers, {name}": each.told() for name, each in done.items()}
    return row


def contestants(run: Run) -> list[tuple[Program, bool]]:
    """Each with whether it sends a snapshot first."""
    database, stable = run.cluster.copy("fan_out"), run.stable
    found = [
        (stable.bare("broadcaster", database, post(FIRST, {})), False),
        (stable.holdfast(database), True),
    ]
    if not run.node_missing:
        found += [(stable.peer("graphql-ws", database), False), (stable.peer("mercurius", database), False)]
    return found


def one(run: Run, program: Program, count: int, *, snapshot: bool) -> FanOut:
    """Let so many watch one server, and tell them some changes."""
    with run.stable.running(program) as (server,):
        schedule = run.next_schedule()
        watching = Watching(server.address, WATCH, {"schedule": schedule_gid(schedule)}, snapshot)
        with watchers(watching) as crowd:
            crowd.come(count)
            return told(run, server, crowd, schedule, count)


def told(run: Run, server: Server, crowd: Watchers, schedule: int, count: int) -> FanOut:
    """The changes, after some that do not count."""
    for number in range(WARM_UP):
        crowd.change(change(run, schedule, number), patience=5)
    cpu = server.cpu()
    heard: list[Told] = []
    for number in range(WARM_UP, WARM_UP + run.scale.changes):
        heard.append(crowd.change(change(run, schedule, number), patience=30))
        if heard[-1].missed:
            raise RuntimeError(f"{heard[-1].missed} of {count} did not hear of a change")
    spent = server.cpu() - cpu
    commits = run.cluster.run(lambda connection: committed(connection, schedule, len(heard)), "fan_out")
    return FanOut(
        server.name,
        count,
        [each.last - commit for each, commit in zip(heard, commits, strict=True)],
        [each.last - each.asked for each in heard],
        spent / len(heard) / count,
        heard[-1].length,
    )


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
    figures = [
        Figure(
            f"{what}, commit to last, to a bare broadcaster",
            ours.typical / bare.typical,
            Goal("at most", 1.25),
        ),
        Figure(f"{what}, CPU a frame, to a bare broadcaster", ours.frame / bare.frame, Goal("at most", 1.25)),
    ]
    for name in ("graphql-ws", "mercurius"):
        value = ours.typical / done[name].typical if name in done else None
        figures.append(
            Figure(f"{what}, commit to last, to {name}", value, Goal("at most", 0.25), told=missing)
        )
    return figures
