"""Idempotency keys: what a caller's key was used for, and the port that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UsedKey:
    """An idempotency key that was used before: by which operation, with which input, to what end."""

    operation: str
    fingerprint: bytes
    outcome: Mapping[str, object]


class IdempotencyKeys(Protocol):
    """Keys a caller gave, kept 24 hours."""

    async def claim(self, scope: bytes, key: str) -> UsedKey | None:
        """Take a key for this transaction, waiting for another that has it; the earlier use if there is one."""

    def settle(self, scope: bytes, key: str, use: UsedKey) -> None:
        """Write down, with this transaction, what the claimed key was used for and what it led to."""

    async def forget(self, limit: int) -> int:
        """Drop up to ``limit`` keys older than 24 hours; how many were dropped."""
