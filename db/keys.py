"""Idempotency keys."""

from __future__ import annotations

from db.engine import Connection
from domain.ports import UsedKey

# A lock that is no row: a row written here would give the transaction its number before it has the schedule's lock,
# and the log, which is in the order of those numbers, would have a schedule's second step before its first.
_CLAIM = """
SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex') || $2, 1)),
  set_config('holdfast.scopes', encode($1, 'hex'), true)
"""
_USED = """
SELECT operation, fingerprint, outcome FROM idempotency_key
WHERE scope = $1 AND key = $2 AND created_at >= now() - interval '24 hours'
"""
_SETTLE = """
INSERT INTO idempotency_key (scope, key, operation, fingerprint, outcome) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, key) DO UPDATE SET operation = excluded.operation, fingerprint = excluded.fingerprint,
  outcome = excluded.outcome, created_at = now()
"""
_FORGET = """
DELETE FROM idempotency_key WHERE (scope, key) IN (
  SELECT scope, key FROM idempotency_key WHERE created_at < now() - interval '24 hours' LIMIT $1
) RETURNING true
"""


class Keys:
    """The port over ``idempotency_key``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, scope: bytes, key: str) -> UsedKey | None:
        """Take the key for this transaction, waiting for another that has it; the earlier use if there is one."""
        await self._connection.execute(_CLAIM, scope, key)
        row = await self._connection.fetchrow(_USED, scope, key)
        return UsedKey(row["operation"], row["fingerprint"], row["outcome"]) if row else None

    async def settle(self, scope: bytes, key: str, use: UsedKey) -> None:
        """Write down what the claimed key was used for, and what it led to."""
        await self._connection.execute(_SETTLE, scope, key, use.operation, use.fingerprint, use.outcome)

    async def forget(self, limit: int) -> int:
        """Drop up to ``limit`` keys older than 24 hours."""
        return len(await self._connection.fetch(_FORGET, limit))
