from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.errors import Unauthenticated
from domain.sessions import (
    AccessToken,
    Authentication,
    Claims,
    EndedSessions,
    SessionLimits,
    ShownToken,
    Use,
    new_refresh_token,
    token_hash,
)
from domain.viewer import Viewer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIMITS = SessionLimits()
FRESH = ShownToken(
    session_id=uuid4(),
    account_id=uuid4(),
    created_at=NOW - timedelta(days=1),
    expires_at=NOW + timedelta(days=29),
    ended=False,
    used_at=None,
    heir_unused=False,
    now=NOW,
)


def exchanged(seconds: float, *, heir_unused: bool) -> ShownToken:
    return replace(FRESH, used_at=NOW - timedelta(seconds=seconds), heir_unused=heir_unused)


def test_an_unused_refresh_token_is_exchanged() -> None:
    assert FRESH.use(LIMITS) is Use.ROTATE


def test_the_parent_is_exchanged_again_for_thirty_seconds_while_its_heir_is_unused() -> None:
    assert exchanged(30, heir_unused=True).use(LIMITS) is Use.ROTATE
    assert exchanged(30.1, heir_unused=True).use(LIMITS) is Use.REUSE
    assert exchanged(1, heir_unused=False).use(LIMITS) is Use.REUSE


def test_a_session_that_ended_or_ran_out_is_over_whatever_the_token() -> None:
    for token in (FRESH, exchanged(1, heir_unused=True), exchanged(99, heir_unused=False)):
        assert replace(token, ended=True).use(LIMITS) is Use.OVER
        assert replace(token, expires_at=NOW).use(LIMITS) is Use.OVER


def test_a_session_slides_by_thirty_days_and_ends_after_ninety() -> None:
    assert FRESH.prolonged(LIMITS) == NOW + timedelta(days=30)
    old = replace(FRESH, created_at=NOW - timedelta(days=80))
    assert old.prolonged(LIMITS) == NOW + timedelta(days=10)


def test_refresh_tokens_are_256_random_bits_of_which_only_a_hash_is_kept() -> None:
    tokens = {new_refresh_token() for _ in range(1_000)}
    assert len(tokens) == 1_000
    assert {len(token) for token in tokens} == {43}
    assert len(token_hash(tokens.pop())) == 32


async def test_whoever_watches_a_session_hears_of_its_end_once() -> None:
    ended, session, heard = EndedSessions(LIMITS.access), uuid4(), list[str]()
    ended.watch(session, lambda: heard.append("first"))
    unwatch = ended.watch(session, lambda: heard.append("second"))
    ended.watch(uuid4(), lambda: heard.append("another"))
    unwatch()
    unwatch()
    ended.note(session)
    ended.note(session)
    assert heard == ["first"]
    assert session in ended


async def test_a_session_that_had_ended_before_it_is_watched_is_told_unless_taken_back() -> None:
    ended, session, heard = EndedSessions(LIMITS.access), uuid4(), asyncio.Event()
    ended.note(session)
    ended.watch(session, heard.set)
    assert not heard.is_set()  # not in the middle of whatever begins to watch
    await asyncio.wait_for(heard.wait(), 1)
    heard.clear()
    ended.watch(session, heard.set)()
    last = asyncio.Event()
    asyncio.get_running_loop().call_soon(last.set)
    await last.wait()
    assert not heard.is_set()


def test_an_ended_session_is_remembered_as_long_as_a_token_of_it_may_be_good() -> None:
    now = 0.0
    ended = EndedSessions(timedelta(minutes=30), clock=lambda: now)
    first, second, third = uuid4(), uuid4(), uuid4()
    ended.note(first)
    now = 30 * 60
    ended.note(second)
    assert first in ended
    now = 31 * 60
    ended.note(third)
    assert first not in ended
    assert len(ended) == 2


class OneToken:
    """Knows one access token by heart."""

    claims = Claims(uuid4(), uuid4(), NOW)

    def sign(self, user_id: object, session_id: object, life: timedelta) -> AccessToken:
        raise NotImplementedError

    def verify(self, text: str) -> Claims:
        if text != "good":
            raise Unauthenticated("Not ours.")
        return self.claims


class OneKey:
    """Knows one key, and nothing else of keys than how they begin."""

    def recognises(self, text: str) -> bool:
        return text.startswith("hf_")

    async def bearer(self, text: str, address: str, request_id: str) -> Viewer:
        if text != "hf_good":
            raise Unauthenticated("Not ours.")
        return Viewer(address, request_id, uuid4(), uuid4())


@pytest.fixture
def authentication() -> Authentication:
    return Authentication(OneToken(), EndedSessions(LIMITS.access), OneKey())


async def test_who_sends_nothing_is_a_guest_and_who_sends_a_token_is_its_owner(
    authentication: Authentication,
) -> None:
    guest = await authentication(None, "192.0.2.1", "r1")
    assert (guest.signed_in, guest.address, guest.request_id) == (False, "192.0.2.1", "r1")
    for spelling in ("Bearer good", "bearer good", "  BEARER  good "):
        viewer = await authentication(spelling, "192.0.2.1", "r1")
        assert Claims(viewer.user_id, viewer.session_id, viewer.expires_at) == OneToken.claims  # type: ignore[arg-type]


async def test_a_key_stands_where_an_access_token_does(authentication: Authentication) -> None:
    assert (await authentication("Bearer hf_good", "192.0.2.1", "r1")).signed_in


@pytest.mark.parametrize(
    "header",
    ["", " ", "Bearer hf_bad", "good", "Bearer", "Bearer ", "Basic good", "Bearer bad", "Bearer a b"],
)
async def test_a_header_that_is_no_good_token_is_refused_and_never_a_guest(
    authentication: Authentication, header: str
) -> None:
    with pytest.raises(Unauthenticated):
        await authentication(header, "192.0.2.1", "r1")


async def test_the_token_of_a_session_that_has_ended_is_refused(authentication: Authentication) -> None:
    authentication.ended.note(OneToken.claims.session_id)
    with pytest.raises(Unauthenticated, match="sign in again"):
        await authentication("Bearer good", "192.0.2.1", "r1")
