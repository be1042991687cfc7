"""The CPU that other processes have used."""

from __future__ import annotations

import sys
import time

import psutil

_SCHEDULER = 2


def used(pid: int) -> float:
    """Seconds of CPU of a process and all its threads, user and system. Raises OSError or psutil.NoSuchProcess.

    On Linux by the scheduler's own count, in nanoseconds: /proc tells hundredths of a second. The number of a
    process' clock is made as clock_getcpuclockid(3) makes it.
    """
    if sys.platform == "linux":
        return time.clock_gettime(~pid << 3 | _SCHEDULER)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def used_by_family(pid: int) -> float:
    """The same with its descendants."""
    return used(pid) + sum(used(child.pid) for child in psutil.Process(pid).children(recursive=True))
