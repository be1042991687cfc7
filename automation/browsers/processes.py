"""Processes as Linux' ``/proc`` tells of them. Elsewhere there are none to see, and nothing is killed by id.

A process is known by its id *and* when it started: ids are given anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``started`` counts the kernel's ticks since boot, ``state`` is its letter in ``proc(5)``."""

    pid: int
    parent: int
    session: int
    started: int
    state: str

    @property
    def dead(self) -> bool:
        """Whether it only waits for its parent to take notice."""
        return self.state in "ZX"


def process(pid: int) -> Process | None:
    """The process with an id; None if there is none."""
    try:
        told = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = told.rpartition(")")[2].split()  # what is before is its name, in which anything may stand
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0])


def processes() -> Iterator[Process]:
    """Every process that can be seen."""
    if not PROC.is_dir():
        return
    for entry in os.listdir(PROC):
        if entry.isdecimal() and (found := process(int(entry))):
            yield found


def began_in(pid: int, folder: Path) -> bool:
    """Whether a process was told to keep its temporary files in a folder, or in one inside it."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    marks = f"TMPDIR={folder}".encode(), f"TMPDIR={folder}/".encode()
    return any(entry == marks[0] or entry.startswith(marks[1]) for entry in environment.split(b"\0"))


def related(roots: Iterable[int], among: Collection[Process]) -> list[Process]:
    """The processes with these ids, those in sessions they lead, and all descendants of any."""
    found = set(roots)
    grown = True
    while grown:
        more = {p.pid for p in among if p.parent in found or p.session in found} - found
        grown = bool(more)
        found |= more
    return [p for p in among if p.pid in found]


def kill(target: Process) -> None:
    """End exactly this process, at once; nothing if it is gone."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(target.pid)
        try:
            now = process(target.pid)
            if now is not None and now.started == target.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def memory(target: Process) -> int:
    """Bytes that are its own, and its share of what it has in common with others; 0 if it is gone."""
    place = PROC / str(target.pid)
    with contextlib.suppress(OSError):
        for line in (place / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError):  # the sandbox hides the maps of a renderer from whoever is not root
        resident, shared = (int(pages) for pages in (place / "statm").read_text().split()[1:3])
        return (resident - shared) * PAGE
    return 0
