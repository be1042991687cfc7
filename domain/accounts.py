"""People and how they sign in: register, login, refresh, logout, a new password."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.access import Membership, Role, signed_in_user
from domain.contact import Contact, checked_email, checked_name, checked_phone
from domain.errors import (
    CredentialsRefused,
    InvalidInput,
    RateLimited,
    RefusalCode,
    Unauthenticated,
)
from domain.events import Event, Stream
from domain.ids import new_id
from domain.passwords import Hasher, must_be_strong
from domain.sessions import (
    AccessTokens,
    EndedSessions,
    SessionLimits,
    ShownToken,
    Use,
    new_refresh_token,
    token_hash,
)
from domain.throttle import Counter, Throttle
from domain.viewer import Viewer

if TYPE_CHECKING:
    from domain.ports import Begin, Transaction


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account; only they themselves see this."""

    id: UUID
    email: str
    name: str | None
    phone: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """An account with what its password is checked against."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """What a client is given when it signs in or refreshes. Nothing of it can be read again later."""

    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    user: User


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody gives to get an account."""

    email: str
    password: str
    name: str | None = None
    phone: str | None = None


class EndReason(StrEnum):
    """Why a session ended before its time."""

    SIGNED_OUT = "SIGNED_OUT"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - a reason, no password
    TOKEN_REUSED = "TOKEN_REUSED"  # noqa: S105


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that ended just now, at ``at`` (UTC)."""

    id: UUID
    account_id: UUID
    at: datetime


class AccountStore(Protocol):
    """Accounts, memberships, sessions and the counters of tries. Locks last until the transaction ends."""

    async def count_try(self, counter: Counter) -> timedelta | None:
        """Count a try; if the counter is blocked, count nothing and say for how long still."""

    async def clear_tries(self, counter: Counter) -> None:
        """Begin anew: the account's owner was here."""

    async def take_back_try(self, counter: Counter) -> None:
        """Uncount a try that was no failure, and the block it brought."""

    async def add(
        self, account_id: UUID, email: str, name: str | None, phone: str | None, password_hash: str
    ) -> User | None:
        """Write a new account; None if the address is taken, whatever its case."""

    async def credential(self, email: str) -> Credential | None:
        """The account of an address in any case."""

    async def credential_of(self, account_id: UUID, *, lock: bool = False) -> Credential | None:
        """An account by its id."""

    async def set_password(self, account_id: UUID, password_hash: str) -> None:
        """Replace the password's hash."""

    async def user(self, account_id: UUID) -> User | None:
        """An account by its id, without its password."""

    async def contact(self, account_id: UUID) -> Contact:
        """How to reach somebody; nothing of an account that is no more."""

    async def memberships(self, account_id: UUID) -> Sequence[Membership]:
        """Where a person may do what, by the organization's name."""

    async def role(self, account_id: UUID, organization_id: UUID) -> Role | None:
        """A person's role in one organization."""

    async def join(self, account_id: UUID, organization_id: UUID, role: Role) -> None:
        """Give a person a role in an organization, in place of another they had."""

    async def open_session(
        self, session_id: UUID, account_id: UUID, refresh_hash: bytes, life: timedelta
    ) -> None:
        """Write a session that ends after ``life``, with its first refresh token."""

    async def show(self, refresh_hash: bytes) -> ShownToken | None:
        """A refresh token, its session locked."""

    async def rotate(self, shown: ShownToken, refresh_hash: bytes, heir: bytes, expires_at: datetime) -> None:
        """Make every unused token of the session void, add its ``heir``, and move the session's end."""

    async def session_of(self, refresh_hash: bytes) -> tuple[UUID, UUID] | None:
        """The ids of the session and the account behind a refresh token, old or new."""

    async def end_session(self, session_id: UUID, reason: EndReason) -> Sequence[EndedSession]:
        """End one session, unless it has ended."""

    async def end_sessions(self, account_id: UUID, reason: EndReason) -> Sequence[EndedSession]:
        """End all sessions of an account."""

    async def ended_within(self, span: timedelta) -> Sequence[UUID]:
        """The sessions that were ended in the last ``span``."""

    async def forget(self, limit: int) -> int:
        """Drop up to ``limit`` sessions a day after their end and as many quiet counters; how many."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases. Passwords are hashed and compared between transactions, never inside one."""

    begin: Begin
    hasher: Hasher
    tokens: AccessTokens
    ended: EndedSessions
    throttle: Throttle
    limits: SessionLimits

    async def register(self, viewer: Viewer, registration: Registration) -> Session:
        """Make an account and sign in.

        Raises InvalidInput, CredentialsRefused (WEAK_PASSWORD, EMAIL_TAKEN), RateLimited.
        """
        email = checked_email(registration.email, ("email",))
        name = checked_name(registration.name, ("name",))
        phone = checked_phone(registration.phone, ("phone",))
        must_be_strong(registration.password, email, ("password",))
        async with self.begin(viewer) as tx:
            wait = await _count(tx, self._of_sign_ups(viewer))
        _must_not_wait(wait)
        password_hash, id_ = await self.hasher.hash(registration.password), new_id()
        async with self.begin(viewer.showing(id_)) as tx:
            user = await tx.accounts.add(id_, email, name, phone, password_hash)
            if user is None:
                raise CredentialsRefused(
                    "This e-mail address has an account; sign in.", ("email",), reason=RefusalCode.EMAIL_TAKEN
                )
            return await self._open(tx, user)

    async def login(self, viewer: Viewer, email: str, password: str) -> Session:
        """Sign in.

        Raises CredentialsRefused, the same for an unknown address and a wrong password, and RateLimited.
        """
        async with self.begin(viewer) as tx:
            credential = await tx.accounts.credential(email.strip()) if "\0" not in email else None
            # By the account's own spelling: the database may know more spellings of one address than we do.
            account = self.throttle.of_account(credential.user.email if credential else email)
            wait = await _count(tx, (*self._of_address(viewer), account))
        _must_not_wait(wait)
        while True:
            right = await self.hasher.verify(credential.password_hash if credential else None, password)
            if credential is None or not right:
                raise _refused("E-mail address or password is wrong.")
            rehash = await self._rehash(credential, password)
            async with self.begin(viewer.showing(credential.user.id)) as tx:
                current = await tx.accounts.credential_of(credential.user.id, lock=True)
                if current == credential:
                    if rehash is not None:
                        await tx.accounts.set_password(credential.user.id, rehash)
                    for counter in self._of_address(viewer):
                        await tx.accounts.take_back_try(counter)
                    await tx.accounts.clear_tries(account)
                    return await self._open(tx, credential.user)
            credential = current  # changed between our look at it and now: judge by what it is now

    async def refresh(self, viewer: Viewer, refresh_token: str) -> Session:
        """Exchange a refresh token for a new pair.

        Raises CredentialsRefused for one unknown, over, or exchanged before: that one ends its session.
        """
        shown_hash, fresh = token_hash(refresh_token), new_refresh_token()
        async with self.begin(viewer) as tx:
            shown = await tx.accounts.show(shown_hash) if await _recognised(tx, shown_hash) else None
            use = shown.use(self.limits) if shown else Use.OVER
            ended: Sequence[EndedSession] = ()
            if shown and use is Use.ROTATE:
                until = shown.prolonged(self.limits)
                await tx.accounts.rotate(shown, shown_hash, token_hash(fresh), until)
                user = await tx.accounts.user(shown.account_id)
                if user is not None:
                    return self._session(user, shown.session_id, fresh, until - shown.now)
            elif shown and use is Use.REUSE:
                ended = await tx.accounts.end_session(shown.session_id, EndReason.TOKEN_REUSED)
                _tell(tx, ended, EndReason.TOKEN_REUSED)
        self._note(ended)
        raise _refused("This refresh token is not valid any more; sign in again.")

    async def logout(self, viewer: Viewer, refresh_token: str | None, *, everywhere: bool = False) -> int:
        """End the session of the refresh token, else the caller's own, or all of the account; how many ended.

        Raises CredentialsRefused for an unknown refresh token, Unauthenticated for a guest without one.
        """
        async with self.begin(viewer) as tx:
            session_id, account_id = await _meant(tx, viewer, refresh_token)
            if everywhere:
                ended = await tx.accounts.end_sessions(account_id, EndReason.SIGNED_OUT)
            else:
                ended = await tx.accounts.end_session(session_id, EndReason.SIGNED_OUT)
            _tell(tx, ended, EndReason.SIGNED_OUT)
        self._note(ended)
        return len(ended)

    async def change_password(self, viewer: Viewer, current_password: str, new_password: str) -> Session:
        """Set another password, end every session there is, the caller's too, and give a new one.

        Raises CredentialsRefused (INVALID_CREDENTIALS, WEAK_PASSWORD), InvalidInput, Unauthenticated,
        RateLimited.
        """
        user_id = signed_in_user(viewer)
        async with self.begin(viewer) as tx:
            credential = await tx.accounts.credential_of(user_id)
            if credential is None:
                raise Unauthenticated("This account is no more.")
            must_be_strong(new_password, credential.user.email, ("newPassword",))
            if new_password == current_password:
                raise InvalidInput("Choose another password than the one you have.", ("newPassword",))
            account = self.throttle.of_account(credential.user.email)
            wait = await _count(tx, (account,))
        _must_not_wait(wait)
        if not await self.hasher.verify(credential.password_hash, current_password):
            raise _refused("The current password is wrong.", ("currentPassword",))
        password_hash = await self.hasher.hash(new_password)
        async with self.begin(viewer) as tx:
            if await tx.accounts.credential_of(user_id, lock=True) != credential:
                raise _refused("The password was changed in this moment.", ("currentPassword",))
            await tx.accounts.set_password(user_id, password_hash)
            ended = await tx.accounts.end_sessions(user_id, EndReason.PASSWORD_CHANGED)
            _tell(tx, ended, EndReason.PASSWORD_CHANGED)
            await tx.accounts.clear_tries(account)
            session = await self._open(tx, credential.user)
        self._note(ended)
        return session

    async def user(self, viewer: Viewer) -> User | None:
        """The caller, None for a guest."""
        if viewer.user_id is None:
            return None
        async with self.begin(viewer) as tx:
            return await tx.accounts.user(viewer.user_id)

    async def memberships(self, viewer: Viewer, user_id: UUID) -> Sequence[Membership]:
        """Where a user, who is the caller, may do what."""
        async with self.begin(viewer) as tx:
            return await tx.accounts.memberships(user_id)

    async def recall_ended(self) -> None:
        """At start, after the feed is connected: learn which sessions ended while we were not there."""
        async with self.begin(None) as tx:
            for session_id in await tx.accounts.ended_within(self.ended.kept_for):
                self.ended.note(session_id)

    async def _open(self, tx: Transaction, user: User) -> Session:
        session_id, refresh_token = new_id(), new_refresh_token()
        life = min(self.limits.idle, self.limits.longest)
        await tx.accounts.open_session(session_id, user.id, token_hash(refresh_token), life)
        return self._session(user, session_id, refresh_token, life)

    def _session(self, user: User, session_id: UUID, refresh_token: str, left: timedelta) -> Session:
        access = self.tokens.sign(user.id, session_id, min(self.limits.access, left))
        return Session(access.text, access.expires_at, refresh_token, user)

    async def _rehash(self, credential: Credential, password: str) -> str | None:
        if not self.hasher.outdated(credential.password_hash):
            return None
        return await self.hasher.hash(password)

    def _note(self, ended: Iterable[EndedSession]) -> None:
        for session in ended:
            self.ended.note(session.id)

    def _of_address(self, viewer: Viewer) -> tuple[Counter, ...]:
        """No counter where the address is not known: on a UNIX socket all callers would be one."""
        return (self.throttle.of_address(viewer.address),) if viewer.address else ()

    def _of_sign_ups(self, viewer: Viewer) -> tuple[Counter, ...]:
        return (self.throttle.of_sign_ups(viewer.address),) if viewer.address else ()


async def _count(tx: Transaction, counters: Iterable[Counter]) -> timedelta | None:
    """Count a try by each, up to the first that is blocked: a blocked address cannot block accounts."""
    for counter in counters:
        wait = await tx.accounts.count_try(counter)
        if wait is not None:
            return wait
    return None


def _must_not_wait(wait: timedelta | None) -> None:
    """Raise RateLimited. Outside the transaction, which is to commit what it counted."""
    if wait is not None:
        raise RateLimited("Too many tries; wait, then try again.", wait)


async def _meant(tx: Transaction, viewer: Viewer, refresh_token: str | None) -> tuple[UUID, UUID]:
    """The session and the account that a logout is about."""
    if refresh_token is not None:
        found = await _recognised(tx, token_hash(refresh_token))
        if found is None:
            raise _refused("This refresh token is not one of ours.", ("refreshToken",))
        return found
    if viewer.session_id is None:
        raise Unauthenticated("Send the access token or the refresh token of the session to end.")
    return viewer.session_id, signed_in_user(viewer)


async def _recognised(tx: Transaction, refresh_hash: bytes) -> tuple[UUID, UUID] | None:
    """The session and the account behind a refresh token; from here on its bearer acts for that account."""
    found = await tx.accounts.session_of(refresh_hash)
    if found is not None:
        await tx.show(found[1])
    return found


def _tell(tx: Transaction, ended: Iterable[EndedSession], reason: EndReason) -> None:
    """Write the ends to the log. A session's story has one step, so the log itself refuses a second end."""
    tx.emit(
        *(
            Event(
                Stream.SESSION,
                session.id,
                1,
                "session.ended",
                session.at,
                {"reason": reason.value},
                account_id=session.account_id,
            )
            for session in ended
        )
    )


def _refused(message: str, path: tuple[str, ...] | None = None) -> CredentialsRefused:
    return CredentialsRefused(message, path)
