"""Clearing away what has served its time."""

from __future__ import annotations

from dataclasses import dataclass

from domain.ports import Begin

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """The use case, in small steps."""

    begin: Begin

    async def sweep(self) -> int:
        """Drop up to 1,000 each of old idempotency keys, sessions and counters; how many were dropped."""
        async with self.begin(None) as tx:
            return await tx.keys.forget(BATCH) + await tx.accounts.forget(BATCH)
