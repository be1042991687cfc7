"""Reserving, extending, releasing, and looking at what one has reserved, through GraphQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.access import Role
from domain.curation import DEFAULT_TTL, SaveOffering
from domain.money import Money
from schema.ids import decode
from schema.root import schema
from tests.audit import broken_rules, trade_tables
from tests.graphql.documents import (
    BLOCK,
    BOOK,
    CANCEL,
    EXTEND,
    FORCE_RELEASE,
    RELEASE,
    RESERVATION,
    RESERVE,
    SCHEDULE,
)
from tests.graphql.trading import (
    EMAIL,
    best,
    booked,
    departing,
    instant,
    let_time_pass,
    named,
    reserved,
    stranger,
)
from tests.world import World, new_world

HOUR = timedelta(hours=1)
MINE = """
query Mine($first: Int!, $after: String, $status: ReservationStatus, $organizationId: ID) {
  reservations(first: $first, after: $after, status: $status, organizationId: $organizationId) {
    nodes { id status token } pageInfo { hasNextPage endCursor }
  }
}
"""


@pytest.fixture
async def strict(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """Give a world where an account holds two reservations at most, and an address three."""
    limits = {"max_active_reservations": 2, "max_active_reservations_per_address": 3}
    async with new_world(data_dir, database_url, **limits) as made:
        yield made


async def age(world: World, held: Any, by: timedelta = HOUR) -> None:
    """Let time pass for a reservation."""
    await world.age(decode(held["id"], "Reservation")[1], by)


@pytest.mark.feature("S4.9", "S4.40")
async def test_a_guest_holds_two_seats_and_the_next_caller_is_offered_others(world: World) -> None:
    departure = await world.departure()
    held = await world.data(RESERVE, input=named(departure, "A2", "A1"))
    assert held["__typename"] == "Reservation"
    assert held["total"] == {"amount": "1000.00", "currency": "INR"}
    assert [(s["seat"]["label"], s["status"], s["mine"]) for s in held["seats"]] == [
        ("A1", "HELD", True),
        ("A2", "HELD", True),
    ]
    refused = await world.data(RESERVE, input=named(departure, "A1", "A2", "A3"))
    assert refused["code"] == "SEATS_UNAVAILABLE"
    assert [each["seat"]["label"] for each in refused["unavailable"]] == ["A1", "A2"]
    assert len(refused["alternatives"]) == 5
    assert {each["status"] for each in refused["alternatives"]} == {"AVAILABLE"}
    assert await world.allocations(departure.schedule_id) == {0: "HELD", 1: "HELD"}


async def test_the_best_seats_are_side_by_side_and_refused_where_they_are_too_few(world: World) -> None:
    departure = await world.departure(seats=8)
    first = await world.data(RESERVE, input=best(departure, 2))
    assert [seat["seat"]["label"] for seat in first["seats"]] == ["A1", "A2"]
    await reserved(world, departure, "A3", "B2", "B3")
    refused = await world.data(RESERVE, input=best(departure, 2))
    assert (refused["code"], refused["unavailable"]) == ("SEATS_UNAVAILABLE", [])
    assert [each["seat"]["label"] for each in refused["alternatives"]] == ["A4", "B1", "B4"]
    apart = await world.data(RESERVE, input=best(departure, 2, together=False))
    assert apart["__typename"] == "Reservation"


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no seat": ({"seats": {"labels": []}}, ["target", "seats", "labels"]),
    "an unknown seat": ({"seats": {"labels": ["A1", "K1"]}}, ["target", "seats", "labels"]),
    "a seat twice": ({"seats": {"labels": ["A1", "A1"]}}, ["target", "seats", "labels"]),
    "too many seats": ({"seats": {"labels": ["A1", "A2", "A3", "A4"]}}, ["target", "seats", "labels"]),
    "none of the best": ({"bestAvailable": {"count": 0}}, ["target", "bestAvailable", "count"]),
    "less than none": ({"bestAvailable": {"count": -1}}, ["target", "bestAvailable", "count"]),
    "too many of the best": ({"bestAvailable": {"count": 4}}, ["target", "bestAvailable", "count"]),
    "an unknown category": (
        {"bestAvailable": {"count": 1, "category": "gold"}},
        ["target", "bestAvailable", "category"],
    ),
}


async def test_what_no_schedule_could_ever_grant_is_invalid_and_says_where(world: World) -> None:
    departure = await world.departure(max_seats=3)
    before = await trade_tables(world.tables)
    for wrong, (target, path) in WRONG.items():
        ((kind, wish),) = target.items()
        asked = {"target": {kind: {"scheduleId": departure.id, **wish}}}
        refused = await world.data(RESERVE, stranger(world), input=asked)
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", path), wrong
    for place, given in (("email", "nobody"), ("phone", "call me"), ("name", "a\nb")):
        unreachable = {**named(departure, "A1"), "contact": {place: given}}
        refused = await world.data(RESERVE, stranger(world), input=unreachable)
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["contact", place])
    both: dict[str, Any] = {**named(departure, "A1")["target"], **best(departure, 1)["target"]}
    none: dict[str, Any] = {}
    for target in (none, both):
        assert await world.code(RESERVE, input={"target": target}) == "BAD_USER_INPUT"
    assert await trade_tables(world.tables) == before
    allowed = await world.data(RESERVE, input=named(departure, "A1", "A2", "A3"))
    assert allowed["__typename"] == "Reservation"


async def test_what_has_started_or_is_closed_is_not_sold(world: World) -> None:
    departure = await departing(world, timedelta(minutes=-1))
    refused = await world.data(RESERVE, input=named(departure, "A1"))
    assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["target"])
    closed = await departing(world, HOUR)
    await world.tables.execute("UPDATE schedule SET status = 'CLOSED' WHERE id = $1", closed.schedule_id)
    refused = await world.data(RESERVE, input=named(closed, "A1"))
    assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["target"])
    assert await world.allocations(closed.schedule_id) == {}


@pytest.mark.feature("S4.39")
async def test_a_hold_lasts_a_quarter_of_an_hour_unless_the_offering_says_otherwise(world: World) -> None:
    usual = await reserved(world, await world.departure(), "A1")
    short = await reserved(world, await world.departure(reservation_ttl=timedelta(minutes=2)), "A1")
    for held, ttl in ((usual, timedelta(minutes=15)), (short, timedelta(minutes=2))):
        assert instant(held["expiresAt"]) - instant(held["createdAt"]) == ttl
        assert ttl - timedelta(seconds=5) < instant(held["expiresAt"]) - instant(held["serverNow"]) <= ttl
        assert {seat["heldUntil"] for seat in held["seats"]} == {held["expiresAt"]}


async def test_a_hold_ends_when_the_schedule_starts_also_when_extended(world: World) -> None:
    departure = await departing(world, timedelta(minutes=5))
    held = await reserved(world, departure, "A1")
    start = await world.tables.fetchval("SELECT starts_at FROM schedule WHERE id = $1", departure.schedule_id)
    assert instant(held["expiresAt"]) == start
    extended = await world.data(EXTEND, input={"id": held["id"], "token": held["token"]})
    assert instant(extended["expiresAt"]) == start


async def test_an_extension_starts_the_time_anew_twice_and_no_more(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1", "A2")
    mine = {"id": held["id"], "token": held["token"]}
    assert held["extensionsLeft"] == 2
    for left in (1, 0):
        await age(world, held, timedelta(minutes=10))
        extended = await world.data(EXTEND, input=mine)
        assert extended["extensionsLeft"] == left
        ends = instant(extended["expiresAt"]) - instant(extended["serverNow"])
        assert DEFAULT_TTL - timedelta(seconds=5) < ends <= DEFAULT_TTL
        assert {seat["heldUntil"] for seat in extended["seats"]} == {extended["expiresAt"]}
    refused = await world.data(EXTEND, input=mine)
    assert (refused["code"], refused["path"]) == ("POLICY_VIOLATION", ["id"])
    looked = await world.data(RESERVATION, id=held["id"], token=held["token"])
    assert looked["expiresAt"] == extended["expiresAt"]
    assert await broken_rules(world.tables) == []


async def test_an_extension_never_shortens_when_the_offering_grants_less_by_now(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1")
    hastier = SaveOffering(
        departure.offering.id,
        departure.organization.id,
        "Express",
        departure.offering.mode,
        departure.offering.price,
        reservation_ttl=timedelta(minutes=1),
    )
    await world.app.services.curation.save_offering(departure.staff, hastier)
    extended = await world.data(EXTEND, input={"id": held["id"], "token": held["token"]})
    assert instant(extended["expiresAt"]) >= instant(held["expiresAt"])


TWICE = """
mutation ($first: ReserveInput!, $second: ReserveInput!) {
  first: reserve(input: $first) { ...Held }
  second: reserve(input: $second) { ...Held }
}
fragment Held on Reservation { seats { status } schedule { version seatString counts { available } } }
"""


async def test_each_mutation_of_a_document_tells_what_it_left_behind(world: World) -> None:
    departure = await world.departure(seats=4)
    first, second = (
        {"target": {"seats": {"scheduleId": departure.id, "labels": [label]}}} for label in ("A1", "A2")
    )
    told = await world.data(TWICE, first=first, second=second)
    assert [told[each]["seats"] for each in told] == [[{"status": "HELD"}]] * 2
    assert [told[each]["schedule"] for each in told] == [
        {"version": 1, "seatString": "HAAA", "counts": {"available": 3}},
        {"version": 2, "seatString": "HHAA", "counts": {"available": 2}},
    ]


async def test_prices_are_added_up_here_and_cannot_be_sent(world: World) -> None:
    price = Money(Decimal("333.35"), "INR")
    departure = await world.departure(price=price)
    held = await reserved(world, departure, "A1", "A2", "A3")
    assert held["total"] == {"amount": "1000.05", "currency": "INR"}
    dearer = SaveOffering(
        departure.offering.id,
        departure.organization.id,
        departure.offering.name,
        departure.offering.mode,
        Money(Decimal("900.00"), "INR"),
    )
    await world.app.services.curation.save_offering(departure.staff, dearer)
    sold = await world.data(
        BOOK, input={"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}}
    )
    assert sold["total"] == {"amount": "1000.05", "currency": "INR"}
    fields = [field for name in ("ReserveInput", "SeatsTarget", "BookInput") for field in fields_of(name)]
    assert not {"price", "total", "amount", "currency"} & {*fields}


def fields_of(input_type: str) -> list[str]:
    """The fields of an input."""
    found: Any = schema._schema.type_map[input_type]
    return [*found.fields]


@pytest.mark.feature("S3.42")
async def test_an_account_holds_no_more_than_its_share(strict: World) -> None:
    viewer, departure = await strict.person(), await strict.departure()
    first = await reserved(strict, departure, "A1", viewer=viewer)
    await age(strict, first, timedelta(minutes=5))
    second = await reserved(strict, departure, "A2", viewer=viewer)
    refused = await strict.data(RESERVE, viewer, input=named(departure, "A3"))
    assert (refused["code"], refused["limit"]) == ("RESERVATION_LIMIT_REACHED", 2)
    looked = await strict.data(RESERVATION, viewer, id=first["id"])
    assert refused["retryAt"] == looked["expiresAt"] < second["expiresAt"]
    others = await reserved(strict, departure, "A3", viewer=await strict.person())
    assert others["status"] == "ACTIVE"
    await age(strict, first)  # what has run out counts no more, though nobody has noted it
    third = await reserved(strict, departure, "A4", viewer=viewer)
    for freed in (third, second):
        assert (await strict.data(RESERVE, viewer, input=named(departure, "B1")))["code"]
        await strict.data(RELEASE, viewer, input={"id": freed["id"]})
        again = await reserved(strict, departure, "B1", viewer=viewer)
        sold = await strict.data(BOOK, viewer, input={"reservationId": again["id"]})
        await strict.data(CANCEL, viewer, input={"id": sold["id"]})
        await reserved(strict, departure, freed["seats"][0]["seat"]["label"], viewer=viewer)


@pytest.mark.feature("S3.42")
async def test_the_guests_of_an_address_share_a_limit(strict: World) -> None:
    departure, address = await strict.departure(), "203.0.113.9"
    for label in ("A1", "A2", "A3"):
        await reserved(strict, departure, label, viewer=strict.guest(address))
    refused = await strict.data(RESERVE, strict.guest(address), input=named(departure, "A4"))
    assert (refused["code"], refused["limit"]) == ("RESERVATION_LIMIT_REACHED", 3)
    assert (await reserved(strict, departure, "A4", viewer=strict.guest("203.0.113.10")))["token"]
    assert await reserved(strict, departure, "B1", viewer=await strict.person())
    clear = "SELECT count(*) FROM reservation WHERE reservation::text LIKE '%203.0.113.%'"
    assert await strict.tables.fetchval(clear) == 0


@pytest.mark.feature("S4.10", "S4.29")
async def test_a_reservation_is_shown_to_its_owner_its_tokens_bearer_and_staff_alone(world: World) -> None:
    departure, owner = await world.departure(), await world.person()
    elsewhere, provider = await world.departure(), await world.member(departure.organization, Role.PROVIDER)
    held = await reserved(world, departure, "A1", viewer=owner)
    assert held["token"] is None
    guests = await reserved(world, departure, "A2")
    for admitted in (owner, departure.staff):
        assert (await world.data(RESERVATION, admitted, id=held["id"]))["status"] == "ACTIVE"
    for viewer in (await world.person(), None, elsewhere.staff, provider):
        assert await world.data(RESERVATION, viewer, id=held["id"]) is None
        assert await world.data(RESERVATION, viewer, id=guests["id"], token="x" * 43) is None
    shown = await world.data(RESERVATION, id=guests["id"], token=guests["token"])
    assert (shown["id"], shown["token"]) == (guests["id"], None)
    assert shown["seats"][0]["mine"] is True
    for id_ in ("", "nonsense", departure.id):
        assert await world.data(RESERVATION, owner, id=id_) is None


@pytest.mark.feature("S4.11", "S4.32")
async def test_every_reservation_has_one_of_four_statuses_and_is_listed_under_it(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    active, sold, released, over, swept = [
        await reserved(world, departure, label, viewer=viewer) for label in ("A1", "A2", "A3", "A4", "B1")
    ]
    await world.data(BOOK, viewer, input={"reservationId": sold["id"]})
    await world.data(RELEASE, viewer, input={"id": released["id"]})
    await age(world, swept)
    assert await world.app.worker.expiry.sweep() == 1
    await age(world, over)
    statuses = {
        "ACTIVE": [active["id"]],
        "CONVERTED": [sold["id"]],
        "RELEASED": [released["id"]],
        "EXPIRED": [swept["id"], over["id"]],
    }
    for status, ids in statuses.items():
        page = await world.data(MINE, viewer, first=10, status=status)
        assert [(node["id"], node["status"]) for node in page["nodes"]] == [(id_, status) for id_ in ids]
        for id_ in ids:
            assert (await world.data(RESERVATION, viewer, id=id_))["status"] == status
    assert await world.code(MINE, None, first=10) == "UNAUTHENTICATED"
    assert (await world.data(MINE, await world.person(), first=10))["nodes"] == []
    organization = {"organizationId": (await organization_id(world, departure.id))}
    assert len((await world.data(MINE, departure.staff, first=10, **organization))["nodes"]) == 5
    assert await world.code(MINE, viewer, first=10, **organization) == "FORBIDDEN"


async def organization_id(world: World, schedule_id: str) -> str:
    """The organization behind a schedule."""
    document = "query O($id: ID!) { schedule(id: $id) { offering { organization { id } } } }"
    found = await world.data(document, id=schedule_id)
    return str(found["offering"]["organization"]["id"])


@pytest.mark.feature("S4.11")
async def test_reservations_come_by_pages_newest_first(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    made = [(await reserved(world, departure, f"{row}1", viewer=viewer))["id"] for row in "ABCDE"]
    seen: list[str] = []
    after = None
    while after is not None or not seen:
        page = await world.data(MINE, viewer, first=2, after=after)
        seen += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
    assert seen == made[::-1]


@pytest.mark.feature("S4.12")
async def test_giving_up_frees_the_seats_for_the_very_next_request(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1", "A2")
    mine = {"id": held["id"], "token": held["token"]}
    released = await world.data(RELEASE, input=mine)
    assert released["status"] == "RELEASED"
    assert {seat["status"] for seat in released["seats"]} == {"AVAILABLE"}
    theirs = await reserved(world, departure, "A1")
    before = await trade_tables(world.tables)
    again = await world.data(RELEASE, input=mine)
    assert (again["id"], again["status"]) == (held["id"], "RELEASED")
    assert (await world.data(EXTEND, input=mine))["code"] == "RESERVATION_EXPIRED"
    assert await trade_tables(world.tables) == before
    assert (await world.data(RESERVATION, id=theirs["id"], token=theirs["token"]))["status"] == "ACTIVE"


@pytest.mark.feature("S4.12", "S4.16")
async def test_seats_that_were_freed_in_any_way_are_had_by_the_next_request(world: World) -> None:
    departure = await world.departure()
    over = await reserved(world, departure, "A1")
    await age(world, over)
    given_up = await reserved(world, departure, "A2")
    await world.data(RELEASE, input={"id": given_up["id"], "token": given_up["token"]})
    sold = await booked(world, departure, "A3")
    await world.data(CANCEL, input={"id": sold["id"], "token": sold["token"]})
    block = {"scheduleId": departure.id, "labels": ["A4"], "blocked": True}
    await world.data(BLOCK, departure.staff, input=block)
    assert (await world.data(RESERVE, input=named(departure, "A4")))["code"] == "SEATS_UNAVAILABLE"
    await world.data(BLOCK, departure.staff, input={**block, "blocked": False})
    assert (await reserved(world, departure, "A1", "A2", "A3", "A4"))["status"] == "ACTIVE"
    assert await broken_rules(world.tables) == []


@pytest.mark.feature("S4.24")
async def test_staff_free_a_reservation_that_is_stuck_and_nobody_else_does(world: World) -> None:
    departure, elsewhere = await world.departure(), await world.departure()
    held = await reserved(world, departure, "A1", "A2", viewer=await world.person())
    wish = {"id": held["id"], "reason": "The customer called."}
    provider = await world.member(departure.organization, Role.PROVIDER)
    before = await trade_tables(world.tables)
    for viewer in (None, await world.person(), elsewhere.staff, provider):
        assert (await world.data(FORCE_RELEASE, viewer, input=wish))["code"] == "NOT_FOUND"
    assert await trade_tables(world.tables) == before
    freed = await world.data(FORCE_RELEASE, departure.staff, input=wish)
    assert (freed["status"], freed["token"]) == ("RELEASED", None)
    assert await world.allocations(departure.schedule_id) == {}
    noted = "SELECT release_reason FROM reservation WHERE status = 'RELEASED'"
    assert await world.tables.fetchval(noted) == "The customer called."
    told = "SELECT data FROM event WHERE type = 'reservation.released'"
    assert (await world.tables.fetchval(told))["forced"] is True


async def test_a_blocked_seat_is_out_of_sale_until_it_is_put_back(world: World) -> None:
    departure = await world.departure(seats=4)
    block = {"scheduleId": departure.id, "labels": ["A1", "A3"], "blocked": True}
    blocked = await world.data(BLOCK, departure.staff, input=block)
    assert (blocked["seatString"], blocked["version"]) == ("XAXA", 1)
    assert blocked["counts"] == {"total": 4, "available": 2, "held": 0, "booked": 0, "blocked": 2}
    again = await world.data(BLOCK, departure.staff, input={**block, "labels": ["A1"]})
    assert again["version"] == 1
    put_back = {**block, "labels": ["A1", "A2"], "blocked": False}
    assert (await world.data(BLOCK, departure.staff, input=put_back))["seatString"] == "AAXA"


async def test_a_reservation_ends_with_the_start_of_its_schedule(world: World) -> None:
    departure = await departing(world, timedelta(minutes=5))
    held = await reserved(world, departure, "A1")
    await let_time_pass(world, departure, timedelta(minutes=5))
    mine = {"id": held["id"], "token": held["token"]}
    assert (await world.data(EXTEND, input=mine))["code"] == "RESERVATION_EXPIRED"
    assert (await world.data(SCHEDULE, id=departure.id))["status"] == "PAST"
