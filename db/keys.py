"""Idempotency keys."""

from __future__ import annotations

from collections.abc import Mapping

from db.engine import Connection
from domain.ports import UsedKey

_CLAIM = """
INSERT INTO idempotency_key AS used (scope, key, operation, fingerprint) VALUES ($1, $2, $3, $4)
ON CONFLICT (scope, key) DO UPDATE
  SET operation = excluded.operation, fingerprint = excluded.fingerprint, outcome = NULL, created_at = now()
  WHERE used.created_at < now() - interval '24 hours'
RETURNING true
"""
_USED = "SELECT operation, fingerprint, outcome FROM idempotency_key WHERE scope = $1 AND key = $2"
_SETTLE = "UPDATE idempotency_key SET outcome = $3 WHERE scope = $1 AND key = $2"
_FORGET = """
DELETE FROM idempotency_key WHERE (scope, key) IN (
  SELECT scope, key FROM idempotency_key WHERE created_at < now() - interval '24 hours' LIMIT $1
) RETURNING true
"""


class Keys:
    """The port over ``idempotency_key``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, scope: bytes, key: str, operation: str, fingerprint: bytes) -> UsedKey | None:
        """Take the key, waiting for a transaction that has it; the earlier use if there is one."""
        if await self._connection.fetchval(_CLAIM, scope, key, operation, fingerprint):
            return None
        row = await self._connection.fetchrow(_USED, scope, key)
        assert row is not None  # noqa: S101 - the conflict showed it, and keys are dropped only when a day old
        return UsedKey(row["operation"], row["fingerprint"], row["outcome"])

    async def settle(self, scope: bytes, key: str, outcome: Mapping[str, object]) -> None:
        """Write down what the claimed key led to."""
        await self._connection.execute(_SETTLE, scope, key, outcome)

    async def forget(self, limit: int) -> int:
        """Drop up to ``limit`` keys older than 24 hours."""
        return len(await self._connection.fetch(_FORGET, limit))
