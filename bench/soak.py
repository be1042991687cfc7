"""Ten thousand idle watchers for some minutes, then one change: ``python -m bench.soak [MINUTES] [WATCHERS]``.

Ends with 1 where one of them does not hear of it.
"""

from __future__ import annotations

import sys
import time

from bench.cluster import cluster
from bench.crowd import Watchers, Watching, watchers
from bench.data import Buyers, fill, schedule_gid
from bench.documents import WATCH
from bench.rows.fan_out import change
from bench.run import Run, Scale, raise_limit, say
from bench.servers import Server, Stable

MINUTES, WATCHERS = 5.0, 10_000
STEP = 30.0


def main() -> int:
    """Soak."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    count = int(sys.argv[2]) if len(sys.argv) > 2 else WATCHERS
    raise_limit()
    with cluster() as made:
        say("filling a database")
        fill(made)
        run = Run(made, Stable(made, Buyers(made.folder)), Scale())
        request = change(run, 0, 0)
        with run.stable.running(run.stable.holdfast(made.copy("soak"))) as (server,):
            watching = Watching(server.address, WATCH, {"schedule": schedule_gid(0)}, True)
            with watchers(watching) as crowd:
                return soaked(server, crowd, request, count, minutes)


def soaked(server: Server, crowd: Watchers, request: bytes, count: int, minutes: float) -> int:
    """Let them come, wait, tell them something."""
    alone = server.rss()
    seconds = crowd.come(count)
    begin, cpu = server.rss(), server.cpu()
    say(f"{count} watch after {seconds:.0f} s; {begin / 2**20:.0f} MB, alone it was {alone / 2**20:.0f} MB")
    began = time.monotonic()
    while (left := began + minutes * 60 - time.monotonic()) > 0:
        time.sleep(min(STEP, left))
        say(f"{crowd.alive()} watch; {server.rss() / 2**20:.0f} MB")
    end, idle = server.rss(), (server.cpu() - cpu) / max(time.monotonic() - began, 1e-9)
    told = crowd.change(request)
    heard = count - told.missed
    took = told.last - told.asked
    print(f"{heard} of {count} heard of one change after {minutes:g} minutes, the last after {took:.3f} s")
    print(
        f"memory {begin / 2**20:.0f} MB at first, {end / 2**20:.0f} MB at last; CPU while idle {idle:.1%} of a core"
    )
    return 0 if heard == count else 1


if __name__ == "__main__":
    sys.exit(main())
