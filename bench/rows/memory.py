"""What a server's memory grows by with each subscription that waits for a change."""

from __future__ import annotations

import time

from bench.crowd import Watching, watchers
from bench.data import schedule_gid
from bench.documents import WATCH
from bench.figures import Figure, Goal, Row
from bench.run import Run, say

SETTLE = 1.0


def measure(run: Run) -> Row:
    """Let a quarter come first, so that what any number needs is there already."""
    row = Row("memory")
    count = run.scale.idle
    program = run.stable.holdfast(run.cluster.copy("memory"))
    with run.stable.running(program) as (server,):
        watching = Watching(server.address, WATCH, {"schedule": schedule_gid(run.next_schedule())}, True)
        with watchers(watching) as crowd:
            crowd.come(count // 4)
            time.sleep(SETTLE)
            before = server.rss()
            seconds = crowd.come(count)
            time.sleep(SETTLE)
            after = server.rss()
    each = (after - before) / count / 1024
    say(f"  {count} watchers came in {seconds:.1f} s")
    row.figures.append(Figure("memory, an idle subscription", each, Goal("at most", 22), "KB"))
    row.behind = {
        "watchers": count,
        "RSS before MB": round(before / 2**20, 1),
        "RSS after MB": round(after / 2**20, 1),
        "watchers a second": round(count / seconds),
    }
    return row
