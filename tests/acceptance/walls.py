"""Prefixes of a command that put it up against a wall of the system: a real one, in a room of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.processes import CONSOLE_SCRIPT, missing

_ROOM = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))
"""What is mounted inside is seen by the command and its children alone, and is gone with them."""


def need_a_room() -> None:
    """Skip a test where the system gives nobody a room of their own; in CI it does."""
    made = shutil.which("unshare") and subprocess.run([*_ROOM, "true"], capture_output=True, check=False)
    if not made or made.returncode:
        missing("no file system can be mounted here (unshare --mount)")


def on_a_disk_of(folder: Path, size: str, options: str = "mode=711") -> Sequence[str]:
    """Holdfast with a file system of ``size`` mounted on ``folder``."""
    mount = f'mount -t tmpfs -o size={size},{options} none "$0"'
    return (*_ROOM, "sh", "-c", f'{mount} && exec "$@"', str(folder), *CONSOLE_SCRIPT)


def read_only(folder: Path) -> Sequence[str]:
    """Holdfast with a file system on ``folder`` that nobody may write to."""
    mount = 'mount -t tmpfs none "$0" && mount -o remount,ro "$0"'
    return (*_ROOM, "sh", "-c", f'{mount} && exec "$@"', str(folder), *CONSOLE_SCRIPT)


def without_files() -> Sequence[str]:
    """Holdfast on a machine where nothing can be written but to /dev/shm."""
    return (*_ROOM, "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh", *CONSOLE_SCRIPT)


def without_privileges() -> Sequence[str]:
    """Holdfast for whom permissions hold, whoever runs the tests: root is let through everything otherwise."""
    if os.geteuid() != 0:
        return CONSOLE_SCRIPT
    dropped = "--bounding-set=-dac_override,-dac_read_search"
    return ("setpriv", dropped, "--inh-caps=-dac_override,-dac_read_search", *CONSOLE_SCRIPT)


def seen_by(pid: int, path: Path) -> Path:
    """A path as a process has it, from where we are."""
    return Path(f"/proc/{pid}/root") / path.relative_to("/")
