"""The processes below a worker: those that are still there, and the one that starts the browsers."""

from __future__ import annotations

import psutil


def alive(one: psutil.Process) -> bool:
    """Whether a process runs, or at least has not ended."""
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_driver(one: psutil.Process) -> bool:
    """Whether a process is Playwright's driver, whose children are the browsers. One that just ended is none."""
    return _was_started_with(one, "run-driver")


def is_keeper(one: psutil.Process) -> bool:
    """Whether a process is the one that outlives a worker to clear its browsers away."""
    return _was_started_with(one, "automation.browsers.reaping")


def _was_started_with(one: psutil.Process, word: str) -> bool:
    try:
        return word in one.cmdline()
    except psutil.NoSuchProcess:
        return False
