"""Sign-in against a real database, by two processes' worth of use cases."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.broker import make_broker
from db.engine import Pool, PoolSize, open_pool
from db.feed import Feed
from db.layouts import Layouts
from db.unit_of_work import Database
from domain.access import Role
from domain.accounts import Accounts, Registration, Session
from domain.api_keys import KnownKeys
from domain.contact import Contact
from domain.errors import CredentialsRefused, InvalidInput, RateLimited, RefusalCode, Unauthenticated
from domain.events import Stream
from domain.sessions import AccessToken, Authentication, Claims, EndedSessions, SessionLimits
from domain.throttle import Backoff, Throttle
from domain.viewer import Viewer
from holdfast.passwords import Argon2
from tests.servers import serving, tables_of

EMAIL, PASSWORD = "Anna.Berg@example.org", "slow trains at night"
LIMITS = SessionLimits()
GUEST = Viewer("192.0.2.1", "r")


class Tokens:
    """Access tokens as plain text: what is signed has tests of its own."""

    def sign(self, user_id: UUID, session_id: UUID, life: timedelta) -> AccessToken:
        ends = datetime.now(UTC) + life
        return AccessToken(f"{user_id}/{session_id}/{ends.isoformat()}", ends)

    def verify(self, text: str) -> Claims:
        user_id, session_id, ends = text.split("/")
        return Claims(UUID(user_id), UUID(session_id), datetime.fromisoformat(ends))


class CountingHasher(Argon2):
    """Argon2, cheap, that counts its work."""

    def __init__(self, passes: int = 1) -> None:
        super().__init__(memory_kib=8, passes=passes)
        self.work: Tally[str] = Tally()
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()
        self.let_go.set()

    async def hash(self, password: str) -> str:
        self.work["hash"] += 1
        return await super().hash(password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.work["verify"] += 1
        self.asked.set()
        await self.let_go.wait()
        return await super().verify(password_hash, password)


@dataclass
class Process:
    """What one process has of its own."""

    accounts: Accounts
    hasher: CountingHasher
    authenticate: Authentication

    async def viewer(self, session: Session, address: str = "192.0.2.1") -> Viewer:
        return await self.authenticate(f"Bearer {session.access_token}", address, "r")


def process(pool: Pool, passes: int = 1, limits: SessionLimits = LIMITS) -> Process:
    database = Database(pool, Layouts(), lambda: None)
    hasher, ended, tokens = CountingHasher(passes), EndedSessions(limits.access), Tokens()
    accounts = Accounts(database.begin, hasher, tokens, ended, Throttle(b"s" * 32), limits)
    return Process(accounts, hasher, Authentication(tokens, ended, KnownKeys(database.begin, ended)))


@pytest.fixture
async def serves(database_url: str) -> AsyncIterator[Pool]:
    """Give the connections of the processes."""
    async with open_pool(serving(database_url), PoolSize(2, 10)) as opened:
        yield opened


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Give a look at the tables."""
    async with tables_of(database_url) as opened:
        yield opened


@pytest.fixture
def here(serves: Pool) -> Process:
    return process(serves)


@pytest.fixture
def there(serves: Pool) -> Process:
    return process(serves)


async def register(at: Process, email: str = EMAIL) -> Session:
    return await at.accounts.register(GUEST, Registration(email, PASSWORD, name="Anna"))


async def refused(
    attempt: object, reason: RefusalCode = RefusalCode.INVALID_CREDENTIALS
) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused) as refusal:
        await attempt  # type: ignore[misc]
    assert refusal.value.code is reason
    return refusal.value


async def age(pool: Pool, seconds: float) -> None:
    """Let time pass, as far as the counters and the refresh tokens know."""
    past = timedelta(seconds=seconds)
    await pool.execute(
        "UPDATE login_throttle SET last_failure = last_failure - $1::interval, blocked_until = blocked_until - $1",
        past,
    )
    await pool.execute(
        "UPDATE refresh_token SET issued_at = issued_at - $1::interval, used_at = used_at - $1", past
    )


# ------------------------------------------------------------------------------------------- accounts


@pytest.mark.feature("S2.1", "S3.2", "S4.1", "S4.2")
async def test_who_registers_is_signed_in_and_can_sign_in_on_another_process(
    here: Process, there: Process
) -> None:
    session = await register(here)
    viewer = await there.viewer(session)
    user = await there.accounts.user(viewer)
    assert user is not None
    assert (user.id, user.email, user.name) == (viewer.user_id, EMAIL, "Anna")
    again = await there.accounts.login(GUEST, "  anna.berg@EXAMPLE.org ", PASSWORD)
    assert again.user == user
    assert (await there.viewer(again)).session_id != viewer.session_id


@pytest.mark.feature("S3.1", "S3.25")
async def test_an_address_has_one_account_in_any_case_even_when_two_ask_at_once(
    here: Process, there: Process
) -> None:
    results = await asyncio.gather(
        register(here), register(there, EMAIL.upper()), register(here, EMAIL.lower()), return_exceptions=True
    )
    taken = [result for result in results if isinstance(result, CredentialsRefused)]
    assert [(refusal.code, refusal.path) for refusal in taken] == [(RefusalCode.EMAIL_TAKEN, ("email",))] * 2


async def test_what_is_no_address_name_or_phone_is_invalid_and_a_weak_password_says_so(here: Process) -> None:
    for registration, path in (
        (Registration("anna", PASSWORD), ("email",)),
        (Registration(EMAIL, PASSWORD, name="x" * 201), ("name",)),
        (Registration(EMAIL, PASSWORD, phone="call me"), ("phone",)),
    ):
        with pytest.raises(InvalidInput) as invalid:
            await here.accounts.register(GUEST, registration)
        assert invalid.value.path == path
    await refused(here.accounts.register(GUEST, Registration(EMAIL, "too short")), RefusalCode.WEAK_PASSWORD)
    assert here.hasher.work == {}


async def test_a_guest_is_nobody(here: Process) -> None:
    assert await here.accounts.user(GUEST) is None


async def test_memberships_and_roles_are_told_by_the_organizations_name(here: Process, pool: Pool) -> None:
    user = (await register(here)).user
    for name, role in (("Zebra Bus", "ADMIN"), ("Alpha Lab", "PROVIDER")):
        organization = await pool.fetchval(
            "INSERT INTO organization (id, name, slug, time_zone, currency)"
            " VALUES ($1, $2, $2, 'Asia/Kolkata', 'INR') RETURNING id",
            uuid4(),
            name,
        )
        await pool.execute("INSERT INTO membership VALUES ($1, $2, $3)", user.id, organization, role)
    found = await here.accounts.memberships(GUEST.showing(user.id), user.id)
    assert [(m.organization.name, m.role) for m in found] == [
        ("Alpha Lab", Role.PROVIDER),
        ("Zebra Bus", Role.ADMIN),
    ]
    async with here.accounts.begin(None) as tx:
        assert await tx.accounts.role(user.id, found[1].organization.id) is Role.ADMIN
        assert await tx.accounts.role(uuid4(), found[1].organization.id) is None
        assert await tx.accounts.contact(user.id) == Contact("Anna", EMAIL, None)


# ------------------------------------------------------------------------------------------- signing in


async def test_an_unknown_address_and_a_wrong_password_get_one_answer_for_the_same_work(
    here: Process,
) -> None:
    await register(here)
    seen = []
    for email, password in (
        (EMAIL, "wrong"),
        ("nobody@example.org", PASSWORD),
        ("no address\0", "x" * 5_000),
    ):
        here.hasher.work.clear()
        refusal = await refused(here.accounts.login(GUEST, email, password))
        seen.append((refusal.message, refusal.path, dict(here.hasher.work)))
    assert seen == [(seen[0][0], None, {"verify": 1})] * 3


async def test_many_may_sign_in_to_one_account_one_after_the_other(here: Process) -> None:
    await register(here)
    for _ in range(40):
        await here.accounts.login(GUEST, EMAIL, PASSWORD)


async def test_parallel_sign_ins_with_the_right_password_all_succeed_where_they_are_not_too_many(
    here: Process, there: Process, pool: Pool
) -> None:
    await register(here)
    await asyncio.gather(*(at.accounts.login(GUEST, EMAIL, PASSWORD) for at in (here, there) * 2))
    left = await pool.fetch("SELECT failures FROM login_throttle WHERE failures > 0")
    assert [row["failures"] for row in left] == [1]  # the sign-up's


async def test_a_hash_of_older_parameters_is_replaced_at_sign_in_even_by_two_at_once(
    serves: Pool, pool: Pool
) -> None:
    old, new, other = process(serves, passes=1), process(serves, passes=2), process(serves, passes=2)
    await register(old)
    before = await pool.fetchval("SELECT password_hash FROM account")
    await asyncio.gather(*(at.accounts.login(GUEST, EMAIL, PASSWORD) for at in (new, other)))
    after = await pool.fetchval("SELECT password_hash FROM account")
    assert "t=1" in before
    assert "t=2" in after
    new.hasher.work.clear()
    await new.accounts.login(GUEST, EMAIL, PASSWORD)
    assert new.hasher.work == {"verify": 1}


async def test_a_password_changed_while_the_old_one_is_compared_lets_nobody_in(
    here: Process, there: Process
) -> None:
    session = await register(here)
    here.hasher.let_go.clear()
    slow = asyncio.create_task(here.accounts.login(GUEST, EMAIL, PASSWORD))
    await asyncio.wait_for(here.hasher.asked.wait(), 5)
    await there.accounts.change_password(await there.viewer(session), PASSWORD, "quick trains by day")
    here.hasher.let_go.set()
    await refused(slow)
    assert here.hasher.work["verify"] == 2  # against the hash it had read, then against the one there is


# ------------------------------------------------------------------------------------------- the brakes


async def outcome(attempt: object) -> str:
    try:
        await attempt  # type: ignore[misc]
    except (CredentialsRefused, RateLimited) as no:
        return type(no).__name__
    return "Session"


@pytest.mark.feature("S3.51")
async def test_three_hundred_guesses_at_once_are_counted_before_any_password_is_looked_at(
    here: Process, there: Process
) -> None:
    await register(here)
    for email in (EMAIL, "nobody@example.org"):
        here.hasher.work.clear()
        there.hasher.work.clear()
        guesses = [
            outcome(at.accounts.login(Viewer(f"198.51.100.{n}", "r"), email, f"guess {n}"))
            for n in range(150)
            for at in (here, there)
        ]
        began = time.monotonic()
        tally = Tally(await asyncio.gather(*guesses))
        later = int(
            math.log2(1 + time.monotonic() - began)
        )  # blocks of 1 s, 2 s, 4 s ... that have ended meanwhile
        assert 6 <= tally["CredentialsRefused"] <= 6 + later
        assert tally["RateLimited"] == 300 - tally["CredentialsRefused"]
        assert here.hasher.work["verify"] + there.hasher.work["verify"] == tally["CredentialsRefused"]


async def test_each_failure_after_the_fifth_blocks_twice_as_long_and_an_hour_of_quiet_forgives(
    here: Process, pool: Pool
) -> None:
    await register(here)

    async def waits() -> float:
        with pytest.raises(RateLimited) as limited:
            await here.accounts.login(Viewer("", "r"), EMAIL, PASSWORD)
        return limited.value.extensions["retryAfter"]  # type: ignore[return-value]

    for _ in range(5):
        await refused(here.accounts.login(Viewer("", "r"), EMAIL, "wrong"))
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        await refused(here.accounts.login(Viewer("", "r"), EMAIL, "wrong"))
        assert await waits() == seconds
        await age(pool, seconds + 0.01)
    await refused(here.accounts.login(Viewer("", "r"), EMAIL, "wrong"))
    await age(pool, 3601)
    for _ in range(5):
        await refused(here.accounts.login(Viewer("", "r"), EMAIL, "wrong"))
    await here.accounts.login(Viewer("", "r"), EMAIL, PASSWORD)


async def test_a_block_holds_on_every_process_and_for_the_right_password_too(
    here: Process, there: Process
) -> None:
    await register(here)
    for _ in range(6):
        await refused(here.accounts.login(GUEST, EMAIL, "wrong"))
    with pytest.raises(RateLimited):
        await there.accounts.login(Viewer("203.0.113.9", "r"), EMAIL, PASSWORD)


async def test_a_blocked_try_does_not_make_the_block_longer(here: Process, pool: Pool) -> None:
    for _ in range(6):
        await refused(here.accounts.login(GUEST, EMAIL, "wrong"))
    for _ in range(20):
        assert await outcome(here.accounts.login(GUEST, EMAIL, "wrong")) == "RateLimited"
    await age(pool, 1.01)
    await refused(here.accounts.login(GUEST, EMAIL, "wrong"))


async def test_one_address_that_tries_many_accounts_is_slowed_and_blocks_no_account(
    here: Process, there: Process
) -> None:
    await register(here)
    guesses = [
        outcome(at.accounts.login(GUEST, f"p{n}@example.org", "x")) for n in range(50) for at in (here, there)
    ]
    assert Tally(await asyncio.gather(*guesses)) == {"CredentialsRefused": 31, "RateLimited": 69}
    for _ in range(10):
        assert await outcome(here.accounts.login(GUEST, EMAIL, "wrong")) == "RateLimited"
    await here.accounts.login(Viewer("203.0.113.9", "r"), EMAIL, PASSWORD)


async def test_signing_in_clears_the_account_but_not_what_the_address_did_to_others(
    here: Process, pool: Pool
) -> None:
    await register(here)
    for n in range(20):
        await refused(here.accounts.login(GUEST, f"p{n}@example.org", "x"))
    for _ in range(5):
        await refused(here.accounts.login(GUEST, EMAIL, "wrong"))
    await here.accounts.login(GUEST, EMAIL, PASSWORD)
    address, account = (
        here.accounts.throttle.of_address(GUEST.address),
        here.accounts.throttle.of_account(EMAIL),
    )
    statement = "SELECT failures FROM login_throttle WHERE key = $1"
    assert await pool.fetchval(statement, address.key) == 25
    assert await pool.fetchval(statement, account.key) is None


async def test_sign_ups_of_one_address_are_slowed_and_keep_nobody_from_signing_in(here: Process) -> None:
    names = [f"p{n}@example.org" for n in range(60)]
    outcomes = await asyncio.gather(*(outcome(register(here, name)) for name in names))
    assert Tally(outcomes) == {"Session": 31, "RateLimited": 29}
    await here.accounts.login(GUEST, names[outcomes.index("Session")], PASSWORD)


async def test_the_sql_of_a_block_is_the_rule_of_the_domain(here: Process, pool: Pool) -> None:
    backoff = Backoff(free=3, longest=timedelta(seconds=20))
    counter = here.accounts.throttle.of_account(EMAIL).__class__(b"k", backoff)
    for failures in range(1, 12):
        async with here.accounts.begin(None) as tx:
            assert await tx.accounts.count_try(counter) is None
        blocked = await pool.fetchval(
            "SELECT greatest(blocked_until, last_failure) - last_failure FROM login_throttle"
        )
        assert blocked == backoff.block(failures)
        await age(pool, blocked.total_seconds() + 0.01)


async def test_nothing_in_the_counters_names_anybody(here: Process, pool: Pool) -> None:
    await refused(here.accounts.login(GUEST, EMAIL, "wrong"))
    keys = await pool.fetch("SELECT key FROM login_throttle")
    assert {len(row["key"]) for row in keys} == {32}


# ------------------------------------------------------------------------------------------- refreshing


@pytest.mark.feature("S2.2")
async def test_a_refresh_gives_a_new_pair_of_the_same_session(
    here: Process, there: Process, pool: Pool
) -> None:
    session = await register(here)
    await pool.execute("UPDATE session SET expires_at = expires_at - interval '3 days'")
    fresh = await there.accounts.refresh(GUEST, session.refresh_token)
    assert fresh.refresh_token != session.refresh_token
    assert fresh.user == session.user
    assert (await here.viewer(fresh)).session_id == (await here.viewer(session)).session_id
    left = await pool.fetchval("SELECT expires_at - now() FROM session")
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


async def test_no_refresh_token_is_in_the_database(here: Process, pool: Pool) -> None:
    session = await register(here)
    fresh = await here.accounts.refresh(GUEST, session.refresh_token)
    dump = str([tuple(row) for row in await pool.fetch("SELECT * FROM refresh_token")])
    assert session.refresh_token not in dump
    assert fresh.refresh_token not in dump


@pytest.mark.parametrize("token", ["", "unknown", "å" * 10_000, "\0"])
async def test_what_is_no_refresh_token_of_ours_is_refused(here: Process, token: str) -> None:
    await refused(here.accounts.refresh(GUEST, token))


@pytest.mark.feature("S2.27")
async def test_use_of_an_old_token_ends_its_family(here: Process, there: Process, pool: Pool) -> None:
    first = await register(here)
    other = await here.accounts.login(GUEST, EMAIL, PASSWORD)
    second = await here.accounts.refresh(GUEST, first.refresh_token)
    third = await here.accounts.refresh(GUEST, second.refresh_token)
    await refused(there.accounts.refresh(GUEST, first.refresh_token))
    with pytest.raises(Unauthenticated):
        await there.viewer(third)
    await refused(here.accounts.refresh(GUEST, third.refresh_token))
    await here.accounts.refresh(GUEST, other.refresh_token)
    events = await ended_events(pool)
    assert [event["data"] for event in events] == [{"reason": "TOKEN_REUSED"}]


async def test_a_repeated_refresh_gives_a_fresh_pair_and_makes_the_lost_one_void(
    here: Process, pool: Pool
) -> None:
    first = await register(here)
    lost = await here.accounts.refresh(GUEST, first.refresh_token)
    kept = await here.accounts.refresh(GUEST, first.refresh_token)
    assert await live_tokens(pool) == 1
    await here.accounts.refresh(GUEST, kept.refresh_token)
    await refused(here.accounts.refresh(GUEST, lost.refresh_token))
    assert len(await ended_events(pool)) == 1


async def test_the_lost_one_shown_first_ends_the_family_too(here: Process) -> None:
    first = await register(here)
    lost = await here.accounts.refresh(GUEST, first.refresh_token)
    kept = await here.accounts.refresh(GUEST, first.refresh_token)
    await refused(here.accounts.refresh(GUEST, lost.refresh_token))
    await refused(here.accounts.refresh(GUEST, kept.refresh_token))


async def test_the_grace_is_over_after_thirty_seconds(here: Process, pool: Pool) -> None:
    first = await register(here)
    second = await here.accounts.refresh(GUEST, first.refresh_token)
    await age(pool, 31)
    await refused(here.accounts.refresh(GUEST, first.refresh_token))
    await refused(here.accounts.refresh(GUEST, second.refresh_token))


async def test_parallel_refreshes_with_one_token_leave_one_live_token(
    here: Process, there: Process, pool: Pool
) -> None:
    session = await register(here)
    sessions = await asyncio.gather(
        *(at.accounts.refresh(GUEST, session.refresh_token) for at in (here, there) * 4)
    )
    assert len({fresh.refresh_token for fresh in sessions}) == 8
    assert await live_tokens(pool) == 1
    assert await pool.fetchval("SELECT count(*) FROM session") == 1


async def test_a_session_ends_after_ninety_days_and_its_last_access_token_with_it(
    here: Process, pool: Pool
) -> None:
    session = await register(here)
    await pool.execute("UPDATE session SET created_at = now() - interval '89 days 23 hours 50 minutes'")
    fresh = await here.accounts.refresh(GUEST, session.refresh_token)
    left = fresh.access_token_expires_at - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    await pool.execute("UPDATE session SET expires_at = now()")
    await refused(here.accounts.refresh(GUEST, fresh.refresh_token))


# ------------------------------------------------------------------------------------------- the end


@pytest.mark.feature("S2.34", "S3.50")
async def test_logout_ends_the_session_of_the_access_token_at_once_here(here: Process) -> None:
    session, other = await register(here), await here.accounts.login(GUEST, EMAIL, PASSWORD)
    assert await here.accounts.logout(await here.viewer(session), None) == 1
    with pytest.raises(Unauthenticated):
        await here.viewer(session)
    await refused(here.accounts.refresh(GUEST, session.refresh_token))
    await here.viewer(other)


async def test_a_refresh_token_old_or_new_is_enough_to_sign_out(here: Process) -> None:
    session = await register(here)
    fresh = await here.accounts.refresh(GUEST, session.refresh_token)
    assert await here.accounts.logout(GUEST, session.refresh_token) == 1
    assert await here.accounts.logout(GUEST, fresh.refresh_token) == 0
    await refused(here.accounts.logout(GUEST, "unknown"))
    with pytest.raises(Unauthenticated):
        await here.accounts.logout(GUEST, None)


async def test_logout_everywhere_ends_all_of_ones_own_and_nobody_elses(here: Process, there: Process) -> None:
    first, stranger = await register(here), await register(here, "bert@example.org")
    second = await there.accounts.login(GUEST, EMAIL, PASSWORD)
    assert await here.accounts.logout(await here.viewer(first), None, everywhere=True) == 2
    for session in (first, second):
        with pytest.raises(Unauthenticated):
            await here.viewer(session)
    await here.accounts.refresh(GUEST, stranger.refresh_token)


async def test_two_who_sign_out_everywhere_at_once_end_each_session_once(
    here: Process, there: Process, pool: Pool
) -> None:
    session = await register(here)
    for _ in range(4):
        await here.accounts.login(GUEST, EMAIL, PASSWORD)
    viewer = await here.viewer(session)
    counts = await asyncio.gather(
        *(at.accounts.logout(viewer, None, everywhere=True) for at in (here, there) * 3)
    )
    assert sum(counts) == 5
    assert len(await ended_events(pool)) == 5


@pytest.mark.feature("S2.4", "S3.38")
async def test_a_new_password_ends_every_session_and_gives_a_new_one(
    here: Process, there: Process, pool: Pool
) -> None:
    first = await register(here)
    second = await there.accounts.login(GUEST, EMAIL, PASSWORD)
    fresh = await here.accounts.change_password(await here.viewer(first), PASSWORD, "quick trains by day")
    for session in (first, second):
        with pytest.raises(Unauthenticated):
            await here.viewer(session)
        await refused(there.accounts.refresh(GUEST, session.refresh_token))
    await here.viewer(fresh)
    await refused(there.accounts.login(GUEST, EMAIL, PASSWORD))
    await there.accounts.login(GUEST, EMAIL, "quick trains by day")
    assert {event["data"]["reason"] for event in await ended_events(pool)} == {"PASSWORD_CHANGED"}


async def test_a_new_password_needs_the_old_one_and_guesses_at_it_are_counted(here: Process) -> None:
    viewer = await here.viewer(await register(here))
    change = here.accounts.change_password
    await refused(change(viewer, PASSWORD, "short"), RefusalCode.WEAK_PASSWORD)
    with pytest.raises(InvalidInput):
        await change(viewer, PASSWORD, PASSWORD)
    with pytest.raises(Unauthenticated):
        await change(GUEST, PASSWORD, "quick trains by day")
    tally = Tally(
        await asyncio.gather(
            *(outcome(change(viewer, f"guess {n}", "quick trains by day")) for n in range(50))
        )
    )
    assert tally == {"CredentialsRefused": 6, "RateLimited": 44}


async def test_two_new_passwords_at_once_one_counts(here: Process, there: Process) -> None:
    viewer = await here.viewer(await register(here))
    passwords = ("quick trains by day", "no trains on sunday")
    tally = await asyncio.gather(
        *(
            outcome(at.accounts.change_password(viewer, PASSWORD, new))
            for at, new in zip((here, there), passwords, strict=True)
        )
    )
    assert sorted(tally) == ["CredentialsRefused", "Session"]
    await here.accounts.login(GUEST, EMAIL, passwords[tally.index("Session")])


async def test_the_end_of_a_session_reaches_another_process_within_a_second(
    here: Process, there: Process, pool: Pool
) -> None:
    session = await register(here)
    viewer = await there.viewer(session)
    assert viewer.session_id is not None
    told = asyncio.Event()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(make_broker(None))
        feed = Feed(pool, broker)
        feed.tap(
            Stream.SESSION,
            lambda event: (
                there.accounts.ended.note(event.stream_id) if event.type == "session.ended" else None
            ),
        )
        await feed.start()
        running = asyncio.create_task(feed.run())
        there.accounts.ended.watch(viewer.session_id, told.set)
        await here.accounts.logout(viewer, None)
        await asyncio.wait_for(told.wait(), 1.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    with pytest.raises(Unauthenticated):
        await there.viewer(session)


async def test_a_process_that_starts_knows_what_ended_before(here: Process, serves: Pool, pool: Pool) -> None:
    gone, old, live = [await register(here, f"p{n}@example.org") for n in range(3)]
    for session in (gone, old):
        await here.accounts.logout(GUEST, session.refresh_token)
    await pool.execute(
        "UPDATE session SET ended_at = ended_at - interval '32 minutes' WHERE account_id = $1", old.user.id
    )
    late = process(serves)
    await late.accounts.recall_ended()
    assert len(late.accounts.ended) == 1
    with pytest.raises(Unauthenticated):
        await late.viewer(gone)
    await late.viewer(live)


async def test_the_log_tells_of_an_end_once_and_names_nobody(here: Process, pool: Pool) -> None:
    session = await register(here)
    viewer = await here.viewer(session)
    await here.accounts.logout(viewer, None)
    assert await here.accounts.logout(viewer, None) == 0
    (event,) = await ended_events(pool)
    assert (event["stream"], event["stream_id"], event["version"]) == ("session", viewer.session_id, 1)
    assert (event["account_id"], event["organization_id"]) == (viewer.user_id, None)
    said = str(dict(event)).lower()
    for secret in (EMAIL.lower(), "anna", GUEST.address, session.refresh_token.lower()):
        assert secret not in said


async def test_what_is_a_day_past_its_end_is_dropped_and_nothing_else(here: Process, pool: Pool) -> None:
    over, ran_out, live = [await register(here, f"p{n}@example.org") for n in range(3)]
    await here.accounts.logout(GUEST, over.refresh_token)
    await pool.execute("UPDATE session SET ended_at = ended_at - interval '25 hours'")
    await pool.execute(
        "UPDATE session SET expires_at = now() - interval '25 hours' WHERE account_id = $1", ran_out.user.id
    )
    await age(pool, 25 * 3600)
    async with here.accounts.begin(None) as tx:
        assert await tx.accounts.forget(100) == 2 + 1  # and the counter of sign-ups
    assert await pool.fetchval("SELECT account_id FROM session") == live.user.id


async def ended_events(pool: Pool) -> list[asyncpg.Record]:
    return list(await pool.fetch("SELECT * FROM event WHERE type = 'session.ended'"))


async def live_tokens(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM refresh_token WHERE used_at IS NULL"))
