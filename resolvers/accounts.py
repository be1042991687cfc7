"""Sign up, sign in, go on, sign out, change the password, and who one is."""

from __future__ import annotations

from domain.accounts import Session as SignedIn
from schema.context import Info
from schema.types.accounts import (
    ChangePasswordInput,
    LoggedOut,
    LoginInput,
    LoginResult,
    LogoutInput,
    LogoutResult,
    RefreshInput,
    RegisterInput,
    RegisterResult,
    Session,
    User,
)


async def viewer(info: Info) -> User | None:
    """The caller; null for a guest."""
    found = await info.context.accounts.user(info.context.viewer)
    return User.of(found) if found else None


async def register(info: Info, input: RegisterInput) -> RegisterResult:
    """Make an account and sign in."""
    return _session(info, await info.context.accounts.register(info.context.viewer, input.value()))


async def login(info: Info, input: LoginInput) -> LoginResult:
    """Sign in."""
    accounts = info.context.accounts
    return _session(info, await accounts.login(info.context.viewer, input.email, input.password))


async def refresh_session(info: Info, input: RefreshInput) -> LoginResult:
    """Exchange a refresh token for a new pair; a second exchange of the same token ends the session."""
    return _session(info, await info.context.accounts.refresh(info.context.viewer, input.refresh_token))


async def logout(info: Info, input: LogoutInput) -> LogoutResult:
    """End this session, another, or all of one's own."""
    accounts = info.context.accounts
    ended = await accounts.logout(info.context.viewer, input.refresh_token, everywhere=input.everywhere)
    return LoggedOut(sessions_ended=ended)


async def change_password(info: Info, input: ChangePasswordInput) -> LoginResult:
    """Set another password; every session ends, and a new one begins."""
    accounts = info.context.accounts
    return _session(
        info, await accounts.change_password(info.context.viewer, input.current_password, input.new_password)
    )


def _session(info: Info, made: SignedIn) -> Session:
    info.context.show(made.user.id)
    return Session.of(made)
