"""From the start of a process to its first answer, beside mercurius on Node; and what it keeps when it idles."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from bench.documents import FIRST
from bench.figures import Figure, Goal, Row, ratio
from bench.run import Run, say
from bench.servers import Program, Server
from bench.wire import post

SETTLE = 1.0
PAUSE = 0.001


@dataclass(slots=True)
class Starts:
    """Of one kind of server: seconds to the first answer, CPU until then, bytes afterwards."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    pss: list[int] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "first answer ms": [round(each * 1e3) for each in self.seconds],
            "CPU until then ms": [round(each * 1e3) for each in self.cpu],
            "idle RSS MB": [round(each / 2**20, 1) for each in self.rss],
            "idle PSS MB": [round(each / 2**20, 1) for each in self.pss],
        }


def measure(run: Run) -> Row:
    """Start one after the other, again and again."""
    row = Row("start")
    missing, database = run.node_missing, run.cluster.copy("start")
    programs = [run.stable.holdfast(database)]
    if not missing:
        programs.append(run.stable.peer("mercurius", database))
    done = {program.name: Starts() for program in programs}
    for number in range(run.scale.starts + 1):
        for program in programs:
            one(run, program, done[program.name] if number else Starts())
    ours, theirs = done["holdfast"], done.get("mercurius")
    row.figures = [
        Figure(
            "first answer of a started server, to mercurius'",
            ratio(ours.seconds, theirs.seconds) if theirs else None,
            Goal("at most", 2.5),
            told=missing,
        ),
        Figure(
            "memory (RSS), an idle server", statistics.median(ours.rss) / 2**20, Goal("at most", 90), "MB"
        ),
    ]
    row.behind = {name: starts.told() for name, starts in done.items()}
    say(f"  start: {row.behind}")
    return row


def one(run: Run, program: Program, starts: Starts) -> None:
    """One start."""
    began = time.perf_counter()
    server = Server(program, run.cluster.folder)
    try:
        server.first_answer(post(FIRST, {}), PAUSE)
        starts.seconds.append(time.perf_counter() - began)
        starts.cpu.append(server.cpu())
        time.sleep(SETTLE)
        starts.rss.append(server.rss())
        starts.pss.append(server.pss())
    finally:
        server.stop()
