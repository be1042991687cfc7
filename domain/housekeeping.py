"""Clearing away what has served its time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from domain.ports import Begin

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """The use cases, in small steps and in one process at a time; who finds another at it leaves it at that.

    ``keep`` is how long the log keeps an event, None is for ever; ``artifacts`` how long files of failures are known.
    """

    begin: Begin
    keep: timedelta | None = None
    artifacts: timedelta = timedelta(hours=72)

    async def sweep(self) -> int:
        """Drop up to 1,000 each of old idempotency keys, sessions, counters, artefacts; how many were dropped."""
        async with self.begin(None) as tx:
            if not await tx.upkeep.alone():
                return 0
            files = await tx.jobs.forget_artifacts(self.artifacts, BATCH)
            return files + await tx.keys.forget(BATCH) + await tx.accounts.forget(BATCH)

    async def trim(self) -> int:
        """Drop up to 1,000 of the log's oldest events that have been kept long enough; how many were dropped.

        Deliveries of webhooks that are as old go with them.

        Their order is kept: what goes is the beginning of the log, and only where it is settled. Who follows from a
        place before the new beginning is told to start anew.
        """
        if self.keep is None:
            return 0
        async with self.begin(None) as tx:
            if not await tx.upkeep.alone():
                return 0
            return await tx.upkeep.trim(self.keep, BATCH) + await tx.webhooks.forget(self.keep, BATCH)
