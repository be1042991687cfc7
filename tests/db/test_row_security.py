"""Row security: a statement without its WHERE meets nothing foreign, whatever its connection was used for before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from db.engine import Connection, Pool, PoolSize, open_pool
from db.keys import Keys
from db.policies import POLICIES
from db.transaction import asking, begun, rolled_back
from domain.access import Role
from domain.ids import new_id
from domain.viewer import Viewer
from tests.servers import serving
from tests.world import World

EVERYBODYS = {
    "allocation",
    "automation_worker",
    "installation",
    "login_throttle",
    "offering",
    "organization",
    "portal",
    "resource",
    "schedule",
    "schema_version",
    "seat_layout",
    "webhook_cursor",
    "worker_loop",
}
"""Tables whose rows have no owner. A new table goes in here, or gets a policy (db/policies.py, and a migration)."""

WHOSE = {
    "account": "id::text",
    "membership": "account_id::text",
    "session": "account_id::text",
    "refresh_token": "convert_from(hash, 'UTF8')",
    "reservation": "contact_name",
    "booking": "contact_name",
    "event": "data ->> 'whose'",
    "idempotency_key": "key",
    "api_key": "account_id::text",
    "webhook_endpoint": "url",
    "webhook_delivery": "(SELECT url FROM webhook_endpoint w WHERE w.id = endpoint_id)",
    "automation_job": "subject",
    "artifact": "(SELECT subject FROM automation_job j WHERE j.id = job_id)",
}
"""Whose a row is: a name, or the id of an account."""

CHANGE = {
    "account": "name = name",
    "membership": "role = role",
    "session": "ended_reason = ended_reason",
    "refresh_token": "used_at = used_at",
    "reservation": "version = version",
    "booking": "version = version",
    "idempotency_key": "key = key",
    "api_key": "revoked_at = revoked_at",
    "webhook_endpoint": "version = version",
    "webhook_delivery": "tries = tries",
    "automation_job": "version = version",
    "artifact": "kind = kind",
}

SOLD = "schedule_id, organization_id, seats, total_amount, total_currency, created_at"

SELL = """
WITH held AS (
  INSERT INTO reservation (id, schedule_id, organization_id, account_id, holder, status, seats, total_amount,
    total_currency, ttl, created_at, expires_at, contact_name, contact_email)
  SELECT $1, s.id, s.organization_id, $2, '\\x00', 'CONVERTED', '{0}', 1, 'INR', '5 min', now(), now(), $3, $3
  FROM schedule s WHERE s.id = $4
),
sold AS (
  INSERT INTO booking (id, reference, schedule_id, organization_id, reservation_id, account_id, status, seats,
    total_amount, total_currency, contact_name, contact_email, created_at)
  SELECT gen_random_uuid(), $3, s.id, s.organization_id, $1, $2, 'CONFIRMED', '{0}', 1, 'INR', $3, $3, now()
  FROM schedule s WHERE s.id = $4
),
used AS (
  INSERT INTO idempotency_key (scope, key, operation, fingerprint) VALUES (convert_to($3, 'UTF8'), $3, 'book', '')
)
INSERT INTO event (stream, stream_id, version, type, at, actor, organization_id, account_id, resource_id, data)
SELECT 'booking', $1, 1, 'booking.confirmed', now(), 'system', s.organization_id, $2, s.resource_id,
  jsonb_build_object('whose', $3::text) FROM schedule s WHERE s.id = $4
"""


START = """
WITH portal AS (INSERT INTO portal (key, organization_id) VALUES ($3, $2) RETURNING key),
job AS (
  INSERT INTO automation_job (id, account_id, organization_id, portal_key, config, subject, status, message, steps,
    created_at, deadline_at)
  SELECT gen_random_uuid(), $1, $2, key, '{}', $3, 'QUEUED', '', '[]', now(), now() FROM portal RETURNING id
)
INSERT INTO artifact (id, job_id, kind, taken_at) SELECT id, id, 'TRACE', now() FROM job
"""

MAKE_KEY = """
INSERT INTO api_key (id, organization_id, account_id, name, prefix, hash, scopes)
VALUES (gen_random_uuid(), $1, $2, 'till', gen_random_uuid()::text, '', '{AUTOMATION}')
"""

LISTEN = """
WITH endpoint AS (
  INSERT INTO webhook_endpoint (id, organization_id, account_id, url, types)
  VALUES (gen_random_uuid(), $1, $2, $3, '{*}') RETURNING id
)
INSERT INTO webhook_delivery (endpoint_id, stream_id, version) SELECT id, id, 1 FROM endpoint
"""


@dataclass
class Case:
    """Two houses that sold to two customers and a guest, and a pool of one connection for all who ask."""

    world: World
    pool: Pool
    callers: dict[str, Viewer | None]
    schedules: tuple[UUID, UUID]

    async def whose(self, caller: str, statement: str) -> set[str]:
        """Whose rows a caller's statement gives; nothing of it stays."""
        async with self.asking(caller) as connection:
            found = await connection.fetch(statement)
        known = {str(viewer.user_id): name for name, viewer in self.callers.items() if viewer}
        return {known.get(row[0], row[0]) for row in found}

    async def refuses(self, caller: str, statement: str, *values: object) -> str:
        """What the database says to a caller's statement that it refuses."""
        async with self.asking(caller) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError) as refusal:
                await connection.execute(statement, *values)
        return str(refusal.value)

    @asynccontextmanager
    async def asking(self, *callers: str) -> AsyncIterator[Connection]:
        connection = await begun(self.pool, [self.callers[caller] for caller in callers])
        try:
            yield connection
        finally:
            await rolled_back(connection)
            await self.pool.release(connection)

    def account(self, name: str) -> UUID | None:
        viewer = self.callers[name]
        return viewer.user_id if viewer else None

    def session(self, name: str) -> UUID | None:
        viewer = self.callers[name]
        return viewer.session_id if viewer else None


@pytest.fixture
async def case(world: World, database_url: str) -> AsyncIterator[Case]:
    here, there = await world.departure(seats=4), await world.departure(seats=4)
    anna, bert, former = await world.person(), await world.person(), await world.person()
    provider = await world.member(here.organization, Role.PROVIDER)
    guests, tables = new_id(), world.tables
    await tables.execute("DELETE FROM event")  # the houses' own
    for id_, account, name, departure in (
        (new_id(), anna.user_id, "anna", here),
        (new_id(), bert.user_id, "bert", there),
        (guests, None, "guest", here),
    ):
        await tables.execute(SELL, id_, account, name, departure.schedule_id)
    for departure, person in ((here, provider), (there, former)):
        await tables.execute(
            "UPDATE resource SET provider_id = $2 WHERE id = $1", departure.resource.id, person.user_id
        )
    for name, person in (("anna", anna), ("bert", bert)):
        await tables.execute(
            "INSERT INTO refresh_token (hash, session_id) VALUES ($1, $2)", name.encode(), person.session_id
        )
    for name, person, departure in (("anna", anna, here), ("bert", bert, there)):
        await tables.execute(START, person.user_id, departure.organization.id, name)
    for departure in (here, there):
        await tables.execute(MAKE_KEY, departure.organization.id, departure.staff.user_id)
    for organization_id, account_id, name in (
        (None, anna.user_id, "anna"),
        (None, bert.user_id, "bert"),
        (here.organization.id, None, "staff"),
        (there.organization.id, None, "rival"),
    ):
        await tables.execute(LISTEN, organization_id, account_id, name)
    callers = {
        "stranger": world.guest(),
        "guest": world.guest().showing(guests),
        "anna": anna,
        "bert": bert,
        "staff": here.staff,
        "rival": there.staff,
        "provider": provider,
        "former": former,
        "system": None,
    }
    async with open_pool(serving(database_url), PoolSize(1, 1)) as pool:
        yield Case(world, pool, callers, (here.schedule_id, there.schedule_id))


def expected(table: str, caller: str) -> set[str]:
    """Whose rows a caller is to meet."""
    customers, signed_in = {"anna", "bert", "guest"}, {"anna", "bert", "staff", "rival", "provider", "former"}
    whole = {
        "account": signed_in,
        "session": signed_in,
        "membership": {"staff", "rival", "provider"},
        "refresh_token": {"anna", "bert"},
        "api_key": {"staff", "rival"},
        "webhook_endpoint": {"anna", "bert", "staff", "rival"},
        "webhook_delivery": {"anna", "bert", "staff", "rival"},
        "automation_job": {"anna", "bert"},
        "artifact": {"anna", "bert"},
    }.get(table, customers)
    if caller == "system":
        return whole
    if table == "idempotency_key":
        return set()  # nobody has claimed one
    sold = {"staff": {"anna", "guest"}, "rival": {"bert"}}
    if table in ("booking", "event"):
        sold["provider"] = {"anna", "guest"}
    own = {caller} - ({"guest"} if table == "event" else set())
    houses = whole is customers or table in ("automation_job", "artifact")
    return own & whole | (sold.get(caller, set()) & whole if houses else set())


# ------------------------------------------------------------------------------------------- reading


async def test_every_table_is_everybodys_or_guarded_even_from_its_owner(world: World) -> None:
    rows = await world.tables.fetch("""
      SELECT relname, relrowsecurity AND relforcerowsecurity AS guarded, relrowsecurity OR relforcerowsecurity AS any,
        EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) AS policies
      FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v', 'f')""")
    assert {row["relname"] for row in rows if not row["any"]} == EVERYBODYS
    assert (
        {row["relname"] for row in rows if row["guarded"] and row["policies"]} == set(POLICIES) == set(WHOSE)
    )


@pytest.mark.feature("S2.28")
async def test_a_query_without_its_where_shows_nothing_foreign(case: Case) -> None:
    for table in [*POLICIES] * 2:  # the second time, the one connection was everybody's before
        for caller in case.callers:
            found = await case.whose(caller, f"SELECT {WHOSE[table]} FROM {table}")
            assert found == expected(table, caller), (table, caller)


async def test_without_the_policies_the_same_query_shows_everything(case: Case) -> None:
    """The control: were there none, these tests would see it."""
    for table in POLICIES:
        await case.world.tables.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        for caller in case.callers:
            found = await case.whose(caller, f"SELECT {WHOSE[table]} FROM {table}")
            assert found == expected(table, "system"), (table, caller)


async def test_a_setting_ends_with_its_transaction_however_that_ends(case: Case) -> None:
    async def nothing_is_left() -> None:
        async with case.pool.acquire() as connection:
            assert not await connection.fetchval("SELECT current_setting('holdfast.caller', true)")
            assert not await connection.fetchval("SELECT current_setting('holdfast.scopes', true)")
            for table in POLICIES:
                assert await connection.fetch(f"SELECT FROM {table}") == []

    scope = "SELECT set_config('holdfast.scopes', encode('anna', 'hex'), true)"
    await nothing_is_left()
    for caller in ("anna", "system"):
        viewer = case.callers[caller]
        async with asking(case.pool, viewer) as connection:
            await connection.execute(scope)
            assert await connection.fetch("SELECT FROM booking")
        await nothing_is_left()
        async with case.asking(caller) as connection:
            await connection.execute(scope)
        await nothing_is_left()
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with asking(case.pool, viewer) as connection:
                await connection.execute("SELECT 1 / 0")
        await nothing_is_left()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), asking(case.pool, viewer) as connection:
                await connection.execute("SELECT pg_sleep(10)")
        await nothing_is_left()


async def test_callers_whose_requests_were_gathered_are_shown_what_each_of_them_is(case: Case) -> None:
    async with case.asking("anna", "guest", "stranger") as connection:
        rows = await connection.fetch("SELECT contact_name FROM booking")
    assert {row[0] for row in rows} == {"anna", "guest"}


async def test_a_claim_shows_the_keys_of_its_own_scope(case: Case) -> None:
    for name in ("anna", "bert"):
        async with case.asking(name) as connection:
            await Keys(connection).claim(name.encode(), "another")
            rows = await connection.fetch("SELECT key FROM idempotency_key")
            assert [row[0] for row in rows] == [name]


async def test_who_went_through_a_door_is_who_they_were(case: Case) -> None:
    doors = (
        "SELECT * FROM account_of_address('nobody@test.example')",
        "SELECT * FROM session_of_token('bert')",
        "SELECT * FROM booking_of_reference('bert', 'BERT')",
        "SELECT reservation_of_booking(gen_random_uuid())",
        "SELECT * FROM active_of_holder('\\x00', now())",
        "SELECT * FROM automation_queue()",
    )
    for caller in ("anna", "stranger"):
        async with case.asking(caller) as connection:
            for door in doors:
                await connection.fetch(door)
            rows = await connection.fetch("SELECT contact_name FROM booking")
            assert {row[0] for row in rows} == expected("booking", caller)


# ------------------------------------------------------------------------------------------- writing


async def test_a_change_without_its_where_meets_nothing_foreign(case: Case) -> None:
    for table, change in CHANGE.items():
        for caller in case.callers:
            systems = table in ("membership", "artifact")
            may_not = caller != "system" if systems else (caller, table) == ("provider", "booking")
            changed = await case.whose(caller, f"UPDATE {table} SET {change} RETURNING {WHOSE[table]}")
            assert changed == (set() if may_not else expected(table, caller)), (table, caller)


async def test_nothing_foreign_is_deleted(case: Case) -> None:
    for table in ("session", "event", "idempotency_key", "artifact", "webhook_delivery", "webhook_endpoint"):
        for caller in case.callers:
            may = caller == "system" or table in ("session", "webhook_delivery", "webhook_endpoint")
            gone = await case.whose(caller, f"DELETE FROM {table} RETURNING {WHOSE[table]}")
            assert gone == (expected(table, caller) if may else set()), (table, caller)


async def test_nobody_writes_in_the_name_of_another(case: Case) -> None:
    new, bert = f"'{new_id()}'", f"'{case.account('bert')}'"
    house = "(SELECT organization_id FROM schedule LIMIT 1)"
    copies = {
        "account": f"(id, email, password_hash) VALUES ({new}, 'more@test.example', '')",
        "membership": f"(account_id, organization_id, role) VALUES ('{case.account('anna')}', {house}, 'ADMIN')",
        "session": f"(id, account_id, expires_at) VALUES ({new}, {bert}, now())",
        "refresh_token": f"(hash, session_id) VALUES ('more', '{case.session('bert')}')",
        "reservation": f"(id, account_id, {SOLD}, holder, ttl, expires_at)"
        f" SELECT {new}, {bert}, {SOLD}, holder, ttl, expires_at FROM reservation",
        "booking": f"(id, account_id, {SOLD}, reference, status)"
        f" SELECT {new}, {bert}, {SOLD}, 'more', status FROM booking",
        "event": "(stream, stream_id, version, type, at, actor, actor_id, data)"
        f" VALUES ('x', {new}, 1, 'x', now(), 'user', {bert}, '{{}}')",
        "api_key": f"(id, organization_id, account_id, name, prefix, hash, scopes)"
        f" VALUES ({new}, {house}, '{case.account('anna')}', 'till', 'x', '', '{{AUTOMATION}}')",
        "webhook_endpoint": f"(id, account_id, url, types) VALUES ({new}, {bert}, 'more', '{{*}}')",
        "webhook_delivery": f"(endpoint_id, stream_id, version) VALUES ({new}, {new}, 2)",
        "idempotency_key": "(scope, key, operation, fingerprint) VALUES ('bert', 'more', 'book', '')",
        "automation_job": "(id, account_id, organization_id, portal_key, config, subject, status, message, steps,"
        " created_at, deadline_at)"
        f" VALUES ({new}, {bert}, {house}, 'anna', '{{}}', '', 'QUEUED', '', '[]', now(), now())",
        "artifact": f"(id, job_id, kind, taken_at) SELECT {new}, id, kind, taken_at FROM artifact",
    }
    for table in POLICIES:
        refused = await case.refuses("anna", f"INSERT INTO {table} {copies[table]}")
        assert refused == f'new row violates row-level security policy for table "{table}"'


BEYOND = """
ALTER TABLE booking DISABLE ROW LEVEL SECURITY
ALTER TABLE booking NO FORCE ROW LEVEL SECURITY
DROP POLICY caller ON booking
ALTER POLICY caller ON booking USING (true)
CREATE POLICY more ON booking USING (true)
DROP TABLE booking
TRUNCATE booking CASCADE
ALTER TABLE booking ADD more text
CREATE INDEX ON booking (id)
CREATE TABLE more (id integer)
CREATE OR REPLACE FUNCTION reservation_of_booking(booking uuid, OUT id uuid) LANGUAGE sql AS 'SELECT $1'
CREATE SCHEMA more
CREATE ROLE more
ALTER ROLE CURRENT_USER BYPASSRLS
SET ROLE holdfast
SET SESSION AUTHORIZATION holdfast
DELETE FROM booking
DELETE FROM account
UPDATE event SET type = type
UPDATE installation SET log_epoch = gen_random_uuid()
COPY booking TO PROGRAM 'true'
"""


async def test_the_role_that_serves_can_do_nothing_else(case: Case) -> None:
    for statement in BEYOND.strip().splitlines():
        await case.refuses("system", statement)


async def test_row_security_cannot_be_switched_off(case: Case) -> None:
    async with case.asking("anna") as connection:
        await connection.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.fetch("SELECT FROM booking")


async def test_the_tables_owner_sees_nothing_either_without_saying_who_asks(
    case: Case, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        for table in POLICIES:
            assert await owner.fetch(f"SELECT FROM {table}") == []
            assert await case.world.tables.fetch(f"SELECT FROM {table}")
    finally:
        await owner.close()
