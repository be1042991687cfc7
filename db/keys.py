"""Idempotency keys."""

from __future__ import annotations

from db.engine import Connection
from domain.idempotency import UsedKey

_CLAIM = "SELECT operation, fingerprint, outcome FROM claim_key($1, $2)"
_FORGET = """
DELETE FROM idempotency_key WHERE (scope, key) IN (
  SELECT scope, key FROM idempotency_key WHERE created_at < now() - interval '24 hours' LIMIT $1
  FOR UPDATE SKIP LOCKED
) RETURNING true
"""


class Keys:
    """The port over ``idempotency_key``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.settled: list[tuple[bytes, str, UsedKey]] = []

    async def claim(self, scope: bytes, key: str) -> UsedKey | None:
        """Take the key for this transaction, waiting for another that has it; the earlier use if there is one."""
        row = await self._connection.fetchrow(_CLAIM, scope, key)
        return UsedKey(row["operation"], row["fingerprint"], row["outcome"]) if row else None

    def settle(self, scope: bytes, key: str, use: UsedKey) -> None:
        """Write down, with the transaction, what the claimed key was used for and what it led to."""
        self.settled.append((scope, key, use))

    async def forget(self, limit: int) -> int:
        """Drop up to ``limit`` keys older than 24 hours."""
        return len(await self._connection.fetch(_FORGET, limit))
