"""Sessions: how long they last, when a refresh token counts, which have ended, who stands behind a token."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Protocol
from uuid import UUID

from domain.errors import Unauthenticated
from domain.viewer import Viewer

CLOCKS_APART = timedelta(minutes=1)
"""How far our machines' clocks may be apart without the token of an ended session passing."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Lives of an access token, a session not used, and any session; how long a refresh may be repeated."""

    access: timedelta = timedelta(minutes=30)
    idle: timedelta = timedelta(days=30)
    longest: timedelta = timedelta(days=90)
    grace: timedelta = timedelta(seconds=30)


class Use(Enum):
    """What a refresh token that is shown leads to."""

    ROTATE = auto()
    REUSE = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A refresh token of ours that somebody shows, and its session as it is under its lock at ``now`` (UTC).

    ``used_at`` is when it was first exchanged or became void; ``heir_unused`` says that what it was last
    exchanged for has not been used yet.
    """

    session_id: UUID
    account_id: UUID
    created_at: datetime
    expires_at: datetime
    ended: bool
    used_at: datetime | None
    heir_unused: bool
    now: datetime

    def use(self, limits: SessionLimits) -> Use:
        """Exchange it, end its family, or turn it away.

        The answer to a refresh may get lost, so the token last exchanged is exchanged again while the new one
        is unused, which becomes void. Whoever shows a void or an older token has a copy (RFC 9700, 4.14.2).
        """
        if self.ended or self.expires_at <= self.now:
            return Use.OVER
        if self.used_at is None or (self.heir_unused and self.now - self.used_at <= limits.grace):
            return Use.ROTATE
        return Use.REUSE

    def prolonged(self, limits: SessionLimits) -> datetime:
        """The session's new end."""
        return min(self.now + limits.idle, self.created_at + limits.longest)


def new_refresh_token() -> str:
    """256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored in place of a refresh token: its SHA-256, enough for what nobody can guess."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed access token and its end (UTC)."""

    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says: whose, of which session, until when (UTC)."""

    user_id: UUID
    session_id: UUID
    expires_at: datetime


class AccessTokens(Protocol):
    """Signs access tokens and checks them, without asking the database."""

    def sign(self, user_id: UUID, session_id: UUID, life: timedelta) -> AccessToken:
        """A fresh access token for ``life`` from now."""

    def verify(self, text: str) -> Claims:
        """What the token says. Raises Unauthenticated if it is malformed, forged or has run out."""


class EndedSessions:
    """Sessions, and keys, that ended while a token of theirs may be good yet; one object a process, on its loop."""

    def __init__(self, access: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self.kept_for = access + CLOCKS_APART
        self._clock = clock
        self._ended: dict[UUID, float] = {}
        self._watchers: defaultdict[UUID, list[Callable[[], None]]] = defaultdict(list)

    def __contains__(self, session_id: UUID) -> bool:
        return session_id in self._ended

    def __len__(self) -> int:
        return len(self._ended)

    def note(self, session_id: UUID) -> None:
        """Take in that a session has ended and tell who watches it; to hear it again changes nothing."""
        if session_id not in self._ended:
            self._forget_old()
            self._ended[session_id] = self._clock()
        for told in self._watchers.pop(session_id, []):
            told()

    def watch(self, session_id: UUID, ended: Callable[[], None]) -> Callable[[], None]:
        """Call ``ended`` once when the session ends, soon if it has; return what stops it."""
        if session_id in self._ended:
            return asyncio.get_running_loop().call_soon(ended).cancel
        told = partial(ended)  # one object a watcher, so that each takes back its own
        self._watchers[session_id].append(told)
        return partial(self._unwatch, session_id, told)

    def _unwatch(self, session_id: UUID, told: Callable[[], None]) -> None:
        watchers = self._watchers.get(session_id, [])
        if told in watchers:
            watchers.remove(told)
            if not watchers:
                del self._watchers[session_id]

    def _forget_old(self) -> None:
        horizon = self._clock() - self.kept_for.total_seconds()
        for session_id, noted in list(self._ended.items()):
            if noted > horizon:
                break
            del self._ended[session_id]


class Keys(Protocol):
    """Knows the keys of integrators, which stand wherever an access token does."""

    def recognises(self, text: str) -> bool:
        """Whether a text has the form of a key and not of an access token."""

    async def bearer(self, text: str, address: str, request_id: str) -> Viewer:
        """The caller who shows a key. Raises Unauthenticated."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """Tells who asks, by an Authorization value (RFC 9110, 11.6.2) or the lack of one."""

    tokens: AccessTokens
    ended: EndedSessions
    keys: Keys

    async def __call__(self, authorization: str | None, address: str, request_id: str) -> Viewer:
        """The caller; a guest without Authorization. Raises Unauthenticated, saying what to do."""
        if authorization is None:
            return Viewer(address, request_id)
        text = _bearer(authorization)
        if self.keys.recognises(text):
            return await self.keys.bearer(text, address, request_id)
        claims = self.tokens.verify(text)
        if claims.session_id in self.ended:
            raise Unauthenticated("This session has ended; sign in again.")
        return Viewer(address, request_id, claims.user_id, claims.session_id, claims.expires_at)


def _bearer(authorization: str) -> str:
    """The token of a Bearer credential (RFC 6750, 2.1; the scheme's name in any case)."""
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "Send `Authorization: Bearer <access token or API key>`, or nothing to come as a guest."
        )
    return token.strip()
