"""The postmaster of one cluster, as its ``postmaster.pid`` and the kernel tell of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.postgres_binaries import PostgresFailed

_PID, _SOCKET_FOLDER, _STATUS = 0, 4, 7
"""Lines of postmaster.pid (PostgreSQL's source, miscadmin.h)."""


@dataclass(frozen=True)
class Postmaster:
    """The server process of the cluster in ``cluster``, whoever started it."""

    cluster: Path

    def running(self) -> bool:
        """Whether a living postmaster serves this very folder, not just any process with its old number."""
        pid = self._pid()
        return pid is not None and _serves(pid, self.cluster.resolve())

    def socket_folder(self) -> Path:
        """Return the folder of the socket that the running server listens on."""
        return Path(self._line(_SOCKET_FOLDER))

    def ready(self) -> bool:
        """Whether the server takes connections."""
        return self._line(_STATUS) == "ready" and self.running()

    def wait_until_ready(self, seconds: float) -> None:
        """Wait for recovery to end, raising PostgresFailed after ``seconds``."""
        wait_for(self.ready, seconds, f"PostgreSQL is still starting on {self.cluster}; its log is in there")

    def clear_stale(self) -> None:
        """Remove the number of a postmaster that is gone: PostgreSQL would believe in it if it were in use.

        Backends that outlived it still bar a second server: PostgreSQL looks for their shared memory itself.
        """
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def wait_for_launch(self, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
        """Wait until ``process`` serves the cluster; if it ends, raise PostgresFailed with its words."""
        wait_for(
            lambda: process.poll() is not None or self.ready(),
            seconds,
            f"PostgreSQL is still starting on {self.cluster}; its log is in there",
        )
        if process.returncode is not None:
            words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise PostgresFailed(f"PostgreSQL did not start: {' '.join(words[-3:])}")
        process.returncode = 0  # it is to outlive us: Popen would warn that nobody waited for it

    def stop(self, seconds: float) -> None:
        """End the server and its sessions; what takes longer than ``seconds`` is left to crash recovery."""
        pid = self._pid()
        if pid is None:
            return
        for order in (signal.SIGINT, signal.SIGQUIT):  # fast shutdown, immediate shutdown
            with suppress(ProcessLookupError):
                os.kill(pid, order)
            with suppress(PostgresFailed):
                wait_for(lambda: _gone(pid, self.cluster.resolve()), seconds, "")
                return
        raise PostgresFailed(f"PostgreSQL (process {pid}) does not end")

    def _pid(self) -> int | None:
        pid = self._line(_PID)
        return int(pid) if pid.isdigit() else None

    def _line(self, number: int) -> str:
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[number].strip() if len(lines) > number else ""


def wait_for(happened: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Look every 10 ms until something happened, raising PostgresFailed(``otherwise``) after ``seconds``."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise PostgresFailed(otherwise)
        time.sleep(0.01)


def _gone(pid: int, cluster: Path) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours to reap if we started it
    return not _serves(pid, cluster)


def _serves(pid: int, cluster: Path) -> bool:
    """Whether process ``pid`` is a postgres working in ``cluster`` (a postmaster changes into its folder)."""
    if Path("/proc/self").exists():
        process = Path("/proc") / str(pid)
        try:
            program = (process / "exe").readlink().name
            return program.startswith("postgres") and (process / "cwd").readlink() == cluster
        except OSError:
            return False
    told = subprocess.run(  # noqa: S603 - our own argument list, no shell
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in told.stdout and str(cluster) in told.stdout
