"""Work for a process of its own, so that a load client neither waits for us nor is waited for."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def apart(work: Callable[[Job], Outcome], job: Job) -> Outcome:
    """Do it there. Raises RuntimeError where it fails; what it says then is on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=pickle.dumps((work, job)),
        stdout=subprocess.PIPE,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    if done.returncode:
        raise RuntimeError(f"{work.__module__} failed, see above")
    outcome: Outcome = pickle.loads(done.stdout)
    return outcome


if __name__ == "__main__":
    work, job = pickle.load(sys.stdin.buffer)
    pickle.dump(work(job), sys.stdout.buffer)
