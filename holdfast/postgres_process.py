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
        pid = self.pid()
        return pid is not None and _serves(pid, self.cluster)

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
        """Forget a process number that something else has now: PostgreSQL would take it for a living server.

        Backends that outlived their postmaster still bar a second one: PostgreSQL finds their shared memory.
        """
        pid = self.pid()
        if pid is not None and _gone(pid, self.cluster) and _alive(pid):
            (self.cluster / "postmaster.pid").unlink()

    def comes_up(self, process: subprocess.Popen[bytes], start_log: Path, seconds: float) -> bool:
        """Wait until ``process`` serves the cluster; False if backends of a killed server still bar it.

        Raises:
            PostgresFailed: it ended, in its own words, or takes longer than ``seconds``.

        """
        wait_for(
            lambda: process.poll() is not None or self.ready(),
            seconds,
            f"PostgreSQL is still starting on {self.cluster}; its log is in there",
        )
        if process.returncode is None:
            process.returncode = 0  # it is to outlive us: Popen would warn that nobody waited for it
            return True
        words = self._last_words(start_log)
        if "shared memory block" in words:
            return False
        raise PostgresFailed(f"PostgreSQL did not start: {words}")

    def stop(self, seconds: float) -> None:
        """End the server and its sessions; what takes longer than ``seconds`` is left to crash recovery."""
        pid = self.pid()
        if pid is None:
            return
        fast, immediate = signal.SIGINT, signal.SIGQUIT
        for order, patience in ((fast, seconds), (immediate, 0.5), (signal.SIGKILL, 0.5)):
            with suppress(ProcessLookupError):
                os.kill(pid, order)
            with suppress(PostgresFailed):
                wait_for(lambda: _gone(pid, self.cluster), patience, "")
                return
        raise PostgresFailed(f"PostgreSQL (process {pid}) does not end")

    def pid(self) -> int | None:
        """Return the process id that the cluster's last server wrote down, None after an orderly stop."""
        pid = self._line(_PID)
        return int(pid) if pid.isdigit() else None

    def _last_words(self, start_log: Path) -> str:
        """Return what the server gave as the cause of its end."""
        text = start_log.read_text(errors="replace")
        if "redirecting log output" in text:  # from then on it wrote to its own log
            newest = max((self.cluster / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
            text = newest.read_text(errors="replace")
        lines = text.splitlines()
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return fatal[-1] if fatal else " ".join(lines)

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


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
            return program.startswith("postgres") and (process / "cwd").readlink() == cluster.resolve()
        except OSError:
            return False
    told = subprocess.run(  # noqa: S603 - our own argument list, no shell
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in told.stdout and str(cluster) in told.stdout
