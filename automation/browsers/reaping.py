"""Nothing is left behind: no process and no folder of a worker that ended, however it ended.

A worker has a folder, and holds its lock as long as it lives. Its drivers and browsers keep their temporary files
there, which tells whose they are. Beside the worker runs a keeper (``python -m automation.browsers.reaping FOLDER``),
in its own session: when the line from the worker ends, for whatever reason, it ends what belongs to the folder, and
removes it.
What even a keeper has left is swept by the next worker that starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

from automation.browsers.processes import Process, began_in, kill, process, processes, related

LOCK = "lock"
SESSIONS = "sessions"
PR_SET_CHILD_SUBREAPER = 36
PERSISTENCE = 5.0
"""Seconds that a family is killed for, until nothing of it is left."""


@asynccontextmanager
async def open_folder(parent: Path) -> AsyncIterator[Path]:
    """A folder for this worker's browsers, in a parent of which nobody else writes; those of dead workers go first."""
    folder, held = await asyncio.to_thread(_made, parent)
    _adopt_orphans()
    keeper = subprocess.Popen(  # noqa: S603, ASYNC220  # it starts, and is not waited for
        [sys.executable, "-P", "-m", "automation.browsers.reaping", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield folder
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(keeper.communicate, timeout=PERSISTENCE)
        await asyncio.to_thread(reap, folder)
        os.close(held)


def note(folder: Path, leader: Process) -> None:
    """Note a browser: the rest of its processes overwrite what they were started with, and keep its session."""
    with (folder / SESSIONS).open("a") as file:
        file.write(f"{leader.pid} {leader.started}\n")


def family(folder: Path) -> list[Process]:
    """Every process that belongs to a folder, or to one inside it."""
    seen = list(processes())
    marked = [one.pid for one in seen if began_in(one.pid, folder)]
    return related([*marked, *_noted(folder)], seen)


def bury(folder: Path) -> None:
    """Take notice of the dead of a folder that came to us when their own parent had ended."""
    for one in family(folder):
        if one.dead and one.parent == os.getpid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one.pid, os.WNOHANG)


def reap(folder: Path) -> None:
    """End all processes of a folder, however often they start others, and remove it."""
    deadline = monotonic() + PERSISTENCE
    while (left := [one for one in family(folder) if not one.dead]) and monotonic() < deadline:
        for one in left:
            kill(one)
        sleep(0.02)
    bury(folder)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> int:
    """Reap the folders of workers that live no more; how many there were."""
    swept = 0
    for folder in parent.iterdir():
        if folder.is_dir() and (lock := _lock(folder / LOCK)) is not None:
            reap(folder)
            os.close(lock)
            swept += 1
    return swept


def _made(parent: Path) -> tuple[Path, int]:
    """Sweep, and make a folder; nobody sweeps while it is there but not locked yet."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(parent):
        sweep(parent)
        folder = parent / f"{os.getpid()}-{uuid4().hex[:8]}"
        folder.mkdir(mode=0o700)
        held = _lock(folder / LOCK)
    if held is None:
        raise OSError(f"{folder} cannot be locked")
    return folder, held


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    lock = os.open(parent / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Hold a lock until we end; None if somebody alive holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _noted(folder: Path) -> Iterator[int]:
    """The sessions of a folder's browsers, whose leaders may have died, but not been followed by others."""
    for line in _lines(folder):
        pid, started = map(int, line.split())
        leader = process(pid)
        if leader is None or leader.started == started:
            yield pid


def _lines(folder: Path) -> list[str]:
    """What was noted in a folder and in those inside it, any of which may be removed meanwhile."""
    found = []
    with contextlib.suppress(OSError):
        for inside in (folder, *folder.iterdir()):
            with contextlib.suppress(OSError):
                found += (inside / SESSIONS).read_text().splitlines(keepends=True)
    return [line for line in found if line.endswith("\n")]


def _adopt_orphans() -> None:
    """Whatever our descendants leave behind becomes our child, and so is seen to end (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def keep(folder: Path) -> None:
    """Wait until the worker ends, then reap."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(folder)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
