"""Everything about who somebody is, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from db.feed import Feed
from db.unit_of_work import Database
from domain.accounts import Accounts
from domain.api_keys import REVOKED, KnownKeys
from domain.events import LoggedEvent, Stream
from domain.sessions import Authentication, EndedSessions, SessionLimits
from domain.throttle import Throttle
from holdfast.keys import signing_keys
from holdfast.passwords import Argon2
from holdfast.settings import Settings
from holdfast.tokens import JwtAccessTokens, KeyRing

ISSUER = "holdfast"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process' parts of it; ``hasher`` is to be closed."""

    accounts: Accounts
    authenticate: Authentication
    ended: EndedSessions
    hasher: Argon2
    ring: KeyRing
    keys: KnownKeys

    def jwks(self) -> Mapping[str, object]:
        """The public keys of access tokens."""
        return self.ring.jwks()


async def wire_identity(settings: Settings, database: Database, feed: Feed, secret: bytes) -> Identity:
    """Put it together, and learn which sessions ended lately; the feed tells of those that end from now on."""
    limits = SessionLimits(
        access=timedelta(minutes=settings.access_token_minutes),
        idle=timedelta(days=settings.refresh_token_days),
    )
    ring = KeyRing(lambda: signing_keys(settings))
    tokens, ended, hasher = JwtAccessTokens(ring, ISSUER), EndedSessions(limits.access), Argon2()
    accounts = Accounts(database.begin, hasher, tokens, ended, Throttle(secret), limits)

    def hear_of_key(event: LoggedEvent) -> None:
        if event.type == REVOKED:
            ended.note(event.stream_id)

    feed.tap(Stream.SESSION, lambda event: ended.note(event.stream_id))
    feed.tap(Stream.API_KEY, hear_of_key)
    await accounts.recall_ended()
    keys = KnownKeys(database.begin, ended)
    return Identity(accounts, Authentication(tokens, ended, keys), ended, hasher, ring, keys)
