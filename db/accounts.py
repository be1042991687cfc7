"""People, their memberships and sessions, and the counters of tries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db import rows
from db.engine import Connection
from domain.access import Membership, Role
from domain.accounts import Credential, EndedSession, EndReason, User
from domain.contact import Contact
from domain.sessions import ShownToken
from domain.throttle import Counter

# A counter that is blocked gives no row and stays as it is. $2 free failures, $3 the longest block, $4 quiet;
# the block is domain.throttle.Backoff.block in SQL.
_COUNT_TRY = """
INSERT INTO login_throttle AS t (key, failures, last_failure, blocked_until) VALUES ($1, 1, now(), '-infinity')
ON CONFLICT (key) DO UPDATE SET (failures, last_failure, blocked_until) = (
  SELECT n, now(), CASE WHEN n <= $2::integer THEN '-infinity'
    ELSE now() + least($3::interval, make_interval(secs => power(2, least(n - $2 - 1, 20)))) END
  FROM (SELECT CASE WHEN t.last_failure < now() - $4::interval THEN 1 ELSE t.failures + 1 END) AS tried (n)
)
WHERE t.blocked_until <= now()
RETURNING true
"""
_STILL_BLOCKED = (
    "SELECT greatest(blocked_until - now(), interval '1 second') FROM login_throttle WHERE key = $1"
)
_CLEAR_TRIES = "DELETE FROM login_throttle WHERE key = $1"
_TAKE_BACK_TRY = """
UPDATE login_throttle SET failures = failures - 1, blocked_until = '-infinity'
WHERE key = $1 AND failures > 0
"""

_ADD = """
INSERT INTO account (id, email, name, phone, password_hash) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (email_key) DO NOTHING RETURNING *
"""
_BY_EMAIL = "SELECT * FROM account_of_address($1)"
_BY_ID = "SELECT * FROM account WHERE id = $1"
_BY_ID_LOCKED = "SELECT * FROM account WHERE id = $1 FOR NO KEY UPDATE"
_SET_PASSWORD = "UPDATE account SET password_hash = $2 WHERE id = $1"  # noqa: S105 - a statement
_CONTACT = "SELECT name, email, phone FROM account WHERE id = $1"
_MEMBERSHIPS = """
SELECT o.*, m.role FROM membership m JOIN organization o ON o.id = m.organization_id
WHERE m.account_id = $1 ORDER BY o.name, o.id
"""
_JOIN = """
INSERT INTO membership (account_id, organization_id, role) VALUES ($1, $2, $3)
ON CONFLICT (account_id, organization_id) DO UPDATE SET role = excluded.role
"""
_ROLE = "SELECT role FROM membership WHERE account_id = $1 AND organization_id = $2"

_OPEN_SESSION = "INSERT INTO session (id, account_id, expires_at) VALUES ($1, $2, now() + $3::interval)"
_FIRST_TOKEN = "INSERT INTO refresh_token (hash, session_id) VALUES ($1, $2)"  # noqa: S105 - a statement
# First the lock, then a look: what one statement reads of the tokens is older than the lock it waited for.
_LOCK_SESSION_OF = """
SELECT FROM session WHERE id = (SELECT session_id FROM refresh_token WHERE hash = $1) FOR NO KEY UPDATE
"""
_SHOW = """
SELECT t.session_id, s.account_id, s.created_at, s.expires_at, s.ended_at IS NOT NULL AS ended, t.used_at,
  EXISTS (SELECT FROM refresh_token heir WHERE heir.session_id = t.session_id AND heir.parent = t.hash
          AND heir.used_at IS NULL) AS heir_unused,
  clock_timestamp() AS now
FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.hash = $1
"""
_ROTATE = """
WITH void AS (UPDATE refresh_token SET used_at = $4 WHERE session_id = $1 AND used_at IS NULL),
     prolonged AS (UPDATE session SET expires_at = $5 WHERE id = $1)
INSERT INTO refresh_token (hash, session_id, parent, issued_at) VALUES ($3, $1, $2, $4)
"""
_SESSION_OF = "SELECT * FROM session_of_token($1)"
_END = """
UPDATE session SET ended_at = clock_timestamp(), ended_reason = $2
WHERE id IN (SELECT id FROM session WHERE {which} AND ended_at IS NULL ORDER BY id FOR NO KEY UPDATE)
RETURNING id, account_id, ended_at AS at
"""
_END_SESSION = _END.format(which="id = $1")
_END_SESSIONS = _END.format(which="account_id = $1")
_ENDED_WITHIN = "SELECT id FROM session WHERE ended_at > now() - $1::interval ORDER BY ended_at"
_FORGET_SESSIONS = """
DELETE FROM session WHERE id IN (
  SELECT id FROM session WHERE least(ended_at, expires_at) < now() - interval '1 day'
  LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING true
"""
_FORGET_TRIES = """
DELETE FROM login_throttle WHERE key IN (
  SELECT key FROM login_throttle WHERE last_failure < now() - interval '1 day'
  LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING true
"""


class Accounts:
    """The port over a connection in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def count_try(self, counter: Counter) -> timedelta | None:
        """Count a try in one statement, or say how long the counter is blocked still."""
        backoff = counter.backoff
        counted = await self._connection.fetchval(
            _COUNT_TRY, counter.key, backoff.free, backoff.longest, backoff.quiet
        )
        if counted:
            return None
        blocked: timedelta = await self._connection.fetchval(_STILL_BLOCKED, counter.key)
        return blocked

    async def clear_tries(self, counter: Counter) -> None:
        """Begin anew."""
        await self._connection.execute(_CLEAR_TRIES, counter.key)

    async def take_back_try(self, counter: Counter) -> None:
        """Uncount one try."""
        await self._connection.execute(_TAKE_BACK_TRY, counter.key)

    async def add(
        self, account_id: UUID, email: str, name: str | None, phone: str | None, password_hash: str
    ) -> User | None:
        """Write a new account; None if the address is taken."""
        row = await self._connection.fetchrow(_ADD, account_id, email, name, phone, password_hash)
        return _user(row) if row else None

    async def credential(self, email: str) -> Credential | None:
        """The account of an address in any case."""
        return _credential(await self._connection.fetchrow(_BY_EMAIL, email))

    async def credential_of(self, account_id: UUID, *, lock: bool = False) -> Credential | None:
        """An account by its id."""
        statement = _BY_ID_LOCKED if lock else _BY_ID
        return _credential(await self._connection.fetchrow(statement, account_id))

    async def set_password(self, account_id: UUID, password_hash: str) -> None:
        """Replace the password's hash."""
        await self._connection.execute(_SET_PASSWORD, account_id, password_hash)

    async def user(self, account_id: UUID) -> User | None:
        """An account by its id."""
        row = await self._connection.fetchrow(_BY_ID, account_id)
        return _user(row) if row else None

    async def contact(self, account_id: UUID) -> Contact:
        """How to reach somebody; nothing of an account that is no more."""
        row = await self._connection.fetchrow(_CONTACT, account_id)
        return Contact(**row) if row else Contact()

    async def memberships(self, account_id: UUID) -> Sequence[Membership]:
        """Where a person may do what, by the organization's name."""
        found = await self._connection.fetch(_MEMBERSHIPS, account_id)
        return [Membership(rows.organization(row), Role(row["role"])) for row in found]

    async def role(self, account_id: UUID, organization_id: UUID) -> Role | None:
        """A person's role in one organization."""
        role = await self._connection.fetchval(_ROLE, account_id, organization_id)
        return Role(role) if role else None

    async def join(self, account_id: UUID, organization_id: UUID, role: Role) -> None:
        """Give a person a role in an organization."""
        await self._connection.execute(_JOIN, account_id, organization_id, role.value)

    async def open_session(
        self, session_id: UUID, account_id: UUID, refresh_hash: bytes, life: timedelta
    ) -> None:
        """Write a session with its first refresh token."""
        await self._connection.execute(_OPEN_SESSION, session_id, account_id, life)
        await self._connection.execute(_FIRST_TOKEN, refresh_hash, session_id)

    async def show(self, refresh_hash: bytes) -> ShownToken | None:
        """A refresh token, its session locked."""
        await self._connection.execute(_LOCK_SESSION_OF, refresh_hash)
        row = await self._connection.fetchrow(_SHOW, refresh_hash)
        return ShownToken(**row) if row else None

    async def rotate(self, shown: ShownToken, refresh_hash: bytes, heir: bytes, expires_at: datetime) -> None:
        """Make every unused token of the session void, add an heir, move the session's end."""
        await self._connection.execute(_ROTATE, shown.session_id, refresh_hash, heir, shown.now, expires_at)

    async def session_of(self, refresh_hash: bytes) -> tuple[UUID, UUID] | None:
        """The ids of the session and the account behind a refresh token."""
        row: Any = await self._connection.fetchrow(_SESSION_OF, refresh_hash)
        return (row["id"], row["account_id"]) if row["id"] else None

    async def end_session(self, session_id: UUID, reason: EndReason) -> Sequence[EndedSession]:
        """End one session, unless it has ended."""
        return await self._end(_END_SESSION, session_id, reason)

    async def end_sessions(self, account_id: UUID, reason: EndReason) -> Sequence[EndedSession]:
        """End all sessions of an account."""
        return await self._end(_END_SESSIONS, account_id, reason)

    async def ended_within(self, span: timedelta) -> Sequence[UUID]:
        """The sessions that were ended in the last ``span``."""
        return [row["id"] for row in await self._connection.fetch(_ENDED_WITHIN, span)]

    async def forget(self, limit: int) -> int:
        """Drop sessions a day after their end, and counters quiet for a day."""
        sessions = await self._connection.fetch(_FORGET_SESSIONS, limit)
        return len(sessions) + len(await self._connection.fetch(_FORGET_TRIES, limit))

    async def _end(self, statement: str, id: UUID, reason: EndReason) -> Sequence[EndedSession]:
        found = await self._connection.fetch(statement, id, reason.value)
        return [EndedSession(**row) for row in found]


def _user(row: Any) -> User:
    return User(row["id"], row["email"], row["name"], row["phone"], row["created_at"])


def _credential(row: Any) -> Credential | None:
    return Credential(_user(row), row["password_hash"]) if row else None
