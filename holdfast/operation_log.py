"""A line of the log for each operation.

A line through structlog costs tens of microseconds, a third of what a small operation does. These hold nothing that
would have to be withheld: labels and codes of ours, figures, and the request id. So they are put together at once and
written a tenth of a second's worth at a time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

PAUSE = 0.1
MOST = 500
"""Lines that are written at once, before the pause is over."""

Write = Callable[[str], object]
Line = Callable[[str, str, str, float | None, str], str]


class OperationLog:
    """Collects lines, and writes them soon; ``flush`` at the end.

    ``line`` gives an operation its form, ``json_line`` or ``console_line``; ``write`` takes whole lines as text.
    """

    def __init__(self, line: Line, write: Write | None = None) -> None:
        self._line = line
        self._write = write or _to_stderr
        self._lines: list[str] = []
        self._due: asyncio.TimerHandle | None = None

    def tell(self, label: str, kind: str, outcome: str, seconds: float | None, request_id: str) -> None:
        """One operation has ended; where it goes on for long, without ``seconds``, it has begun."""
        self._lines.append(self._line(label, kind, outcome, seconds, request_id))
        if len(self._lines) >= MOST:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(PAUSE, self.flush)

    def flush(self) -> None:
        """Write what there is."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        lines, self._lines = self._lines, []
        if lines:
            self._write("".join(lines))


def json_line(label: str, kind: str, outcome: str, seconds: float | None, request_id: str) -> str:
    """The line as ``holdfast.logs`` would make it for a machine."""
    line: dict[str, object] = {
        "operation": label,
        "kind": kind,
        "outcome": outcome,
        "request_id": request_id,
        "event": "operation",
        "level": "info",
        "logger": "holdfast.operations",
        "timestamp": datetime.now(UTC),
    }
    if seconds is not None:
        line["duration_ms"] = round(seconds * 1000, 2)
    return orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE).decode()


def console_line(label: str, kind: str, outcome: str, seconds: float | None, request_id: str) -> str:
    """The line for somebody who looks on."""
    took = "" if seconds is None else f" in {seconds * 1000:.1f} ms"
    now = datetime.now(UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06}Z [info     ] {kind} {label}: {outcome}{took} [{request_id}]\n"


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
