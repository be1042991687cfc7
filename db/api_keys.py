"""Keys of integrators."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from db.engine import Connection
from db.rows import page
from domain.api_keys import ApiKey, KeyOnFile, NewKey
from domain.reads import Key, Page
from domain.scopes import Scope

_COLUMNS = """k.id, k.organization_id, k.account_id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at,
  k.last_used_at, k.revoked_at"""
_ADD = f"""
INSERT INTO api_key AS k (id, organization_id, account_id, name, prefix, hash, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}
"""
_KEY = f"SELECT {_COLUMNS} FROM api_key k WHERE k.id = $1 FOR NO KEY UPDATE"
_REVOKE = f"UPDATE api_key k SET revoked_at = now() WHERE k.id = $1 RETURNING {_COLUMNS}"
_PAGE = f"""
SELECT {_COLUMNS} FROM api_key k WHERE k.organization_id = $1 AND ($3::uuid IS NULL OR k.id < $3)
ORDER BY k.id DESC LIMIT $2
"""
_ON_FILE = f"""
SELECT {_COLUMNS}, k.hash, coalesce(m.role IN ('STAFF', 'ADMIN'), false) AS held
FROM api_key k LEFT JOIN membership m ON (m.account_id, m.organization_id) = (k.account_id, k.organization_id)
WHERE k.prefix = $1
"""
_NOTE_USES = "UPDATE api_key SET last_used_at = now() WHERE id = ANY ($1::uuid[])"


class ApiKeys:
    """The port over ``api_key``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, new: NewKey) -> ApiKey:
        """Write a new key; as it was written."""
        row = await self._connection.fetchrow(
            _ADD,
            new.id,
            new.organization_id,
            new.account_id,
            new.name,
            new.prefix,
            new.hash,
            [scope.value for scope in new.scopes],
            new.expires_at,
        )
        return _key(row)

    async def key(self, key_id: UUID) -> ApiKey | None:
        """A key that the caller may see, locked."""
        row = await self._connection.fetchrow(_KEY, key_id)
        return _key(row) if row else None

    async def revoke(self, key_id: UUID) -> ApiKey:
        """End a key."""
        return _key(await self._connection.fetchrow(_REVOKE, key_id))

    async def page(self, organization_id: UUID, first: int, after: Key | None) -> Page[ApiKey]:
        """An organization's keys, the newest first."""
        found = await self._connection.fetch(_PAGE, organization_id, first + 1, *(after or (None,)))
        return page(found, first, _key, lambda row: (row["id"],))

    async def on_file(self, prefix: str) -> KeyOnFile | None:
        """The key with a prefix."""
        row = await self._connection.fetchrow(_ON_FILE, prefix)
        return KeyOnFile(_key(row), row["hash"], row["held"]) if row else None

    async def note_uses(self, key_ids: Collection[UUID]) -> None:
        """Write down that these keys were used just now."""
        await self._connection.execute(_NOTE_USES, list(key_ids))


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        organization_id=row["organization_id"],
        account_id=row["account_id"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=[Scope(scope) for scope in row["scopes"]],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
