"""Booking, cancelling, and looking at what one has booked, through GraphQL."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.access import Role
from domain.catalogue import BookingMode, ResourceKind
from domain.viewer import Viewer
from schema.ids import decode
from tests.audit import broken_rules, trade_tables
from tests.graphql.documents import BOOK, BOOKING, BY_REFERENCE, CANCEL, RESERVATION, RESERVE, SCHEDULE
from tests.graphql.trading import EMAIL, booked, departing, instant, let_time_pass, named, reserved
from tests.world import Departure, World

HOUR = timedelta(hours=1)
REFERENCE = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")
MINE = """
query Mine($first: Int!, $after: String, $filter: BookingFilter) {
  bookings(first: $first, after: $after, filter: $filter) {
    nodes { id status } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}
"""


async def email_of(world: World, viewer: Viewer) -> str:
    """The address of somebody's account."""
    return str(await world.tables.fetchval("SELECT email FROM account WHERE id = $1", viewer.user_id))


async def ids(world: World, viewer: Viewer | None, **asked: Any) -> list[str]:
    """The bookings on the first page."""
    return [node["id"] for node in (await world.data(MINE, viewer, first=50, **asked))["nodes"]]


@pytest.mark.feature("S2.8", "S4.13", "S4.14", "S2.9", "S4.38")
async def test_a_reservation_becomes_a_booking_with_its_seats_and_total(world: World) -> None:
    departure, viewer = await world.departure(seats=8), await world.person()
    held = await reserved(world, departure, "A2", "A1", viewer=viewer)
    made = await world.data(BOOK, viewer, input={"reservationId": held["id"]})
    assert (made["__typename"], made["status"], made["version"]) == ("Booking", "CONFIRMED", 1)
    assert made["total"] == held["total"] == {"amount": "1000.00", "currency": "INR"}
    assert REFERENCE.fullmatch(made["reference"])
    assert [(s["seat"]["label"], s["status"], s["mine"], s["heldUntil"]) for s in made["seats"]] == [
        ("A1", "BOOKED", True, None),
        ("A2", "BOOKED", True, None),
    ]
    assert made["schedule"] == {"id": departure.id, "seatString": "BBAAAAAA", "version": 2}
    assert await world.data(BOOKING, viewer, id=made["id"]) == made
    origin = await world.data(RESERVATION, viewer, id=held["id"])
    assert (origin["status"], origin["booking"]) == ("CONVERTED", {"id": made["id"]})
    assert await broken_rules(world.tables) == []


@pytest.mark.feature("S3.6", "S3.7", "S3.8", "S3.10", "S3.40")
async def test_a_slot_is_kept_booked_listed_and_freed_like_any_seat(world: World) -> None:
    organization = await world.organization("Lab")
    staff, viewer = await world.member(organization), await world.person()
    bench = await world.resource(organization, staff, rows=1, columns=1, aisle=None, kind=ResourceKind.DEVICE)
    hour = await world.offering(organization, staff, mode=BookingMode.SLOT, name="A bench hour")
    nine = datetime(2031, 3, 4, 9)  # noqa: DTZ001 - on the bench's own wall clock
    slots = await world.open(staff, hour, bench, [nine, nine + HOUR], HOUR)
    first, second = [Departure(organization, staff, bench, hour, slot) for slot in slots]
    held = await reserved(world, first, "A1", viewer=viewer)
    assert (held["status"], held["schedule"]["seatString"]) == ("ACTIVE", "H")
    made = await world.data(BOOK, viewer, input={"reservationId": held["id"]})
    taken = await world.data(RESERVE, input=named(first, "A1"))
    assert (taken["code"], taken["alternatives"]) == ("SEATS_UNAVAILABLE", [])
    other = await booked(world, second, "A1", viewer=viewer)
    assert await ids(world, viewer) == [other["id"], made["id"]]
    freed = await world.data(CANCEL, viewer, input={"id": made["id"]})
    assert (freed["status"], freed["schedule"]["seatString"]) == ("CANCELLED", "A")
    assert await ids(world, viewer, filter={"status": ["CONFIRMED"]}) == [other["id"]]


@pytest.mark.feature("S4.13")
async def test_booking_twice_gives_the_one_booking(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1")
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}}
    made = await world.data(BOOK, input=wish)
    before = await trade_tables(world.tables)
    for again in (wish, {**wish, "contact": None}, {**wish, "contact": {"email": "other@test.example"}}):
        assert await world.data(BOOK, input=again) == made
    assert await trade_tables(world.tables) == before
    await world.data(CANCEL, input={"id": made["id"], "token": held["token"]})
    cancelled = await world.data(BOOK, input=wish)
    assert (cancelled["id"], cancelled["status"]) == (made["id"], "CANCELLED")


async def test_a_booking_needs_an_address_and_takes_it_from_where_there_is_one(world: World) -> None:
    departure, account = await world.departure(), await world.person()
    name = await world.tables.fetchval("SELECT name FROM account WHERE id = $1", account.user_id)
    given = {"name": "Asha", "email": " asha@test.example ", "phone": "+91 98 7654 3210"}

    async def contact(label: str, early: Any, late: Any, viewer: Viewer | None = None) -> Any:
        held = await world.data(RESERVE_WITH, viewer, input={**named(departure, label), "contact": early})
        wish = {"reservationId": held["id"], "token": held["token"], "contact": late}
        made = await world.data(BOOK, viewer, input=wish)
        return made.get("contact") or (made["code"], made["path"])

    told = {**given, "email": "asha@test.example"}
    assert await contact("A1", None, given) == told
    assert await contact("A2", given, None) == told
    assert await contact("A3", given, {"name": "Ravi"}) == {**told, "name": "Ravi"}
    own = {"name": name, "email": await email_of(world, account), "phone": None}
    assert await contact("A4", None, None, account) == own
    assert await contact("B1", None, {"email": EMAIL}, account) == {
        "name": None,
        "email": EMAIL,
        "phone": None,
    }
    for label, late, place in (
        ("B2", None, "email"),
        ("B3", {"name": "Ravi", "phone": "98 7654 3210"}, "email"),
        ("B4", {"email": ""}, "email"),
        ("C1", {"email": "ravi@localhost"}, "email"),
        ("C2", {"email": EMAIL, "phone": "123"}, "phone"),
        ("C3", {"email": EMAIL, "name": "x" * 201}, "name"),
    ):
        assert await contact(label, None, late) == ("INVALID_INPUT", ["contact", place])
    assert await world.tables.fetchval("SELECT count(*) FROM booking") == 5


RESERVE_WITH = (
    "mutation R($input: ReserveInput!) { reserve(input: $input) { ... on Reservation { id token } } }"
)


@pytest.mark.feature("S4.29")
async def test_who_shows_a_guests_token_when_signed_in_owns_the_booking(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    held = await reserved(world, departure, "A1")
    made = await world.data(BOOK, viewer, input={"reservationId": held["id"], "token": held["token"]})
    assert (
        made["code"] == "INVALID_INPUT"
    )  # the reservation is a guest's: no account's address stands behind it
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}}
    made = await world.data(BOOK, viewer, input=wish)
    assert await ids(world, viewer) == [made["id"]]


@pytest.mark.feature("S2.7", "S4.15")
async def test_bookings_come_by_pages_newest_first_and_only_ones_own(world: World) -> None:
    departure, viewer, other = await world.departure(), await world.person(), await world.person()
    made = [(await booked(world, departure, f"{row}1", viewer=viewer))["id"] for row in "ABCDE"]
    theirs = await booked(world, departure, "F1", viewer=other)
    await booked(world, departure, "G1")
    pages: list[list[str]] = []
    after = None
    while not pages or after is not None:
        page = await world.data(MINE, viewer, first=2, after=after)
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        pages.append([node["id"] for node in page["nodes"]])
        after = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert await ids(world, other) == [theirs["id"]]
    assert await ids(world, await world.person()) == []
    assert await world.code(MINE, None, first=1) == "UNAUTHENTICATED"
    for first in (0, 101, -1):
        assert await world.code(MINE, viewer, first=first) == "BAD_USER_INPUT"
    assert await world.code(MINE, viewer, first=1, after="nonsense") == "BAD_USER_INPUT"


@pytest.mark.feature("S4.33", "S4.15")
async def test_bookings_are_listed_by_status_and_time_and_by_staff_for_their_organization(
    world: World,
) -> None:
    departure, viewer = await world.departure(), await world.person()
    first, second = [await booked(world, departure, label, viewer=viewer) for label in ("A1", "A2")]
    guests = await booked(world, departure, "A3")
    await world.data(CANCEL, viewer, input={"id": first["id"]})
    assert await ids(world, viewer, filter={"status": ["CONFIRMED"]}) == [second["id"]]
    assert await ids(world, viewer, filter={"status": ["CANCELLED"]}) == [first["id"]]
    assert await ids(world, viewer, filter={"status": ["PENDING", "COMPLETED", "NO_SHOW", "FAILED"]}) == []
    assert await ids(world, viewer, filter={"from": second["createdAt"]}) == [second["id"]]
    assert await ids(world, viewer, filter={"to": second["createdAt"]}) == [first["id"]]
    whose = {"organizationId": await organization_id(world, departure)}
    assert await ids(world, departure.staff, filter=whose) == [guests["id"], second["id"], first["id"]]
    elsewhere = await world.departure()
    for stranger in (viewer, elsewhere.staff):
        assert await world.code(MINE, stranger, first=1, filter=whose) == "FORBIDDEN"


async def organization_id(world: World, departure: Departure) -> str:
    """The organization's global id."""
    document = "query O($id: ID!) { schedule(id: $id) { offering { organization { id } } } }"
    return str((await world.data(document, id=departure.id))["offering"]["organization"]["id"])


@pytest.mark.feature("S2.9", "S4.14")
async def test_a_booking_is_shown_to_its_owner_and_to_staff_alone(world: World) -> None:
    departure, owner = await world.departure(), await world.person()
    elsewhere, provider = await world.departure(), await world.member(departure.organization, Role.PROVIDER)
    made = await booked(world, departure, "A1", viewer=owner)
    assert (await world.data(BOOKING, owner, id=made["id"]))["seats"][0]["mine"] is True
    assert (await world.data(BOOKING, departure.staff, id=made["id"]))["seats"][0]["mine"] is False
    for viewer in (None, await world.person(), elsewhere.staff, provider):
        assert await world.data(BOOKING, viewer, id=made["id"]) is None
    for id_ in ("", "nonsense", departure.id):
        assert await world.data(BOOKING, owner, id=id_) is None


@pytest.mark.feature("S2.11", "S4.16", "S4.21", "S4.33")
async def test_cancelling_frees_the_seats_at_once_and_says_when(world: World) -> None:
    departure, viewer = await world.departure(seats=8), await world.person()
    made = await booked(world, departure, "A1", "A2", viewer=viewer)
    assert made["cancelledAt"] is None
    cancelled = await world.data(CANCEL, viewer, input={"id": made["id"], "reason": "Changed plans"})
    assert (cancelled["status"], cancelled["version"]) == ("CANCELLED", 2)
    assert instant(cancelled["cancelledAt"]) > instant(made["createdAt"])
    assert cancelled["schedule"]["seatString"] == "AAAAAAAA"
    assert {(seat["status"], seat["mine"]) for seat in cancelled["seats"]} == {("AVAILABLE", False)}
    assert (await reserved(world, departure, "A1", "A2"))["status"] == "ACTIVE"
    before = await trade_tables(world.tables)
    again = await world.data(CANCEL, viewer, input={"id": made["id"], "reason": "Once more"})
    assert (again["status"], again["cancelledAt"]) == ("CANCELLED", cancelled["cancelledAt"])
    assert await trade_tables(world.tables) == before
    assert await world.tables.fetchval("SELECT cancel_reason FROM booking") == "Changed plans"


@pytest.mark.feature("S2.11", "S4.16")
async def test_a_booking_is_cancelled_by_its_owner_its_tokens_bearer_or_staff(world: World) -> None:
    departure, owner, elsewhere = await world.departure(), await world.person(), await world.departure()
    provider = await world.member(departure.organization, Role.PROVIDER)
    one, two = [await booked(world, departure, label, viewer=owner) for label in ("A1", "A2")]
    guests = await booked(world, departure, "A3")
    before = await trade_tables(world.tables)
    for viewer in (None, await world.person(), elsewhere.staff, provider):
        for token in (None, "x" * 43, one["token"] or two["token"]):
            wish = {"id": guests["id"], "token": token}
            assert (await world.data(CANCEL, viewer, input=wish))["code"] == "NOT_FOUND"
        assert (await world.data(CANCEL, viewer, input={"id": one["id"]}))["code"] == "NOT_FOUND"
    assert await trade_tables(world.tables) == before
    for viewer, booking in ((owner, one), (departure.staff, two), (None, guests)):
        wish = {"id": booking["id"], "token": booking["token"]}
        assert (await world.data(CANCEL, viewer, input=wish))["status"] == "CANCELLED"


async def test_after_the_start_only_staff_cancel(world: World) -> None:
    departure, owner = await departing(world, HOUR / 2), await world.person()
    made = await booked(world, departure, "A1", viewer=owner)
    await let_time_pass(world, departure, HOUR)
    refused = await world.data(CANCEL, owner, input={"id": made["id"]})
    assert (refused["code"], refused["path"]) == ("POLICY_VIOLATION", ["id"])
    assert (await world.data(SCHEDULE, id=departure.id))["seatString"] == "BAAAAAAA"
    assert (await world.data(CANCEL, departure.staff, input={"id": made["id"]}))["status"] == "CANCELLED"


@pytest.mark.feature("S4.33")
@pytest.mark.parametrize("status", ["COMPLETED", "NO_SHOW", "FAILED"])
async def test_a_booking_that_is_over_cannot_be_cancelled(world: World, status: str) -> None:
    departure, owner = await world.departure(), await world.person()
    made = await booked(world, departure, "A1", viewer=owner)
    await world.tables.execute("UPDATE booking SET status = $1", status)
    assert (await world.data(BOOKING, owner, id=made["id"]))["status"] == status
    assert (await world.data(CANCEL, owner, input={"id": made["id"]}))["code"] == "POLICY_VIOLATION"
    assert await world.allocations(departure.schedule_id) == {0: "BOOKED"}


async def test_who_expects_another_version_cancels_nothing(world: World) -> None:
    departure, owner = await world.departure(), await world.person()
    made = await booked(world, departure, "A1", viewer=owner)
    stale = await world.data(CANCEL, owner, input={"id": made["id"], "expectedVersion": 2})
    assert (stale["code"], stale["path"]) == ("CONFLICT", ["expectedVersion"])
    done = await world.data(CANCEL, owner, input={"id": made["id"], "expectedVersion": 1})
    assert (done["status"], done["version"]) == ("CANCELLED", 2)


@pytest.mark.feature("S4.29", "S4.38")
async def test_a_guest_finds_a_booking_by_its_reference_however_it_is_typed(world: World) -> None:
    departure = await world.departure()
    made = await booked(world, departure, "A1")
    reference = made["reference"]
    heard = reference.translate(str.maketrans("012", "OLZ"))
    for typed in (
        reference,
        reference.lower(),
        reference.replace("-", ""),
        f" {reference.replace('-', ' ')} ",
        heard,
    ):
        found = await world.data(BY_REFERENCE, reference=typed, email=f" {EMAIL.upper()} ")
        assert (found["id"], found["contact"]["email"]) == (made["id"], EMAIL)
    other = "0" if reference[0] != "0" else "1"
    for typed, email in (
        (reference, "other@test.example"),
        (reference, ""),
        (reference, "%"),
        (other + reference[1:], EMAIL),
        (reference[:-1], EMAIL),
        ("", EMAIL),
        ("x" * 10_000, EMAIL),
    ):
        assert await world.data(BY_REFERENCE, reference=typed, email=email) is None


async def test_an_ended_reservation_is_not_sold(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1")
    await world.age(decode(held["id"], "Reservation")[1], HOUR)
    theirs = await reserved(world, departure, "A1")
    before = await trade_tables(world.tables)
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}}
    refused = await world.data(BOOK, input=wish)
    looked = await world.data(RESERVATION, id=held["id"], token=held["token"])
    assert (refused["code"], refused["expiredAt"]) == ("RESERVATION_EXPIRED", looked["expiresAt"])
    assert await trade_tables(world.tables) == before
    assert (await world.data(RESERVATION, id=theirs["id"], token=theirs["token"]))["status"] == "ACTIVE"


@pytest.mark.parametrize("reason", ["x" * 201, "nul\x00"])
async def test_a_reason_has_its_limit_and_a_longer_one_cancels_nothing(world: World, reason: str) -> None:
    departure = await world.departure()
    customer = await world.person()
    booking = await booked(world, departure, "A1", viewer=customer)
    before = await trade_tables(world.tables)
    result = await world.run(CANCEL, customer, input={"id": booking["id"], "reason": reason})
    assert result["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
    assert await trade_tables(world.tables) == before


async def test_a_reservation_that_is_not_ones_own_is_named_where_the_input_has_it(world: World) -> None:
    departure = await world.departure()
    held = await reserved(world, departure, "A1")
    refused = await world.data(BOOK, await world.person(), input={"reservationId": held["id"]})
    assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["reservationId"])
