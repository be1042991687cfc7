"""``python -m bench``: measure every row of the table, print it, and write it down as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cluster import cluster
from bench.data import Buyers, fill
from bench.figures import Figure, Row, as_json, table
from bench.keeping import keep
from bench.run import TINY, Run, Scale, raise_limit, say
from bench.servers import Stable

HOUSE = Path(__file__).parents[1]
LATEST = HOUSE / "bench/results/latest.json"
ROWS = (
    "reserve",
    "search",
    "seat_map",
    "fan_out",
    "memory",
    "statements",
    "hot",
    "start",
    "codes",
    "webhooks",
    "jobs",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 where a goal is missed and that matters."""
    asked = _parser().parse_args(arguments)
    raise_limit()
    names = asked.only.split(",") if asked.only else ROWS
    began = time.monotonic()
    rows = measured(names, replace(TINY if asked.tiny else Scale(), peers=not asked.without_peers))
    print(table(rows))
    said = {"machine": _machine(), "seconds": round(time.monotonic() - began), "rows": as_json(rows)}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(said, indent=2) + "\n")
    if asked.keep:
        keep(rows, said)
    say(f"{said['seconds']} s; everything behind it stands in {asked.json}")
    missed = any(figure.missed or figure.value is None for row in rows for figure in row.figures)
    return 1 if asked.strict and missed else 0


def measured(names: Sequence[str], scale: Scale) -> list[Row]:
    """Measure the rows of these names, in their order."""
    rows = []
    with cluster() as made:
        say("filling a database")
        fill(made)
        buyers = Buyers(made.folder)
        run = Run(made, Stable(made, buyers), scale)
        _ = buyers.tokens
        for name in names:
            say(name)
            measure: Callable[[Run], Row] = importlib.import_module(f"bench.rows.{name}").measure
            began = time.monotonic()
            try:
                row = measure(run)
            except Exception as error:  # the other rows are measured all the same
                traceback.print_exc()
                row = Row(name, [Figure(name, None, told=f"failed: {error!r:.80}")])
            row.seconds = time.monotonic() - began
            rows.append(row)
    return rows


def _machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "node": _said("node", "--version") or "none",
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _said(*command: str) -> str:
    """What a program says; nothing where it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("v")


def _processor() -> str:
    """The model, where the system tells it."""
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", help=f"rows to measure, with commas between: {','.join(ROWS)}")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--tiny", action="store_true", help="so little of it that the figures mean nothing")
    parser.add_argument("--without-peers", action="store_true", help="leave the servers on Node out")
    parser.add_argument("--keep", action="store_true", help="write it into bench/README.md and results.json")
    parser.add_argument("--json", type=Path, default=LATEST, help="where to write what was measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
