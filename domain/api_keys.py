"""Keys that programs of integrators sign in with: ``hf_<prefix>_<secret>``, shown once, kept as a hash.

A key acts as the account that made it, within its scopes, and as staff in its organization alone. It ends when it is
revoked, when it runs out, and when its creator is no staff there any more.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.access import must_be_staff
from domain.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from domain.events import Event, Stream
from domain.ids import new_id
from domain.reads import Key as PageKey
from domain.reads import Page
from domain.scopes import Grant, Scope
from domain.sessions import EndedSessions, token_hash
from domain.single_flight import SingleFlight
from domain.text import checked_text
from domain.viewer import Viewer

if TYPE_CHECKING:
    from domain.once import Once
    from domain.ports import Begin, Transaction

MARK = "hf_"
CREATED, REVOKED = "api_key.created", "api_key.revoked"
FRESH = timedelta(seconds=5)
"""How old what we know of a key may be. It must be shorter than ended sessions are remembered."""
REMEMBERED = 10_000
NOTED_EVERY = timedelta(minutes=1)

_FORM = re.compile(rf"{MARK}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_REFUSED = "This is no key of ours, or it has ended."


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. All times UTC; ``last_used_at`` may lag a minute behind."""

    id: UUID
    organization_id: UUID
    account_id: UUID
    name: str
    prefix: str
    scopes: Sequence[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is about to be written; ``hash`` is the SHA-256 of its secret."""

    id: UUID
    organization_id: UUID
    account_id: UUID
    name: str
    prefix: str
    hash: bytes = field(repr=False)
    scopes: Sequence[Scope]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key that was made; ``text`` is what its bearer sends, None where the same request was answered before."""

    key: ApiKey
    text: str | None = field(repr=False)

    @property
    def id(self) -> UUID:
        """The key's id."""
        return self.key.id


@dataclass(frozen=True, slots=True)
class KeyOnFile:
    """What a key that is shown is judged by; ``held`` says whether its creator is still staff."""

    key: ApiKey
    hash: bytes = field(repr=False)
    held: bool


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What somebody asks for who makes a key."""

    organization_id: UUID | None
    name: str
    scopes: Collection[Scope]
    expires_at: datetime | None = None


class ApiKeyStore(Protocol):
    """Keys in the database."""

    async def add(self, new: NewKey) -> ApiKey:
        """Write a new key; as it was written."""

    async def key(self, key_id: UUID) -> ApiKey | None:
        """A key that the caller may see, locked until the transaction ends."""

    async def revoke(self, key_id: UUID) -> ApiKey:
        """End a key that is locked and not revoked."""

    async def page(self, organization_id: UUID, first: int, after: PageKey | None) -> Page[ApiKey]:
        """An organization's keys, the newest first."""

    async def on_file(self, prefix: str) -> KeyOnFile | None:
        """The key with a prefix, revoked ones too."""

    async def note_uses(self, key_ids: Collection[UUID]) -> None:
        """Write down that these keys were used just now."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The use cases; staff and admins of the organization alone."""

    begin: Begin
    once: Once
    ended: EndedSessions

    async def create(self, viewer: Viewer, wish: KeyWish, idempotency_key: str | None = None) -> CreatedKey:
        """Make a key. Raises InvalidInput, NotFound, IdempotencyMismatch, Unauthenticated, Forbidden."""
        name, scopes, expires_at = (
            checked_text(wish.name, ("name",)),
            _scopes(wish.scopes),
            _end(wish.expires_at),
        )

        async def work(tx: Transaction) -> CreatedKey:
            organization_id, account_id = await _organization(tx, viewer, wish.organization_id)
            prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
            hash_ = token_hash(secret)
            key = await tx.api_keys.add(
                NewKey(new_id(), organization_id, account_id, name, prefix, hash_, scopes, expires_at)
            )
            tx.emit(_event(key, 1, CREATED, key.created_at))
            return CreatedKey(key, f"{MARK}{prefix}_{secret}")

        async def recall(tx: Transaction, key_id: UUID) -> CreatedKey:
            return CreatedKey(await self._key(tx, viewer, key_id), None)

        return await self.once.run(viewer, "createApiKey", wish, idempotency_key, work, recall)

    async def revoke(self, viewer: Viewer, key_id: UUID | None, idempotency_key: str | None = None) -> ApiKey:
        """End a key at once, here and wherever it is in use; again changes nothing.

        Raises NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> ApiKey:
            key = await self._key(tx, viewer, key_id)
            if key.revoked_at is None:
                key = await tx.api_keys.revoke(key.id)
                assert key.revoked_at is not None  # noqa: S101 - just now
                tx.emit(_event(key, 2, REVOKED, key.revoked_at))
            return key

        async def recall(tx: Transaction, known_id: UUID) -> ApiKey:
            return await self._key(tx, viewer, known_id)

        key = await self.once.run(viewer, "revokeApiKey", key_id, idempotency_key, work, recall)
        self.ended.note(key.id)
        return key

    async def page(
        self, viewer: Viewer, organization_id: UUID | None, first: int, after: PageKey | None
    ) -> Page[ApiKey]:
        """An organization's keys, the newest first. Raises NotFound, Unauthenticated, Forbidden."""
        async with self.begin(viewer) as tx:
            known_id, _ = await _organization(tx, viewer, organization_id)
            return await tx.api_keys.page(known_id, first, after)

    async def find(self, viewer: Viewer, key_id: UUID) -> ApiKey | None:
        """A key as its organization's staff see it; None for anybody else."""
        if viewer.user_id is None:
            return None
        async with self.begin(viewer) as tx:
            try:
                return await self._key(tx, viewer, key_id)
            except NotFound:
                return None

    async def _key(self, tx: Transaction, viewer: Viewer, key_id: UUID | None) -> ApiKey:
        key = await tx.api_keys.key(key_id) if key_id else None
        none = NotFound("No such key.", ("id",))
        if key is None:
            raise none
        await must_be_staff(tx, viewer, key.organization_id, none)
        return key


class KnownKeys:
    """Tells who bears a key that is shown; one object a process. What it looked up is good for FRESH."""

    def __init__(
        self, begin: Begin, ended: EndedSessions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._begin = begin
        self._ended = ended
        self._clock = clock
        self._looking: SingleFlight[KeyOnFile | None] = SingleFlight()
        self._known: OrderedDict[str, tuple[float, KeyOnFile | None]] = OrderedDict()
        self._used: set[UUID] = set()

    def recognises(self, text: str) -> bool:
        """Whether a text has the form of a key; an access token begins otherwise (RFC 7519, 3)."""
        return text.startswith(MARK)

    async def bearer(self, text: str, address: str, request_id: str) -> Viewer:
        """The caller who shows a key. Raises Unauthenticated, without saying what is wrong with it."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise Unauthenticated(_REFUSED)
        on_file = await self._on_file(parts[1])
        if (
            on_file is None
            or not compare_digest(on_file.hash, token_hash(parts[2]))
            or not self._good(on_file)
        ):
            raise Unauthenticated(_REFUSED)
        key = on_file.key
        self._used.add(key.id)
        grant = Grant(key.id, key.organization_id, frozenset(key.scopes))
        return Viewer(address, request_id, key.account_id, key.id, key.expires_at, grant=grant)

    async def note_uses(self) -> None:
        """Write down which keys were used since the last time, in one statement."""
        used, self._used = self._used, set()
        if used:
            async with self._begin(None) as tx:
                await tx.api_keys.note_uses(used)

    async def keep_noting(self) -> None:
        """Write uses down once a minute, until cancelled; what a database that is away misses, it misses."""
        while True:
            await asyncio.sleep(NOTED_EVERY.total_seconds())
            with suppress(Unavailable):
                await self.note_uses()

    def _good(self, on_file: KeyOnFile) -> bool:
        key = on_file.key
        if not on_file.held or key.revoked_at is not None or key.id in self._ended:
            return False
        return key.expires_at is None or key.expires_at > datetime.now(UTC)

    async def _on_file(self, prefix: str) -> KeyOnFile | None:
        known = self._known.get(prefix)
        if known is not None and self._clock() - known[0] < FRESH.total_seconds():
            return known[1]
        asked_at = self._clock()
        found = await self._looking.read(prefix, lambda: self._read(prefix))
        self._known[prefix] = asked_at, found
        self._known.move_to_end(prefix)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _read(self, prefix: str) -> KeyOnFile | None:
        async with self._begin(None) as tx:
            return await tx.api_keys.on_file(prefix)


async def _organization(tx: Transaction, viewer: Viewer, organization_id: UUID | None) -> tuple[UUID, UUID]:
    """An organization whose staff the caller is, and the caller's account."""
    found = await tx.catalogue.organization(organization_id) if organization_id else None
    if found is None:
        raise NotFound("No such organization.", ("organizationId",))
    await must_be_staff(tx, viewer, found.id)
    assert viewer.user_id is not None  # noqa: S101 - staff has an account
    return found.id, viewer.user_id


def _scopes(wanted: Collection[Scope]) -> Sequence[Scope]:
    if not wanted:
        raise InvalidInput("Name at least one scope; CATALOGUE_READ lets a key read alone.", ("scopes",))
    return [scope for scope in Scope if scope in wanted]


def _end(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidInput("A key ends in the future, or never.", ("expiresAt",))
    return expires_at


def _event(key: ApiKey, version: int, type: str, at: datetime) -> Event:
    return Event(
        Stream.API_KEY,
        key.id,
        version,
        type,
        at,
        {"scopes": [scope.value for scope in key.scopes]},
        organization_id=key.organization_id,
    )
