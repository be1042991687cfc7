"""What looks on while operations run: the tallies, the log of operations, and the traces."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from holdfast.operation_log import OperationLog, console_line, json_line
from holdfast.operations import Operations
from holdfast.settings import Settings
from holdfast.tracing import Tracing, tracing


@dataclass(frozen=True, slots=True)
class Watch:
    """One process' onlookers; ``close`` hands on what they still hold."""

    operations: Operations
    log: OperationLog | None
    tracing: Tracing | None

    async def close(self) -> None:
        """Write the last lines and send the last spans."""
        if self.log is not None:
            self.log.flush()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def make_watch(settings: Settings) -> Watch:
    """The onlookers that the settings and the environment ask for."""
    told = settings.log_operations and settings.log_level in ("debug", "info")
    log = OperationLog(json_line if settings.logs_json else console_line) if told else None
    return Watch(Operations(log), log, tracing())
