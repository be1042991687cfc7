"""The log is trimmed from its beginning, in small steps, and whoever followed from there starts anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from db.upkeep import Upkeep
from domain.events import Position
from domain.housekeeping import Housekeeping
from domain.ids import new_id
from schema.ids import encode
from tests.world import Departure, World

MONTH = timedelta(days=30)
WATCH = """
subscription ($id: ID!, $after: Cursor) {
  seatChanges(target: {scheduleId: $id}, after: $after) {
    __typename ... on StreamMessage { cursor }
    ... on SeatSnapshot { schedules { version } } ... on SeatDelta { version } ... on Resync { reason }
  }
}
"""
RESERVE = """
mutation ($id: ID!, $labels: [String!]!) {
  reserve(input: {target: {seats: {scheduleId: $id, labels: $labels}}}) { __typename }
}
"""
PAGE = """
query ($organization: ID!) {
  events(first: 100, filter: {organizationId: $organization}) { edges { cursor } pageInfo { endCursor } }
}
"""
EVENTS = """
subscription ($organization: ID!, $after: Cursor) {
  events(filter: {organizationId: $organization}, after: $after) { __typename ... on StreamMessage { cursor } }
}
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection beside the world's, that may do anything."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET holdfast.caller = 'system'")
    yield connection
    await connection.close()


@pytest.fixture
def house(world: World) -> Housekeeping:
    return Housekeeping(world.app.database.begin, MONTH)


async def written(database: asyncpg.Connection[asyncpg.Record], *ages: int) -> UUID:
    """One event a transaction, of so many days ago each; the stream they are of."""
    stream = new_id()
    for version, days in enumerate(ages, start=1):
        await database.execute(
            "INSERT INTO event (stream, stream_id, version, type, at, actor, data)"
            " VALUES ('schedule', $1, $2, 'test', now() - $3 * interval '1 day', 'system', '{}')",
            stream,
            version,
            days,
        )
    return stream


async def versions(database: asyncpg.Connection[asyncpg.Record], stream: UUID) -> list[int]:
    rows = await database.fetch("SELECT version FROM event WHERE stream_id = $1 ORDER BY version", stream)
    return [row["version"] for row in rows]


@pytest.mark.feature("S2.48")
async def test_what_is_older_than_the_setting_says_goes_and_the_log_says_where_it_begins(
    world: World, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    stream = await written(database, 40, 35, 31, 29, 1)
    last = await database.fetchrow(
        "SELECT xid::text, id FROM event WHERE stream_id = $1 AND version = 3", stream
    )
    assert await house.trim() == 3
    assert await versions(database, stream) == [4, 5]
    beginning, _ = await world.app.feed.log_reach()
    assert last is not None
    assert beginning == Position(int(last["xid"]), last["id"])
    assert await house.trim() == 0


async def test_what_is_old_but_behind_something_young_stays_for_the_log_has_no_holes(
    database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    stream = await written(database, 40, 1, 40)
    assert await house.trim() == 1
    assert await versions(database, stream) == [2, 3]


async def test_nothing_goes_whose_place_is_not_final(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    dawdling = await asyncpg.connect(database_url)
    try:
        first = await written(database, 40)
        async with dawdling.transaction():
            await dawdling.execute("SELECT pg_current_xact_id()")
            later = await written(database, 40)
            assert await house.trim() == 1
            assert (await versions(database, first), await versions(database, later)) == ([], [1])
        assert await house.trim() == 1
    finally:
        await dawdling.close()


async def test_two_processes_do_not_keep_house_at_once(
    world: World, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    await written(database, 40)
    await database.execute(
        "INSERT INTO idempotency_key (scope, key, operation, fingerprint, created_at)"
        " VALUES ('scope', 'key', 'reserve', '', now() - interval '2 days')"
    )
    async with world.app.database.begin(None) as other:
        assert await other.upkeep.alone()
        assert (await house.trim(), await house.sweep()) == (0, 0)
    assert (await house.trim(), await house.sweep()) == (1, 1)


async def test_the_log_is_kept_for_ever_if_the_setting_says_so(
    world: World, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    stream = await written(database, 4_000)
    assert await Housekeeping(world.app.database.begin).trim() == 0
    assert await versions(database, stream) == [1]


async def test_a_step_is_as_long_as_it_may_be_and_no_longer(
    world: World, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await written(database, 40, 40, 40)
    async with world.app.database.begin(None) as tx:
        assert isinstance(tx.upkeep, Upkeep)
        assert [await tx.upkeep.trim(MONTH, 2), await tx.upkeep.trim(MONTH, 2)] == [2, 1]


async def reserved(world: World, departure: Departure, *labels: str) -> None:
    assert (await world.data(RESERVE, id=departure.id, labels=list(labels)))["__typename"] == "Reservation"


async def aged(database: asyncpg.Connection[asyncpg.Record]) -> None:
    await database.execute("UPDATE event SET at = at - interval '31 days'")


async def test_a_watcher_of_seats_goes_on_across_the_trimming_or_starts_anew(
    world: World, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    departure = await world.departure()
    async with world.watching(WATCH, id=departure.id) as watch:
        early = (await watch.next())["cursor"]
        await reserved(world, departure, "A1")
        late = (await watch.next())["cursor"]
        await aged(database)
        assert await house.trim() > 0
        await reserved(world, departure, "A2")
        assert (await watch.next())["__typename"] == "SeatDelta"
    async with world.watching(WATCH, id=departure.id, after=late) as watch:
        assert (await watch.next())["__typename"] == "SeatDelta"
    async with world.watching(WATCH, id=departure.id, after=early) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        snapshot = await watch.next()
        assert snapshot["schedules"] == [{"version": 2}]
        await reserved(world, departure, "A3")
        assert (await watch.next())["version"] == 3


async def test_versions_go_on_where_all_events_of_a_stream_are_gone(
    world: World, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    departure = await world.departure()
    await reserved(world, departure, "A1")
    async with world.watching(WATCH, id=departure.id) as watch:
        cursor = (await watch.next())["cursor"]
    await aged(database)
    await house.trim()
    assert await versions(database, departure.schedule_id) == []
    async with world.watching(WATCH, id=departure.id, after=cursor) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        before = (await watch.next())["schedules"][0]["version"]
        await reserved(world, departure, "A2")
        assert (await watch.next())["version"] == before + 1


async def test_a_follower_of_the_log_from_before_its_beginning_starts_anew(
    world: World, database: asyncpg.Connection[asyncpg.Record], house: Housekeeping
) -> None:
    departure = await world.departure()
    organization = encode("Organization", departure.organization.id)
    await reserved(world, departure, "A1")
    page = await world.data(PAGE, departure.staff, organization=organization)
    early, late = page["edges"][0]["cursor"], page["pageInfo"]["endCursor"]
    await aged(database)
    await house.trim()
    await reserved(world, departure, "A2")
    async with world.watching(EVENTS, departure.staff, organization=organization, after=late) as watch:
        assert (await watch.next())["__typename"] == "EventDelivered"
    async with world.watching(EVENTS, departure.staff, organization=organization, after=early) as watch:
        assert (await watch.next())["__typename"] == "Resync"
