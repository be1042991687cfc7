"""Lists in pages: nothing twice, nothing left out, whatever is added meanwhile; and a fixed number of statements."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

from domain.bookings import Book
from domain.holding import Seats
from domain.reservations import OnReservation
from domain.reserving import Reserve
from domain.viewer import Viewer
from schema.documents import DocumentLimits
from schema.executor import Executor
from schema.ids import encode
from schema.root import schema
from tests.graphql.statements import counted
from tests.world import Departure, World

Json = dict[str, Any]
PAGE = (
    "nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
)
LISTS = {
    name: f"query ($first: Int!, $after: {cursor}) {{ {name}(first: $first, after: $after{more}) {{ {PAGE} }} }}"
    for name, cursor, more in (
        ("organizations", "String", ""),
        ("offerings", "String", ""),
        ("resources", "String", ""),
        ("schedules", "String", ", search: {}"),
        ("reservations", "String", ""),
        ("bookings", "String", ""),
        ("events", "Cursor", ""),
    )
}
NINE = datetime(2030, 5, 1, 9)  # noqa: DTZ001 - a wall clock


async def a_few_of_each(world: World, schedules: int = 6, sales: int = 3) -> Departure:
    """A departure whose staff has reservations and bookings, among more offerings, resources and schedules."""
    departure = await world.departure(seats=40)
    staff, use = departure.staff, world.app.services
    starts = [NINE + timedelta(days=number) for number in range(schedules // 2)]
    await world.open(staff, departure.offering, departure.resource, starts)
    for number in range(4):
        await world.organization("Same name")
        beside = await world.resource(departure.organization, staff)
        await world.offering(departure.organization, staff)
        if number < 2:  # starts at the same instants as others
            await world.open(staff, departure.offering, beside, starts)
    for number in range(2 * sales):
        seat = Seats([f"{'ABCDEFGHIJ'[number % 10]}{number // 10 + 1}"])
        held = await use.reservations.reserve(staff, Reserve(departure.schedule_id, seat))
        if number % 2:
            await use.bookings.book(staff, Book(OnReservation(held.id)))
    await world.app.feed.turn()
    return departure


async def test_pages_put_together_are_the_whole_list(world: World) -> None:
    staff = (await a_few_of_each(world)).staff
    for document in LISTS.values():
        whole = await world.data(document, staff, first=100)
        ids = [node["id"] for node in whole["nodes"]]
        assert len(ids) == len(set(ids)) >= 3
        assert not whole["pageInfo"]["hasNextPage"]
        for first in 1, 2, len(ids):
            pages = [page async for page in pages_of(world, document, staff, first)]
            assert [node["id"] for page in pages for node in page["nodes"]] == ids
        after = pages[-1]["pageInfo"]["endCursor"]
        beyond = await world.data(document, staff, first=1, after=after)
        assert (beyond["nodes"], beyond["pageInfo"]["endCursor"]) == ([], None)


async def pages_of(world: World, document: str, viewer: Viewer, first: int) -> AsyncIterator[Json]:
    """The pages of a list from its beginning to its end, each of them whole in itself."""
    after, more = None, True
    while more:
        page = await world.data(document, viewer, first=first, after=after)
        info, edges = page["pageInfo"], page["edges"]
        assert [edge["node"] for edge in edges] == page["nodes"]
        assert [info["startCursor"], info["endCursor"]] == [edges[0]["cursor"], edges[-1]["cursor"]]
        assert info["hasPreviousPage"] == (after is not None)
        yield page
        after, more = info["endCursor"], info["hasNextPage"]


async def test_what_is_opened_meanwhile_moves_no_page(world: World) -> None:
    departure = await a_few_of_each(world, schedules=10)
    before = {node["id"] for node in (await world.data(LISTS["schedules"], first=100))["nodes"]}
    seen: list[str] = []
    after, number, more = None, 0, True
    while more:
        page = await world.data(LISTS["schedules"], first=2, after=after)
        seen += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        number += 1
        for shift in timedelta(hours=-5), timedelta(days=20 + number):  # one in front of the page, one behind
            if number <= 5:
                start = NINE + shift + timedelta(days=number if shift < timedelta() else 0)
                await world.open(departure.staff, departure.offering, departure.resource, [start])
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_a_cursor_of_another_list_or_hand_is_refused(world: World) -> None:
    staff = (await a_few_of_each(world)).staff
    cursors = {
        each: (await world.data(LISTS[each], staff, first=1))["pageInfo"]["endCursor"] for each in LISTS
    }
    for name, document in LISTS.items():
        foreign = [cursor for other, cursor in cursors.items() if other != name]
        for cursor in (*foreign, *forged(name, cursors[name]), "", "x", "é", "\0", "A" * 600):
            assert await world.code(document, staff, first=1, after=cursor) == "BAD_USER_INPUT", (
                name,
                cursor,
            )


def forged(name: str, own: str) -> Iterator[str]:
    """Cursors that look like one of this list."""
    kind, *parts = json.loads(base64.urlsafe_b64decode(own + "=" * (-len(own) % 4)))
    made: list[list[Any]] = [
        [kind, *parts, 1],
        [kind, *parts[:-1]],
        [kind, *parts[:-1], None],
        [kind, *parts[:-1], {}],
    ]
    made += [[name], [], [kind, *["\0"] * len(parts)]]
    if name in ("schedules", "reservations", "bookings"):
        instants = ("2030-01-01T00:00", "2030-01-01", "0001-01-01T00:00:00+23:00", "x", 1)
        made += [[kind, instant, parts[1]] for instant in instants]
    if name == "events":
        made += [
            ["log", parts[0], -1, 0],
            ["log", parts[0], 2**63, 0],
            ["log", parts[0], True, 0],
            ["log", 1, 1, 1],
        ]
    for each in made:  # written as ours are, so that what is refused is what they say
        text = json.dumps(each, separators=(",", ":"), ensure_ascii=False)
        yield base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    yield from (own + "=", own[:-2])


async def test_a_page_has_one_to_a_hundred(world: World) -> None:
    staff = (await world.departure()).staff
    for document in LISTS.values():
        for first in 0, -1, 101, 2**31 - 1:
            assert await world.code(document, staff, first=first) == "BAD_USER_INPUT"
        await world.data(document, staff, first=100)


async def test_many_nodes_at_once_are_a_hundred_at_most(world: World) -> None:
    departure = await world.departure()
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    ids = [departure.id, "x", encode("Schedule", departure.offering.id)]
    assert await world.data(query, ids=ids) == [{"id": departure.id}, None, None]
    assert await world.code(query, ids=["x"] * 101) == "BAD_USER_INPUT"


# ------------------------------------------------------------------ statements

SCHEDULE = """id status version seatString counts { available } during { localStart }
  offering { name organization { name } } resource { name organization { name } layout { id seats { label } } }
  seats { status mine seat { label } }"""
DEEP = {
    "schedules": f"query ($first: Int!) {{ schedules(first: $first, search: {{}}) {{ nodes {{ {SCHEDULE} }} }} }}",
    "reservations": f"""query ($first: Int!) {{ reservations(first: $first) {{ nodes {{ id seats {{ mine }}
      booking {{ id seats {{ mine }} }} schedule {{ {SCHEDULE} }} }} }} }}""",
    "bookings": f"""query ($first: Int!) {{ bookings(first: $first) {{ nodes {{ id contact {{ email }} seats {{ mine }}
      schedule {{ {SCHEDULE} }} }} }} }}""",
    "events": "query ($first: Int!) { events(first: $first) { nodes { id type actor subjectId data } } }",
    "resources": "query ($first: Int!) { resources(first: $first) { nodes { id organization { id } layout { id } } } }",
    "offerings": "query ($first: Int!) { offerings(first: $first) { nodes { id organization { id } } } }",
}


async def test_a_long_list_costs_the_statements_of_a_short_one(world: World) -> None:
    world.executor = Executor(schema, DocumentLimits(cost=100_000))
    staff = (await a_few_of_each(world, schedules=100, sales=9)).staff
    ran = await counted(world)
    for document in DEEP.values():
        await world.data(document, staff, first=100)  # layouts are read once a process
        costs = []
        for first in 1, 100:
            ran.clear()
            page = await world.data(document, staff, first=first)
            assert len(page["nodes"]) >= min(first, 5)
            costs.append(sorted(ran))
        assert costs[0] == costs[1]
        assert 0 < len(costs[0]) <= 9
