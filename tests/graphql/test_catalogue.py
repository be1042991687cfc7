"""What staff do to the catalogue, and that nobody else can."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.access import Role
from domain.catalogue import Offering, Organization, Resource
from domain.holding import Seats
from domain.reserving import Reserve
from domain.viewer import Viewer
from schema.ids import decode, encode
from tests.world import Departure, World

Json = dict[str, Any]


def mutation(field: str, input_type: str, outcome: str) -> str:
    """A document that asks for the outcome, or for the refusal and its place."""
    refused = "... on Refusal { code message path }"
    return f"mutation ($input: {input_type}!) {{ {field}(input: $input) {{ __typename {refused} ... on {outcome} }} }}"


SAVE_RESOURCE = mutation(
    "saveResource",
    "SaveResourceInput",
    """Resource { id name kind timeZone attributes
      layout { id rows columns aisleAfterColumn seats { label index row column category accessible } } }""",
)
SAVE_OFFERING = mutation(
    "saveOffering",
    "SaveOfferingInput",
    """Offering { id name mode price { amount currency } reservationTtl maxSeatsPerReservation
      origin destination distanceKm }""",
)
OPEN = mutation(
    "openSchedules",
    "OpenSchedulesInput",
    """OpenedSchedules { schedules { id price { amount currency }
      during { start end localStart localEnd duration timeZone } } }""",
)
BLOCK = mutation(
    "blockSeats",
    "BlockSeatsInput",
    "Schedule { seatString version } ... on SeatsUnavailable { unavailable { seat { label } } }",
)
SCHEDULE = """query ($id: ID!) { schedule(id: $id) { id status seatString price { amount currency }
  during { localStart timeZone } resource { layout { id } attributes }
  offering { name origin destination distanceKm organization { name timeZone } }
  seats { seat { label category accessible } price { amount } } } }"""
PRICE = {"amount": "500.00", "currency": "INR"}


def a_resource(organization: Organization, **more: Any) -> Json:
    return {
        "organizationId": encode("Organization", organization.id),
        "kind": "VEHICLE",
        "name": "Coach 7",
        "timeZone": organization.time_zone,
        "layout": {"rows": 2, "columns": 4, "aisleAfterColumn": 2},
        **more,
    }


def an_offering(organization: Organization, **more: Any) -> Json:
    id_ = encode("Organization", organization.id)
    return {"organizationId": id_, "name": "Night bus", "mode": "SEATED", "price": PRICE, **more}


def a_series(offering: Offering, resource: Resource, *starts: str, **more: Any) -> Json:
    return {
        "offeringId": encode("Offering", offering.id),
        "resourceId": encode("Resource", resource.id),
        "localStarts": starts,
        "duration": "PT4H",
        **more,
    }


async def sold_by(world: World, zone: str = "Asia/Kolkata") -> tuple[Viewer, Offering, Resource]:
    organization = await world.organization(zone=zone)
    staff = await world.member(organization)
    return staff, await world.offering(organization, staff), await world.resource(organization, staff)


async def everything(world: World) -> list[str]:
    """All that the catalogue, the log and the key store have."""
    rows: list[str] = []
    for table in "resource", "offering", "schedule", "seat_layout", "allocation", "event":
        rows += [row[0] for row in await world.tables.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")]
    return rows


# ------------------------------------------------------------------ who may


@pytest.mark.feature("S2.24", "S2.25", "S3.53", "S4.26", "S4.31")
@pytest.mark.parametrize("role", [Role.STAFF, Role.ADMIN])
async def test_staff_and_admins_keep_the_catalogue(world: World, role: Role) -> None:
    organization = await world.organization()
    viewer = await world.member(organization, role)
    resource = await world.data(SAVE_RESOURCE, viewer, input=a_resource(organization))
    offering = await world.data(SAVE_OFFERING, viewer, input=an_offering(organization))
    series = {
        "resourceId": resource["id"],
        "offeringId": offering["id"],
        "localStarts": ["2030-01-01T08:00"],
        "duration": "PT1H",
    }
    opened = await world.data(OPEN, viewer, input=series)
    wish = {"scheduleId": opened["schedules"][0]["id"], "labels": ["A1"], "blocked": True}
    assert (await world.data(BLOCK, viewer, input=wish))["seatString"] == "XAAAAAAA"
    assert (await world.data(BLOCK, viewer, input=wish | {"blocked": False}))["seatString"] == "AAAAAAAA"
    renamed = await world.data(
        SAVE_RESOURCE, viewer, input=a_resource(organization, id=resource["id"], name="Coach 8")
    )
    assert (renamed["id"], renamed["name"]) == (resource["id"], "Coach 8")
    assert renamed["layout"]["id"] == resource["layout"]["id"], "the same map keeps its layout"


@pytest.mark.feature("S0.6", "S2.24", "S3.45", "S3.53")
async def test_nobody_else_changes_anything(world: World) -> None:
    departure, elsewhere = await world.departure(seats=8), await world.organization("Norrsken Lab")
    house = departure.organization
    series = a_series(departure.offering, departure.resource, "2030-01-01T08:00")
    wishes: list[tuple[str, Json]] = [
        (SAVE_RESOURCE, a_resource(house)),
        (SAVE_RESOURCE, a_resource(house, id=encode("Resource", departure.resource.id))),
        (SAVE_OFFERING, an_offering(house)),
        (SAVE_OFFERING, an_offering(house, id=encode("Offering", departure.offering.id))),
        (OPEN, series),
        (BLOCK, {"scheduleId": departure.id, "labels": ["A1"], "blocked": True}),
    ]
    others = [await world.person(), await world.member(house, Role.PROVIDER), await world.member(elsewhere)]
    before = await everything(world)
    for document, wish in wishes:
        assert await world.code(document, input=wish) == "UNAUTHENTICATED"
        for other in others:
            assert await world.code(document, other, input=wish) == "FORBIDDEN"
    assert await everything(world) == before
    staff = others[2]
    foreign = [
        (SAVE_RESOURCE, a_resource(elsewhere, id=encode("Resource", departure.resource.id)), ["id"]),
        (SAVE_OFFERING, an_offering(elsewhere, id=encode("Offering", departure.offering.id)), ["id"]),
    ]
    for document, wish, path in foreign:
        refused = await world.data(document, staff, input=wish)
        assert (refused["code"], refused["path"]) == ("NOT_FOUND", path)
    own = await world.offering(elsewhere, staff)
    before = [row for row in await everything(world) if str(own.id) not in row]
    refused = await world.data(OPEN, staff, input=a_series(own, departure.resource, "2030-01-01T08:00"))
    assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["resourceId"])
    assert [row for row in await everything(world) if str(own.id) not in row] == before


# ------------------------------------------------------------------ layouts


@pytest.mark.feature("S4.8", "S4.37", "S4.26")
async def test_seats_are_made_from_a_layout(world: World) -> None:
    organization = await world.organization()
    staff = await world.member(organization)
    layout = {
        "rows": 2,
        "columns": 4,
        "aisleAfterColumn": 2,
        "missing": ["B4"],
        "categories": [{"category": "front", "labels": ["A1", "A2"], "accessible": True}],
    }
    wish = a_resource(organization, layout=layout, attributes={"type": "sleeper"})
    saved = await world.data(SAVE_RESOURCE, staff, input=wish)
    seats = saved["layout"]["seats"]
    assert [seat["label"] for seat in seats] == ["A1", "A2", "A3", "A4", "B1", "B2", "B3"]
    assert [seat["index"] for seat in seats] == list(range(7))
    assert [(seat["category"], seat["accessible"]) for seat in seats[1:3]] == [
        ("front", True),
        ("standard", False),
    ]
    assert saved["attributes"] == {"type": "sleeper"}


async def test_another_map_is_another_layout_and_open_schedules_keep_theirs(world: World) -> None:
    departure = await world.departure(seats=8)
    staff = departure.staff
    held = Reserve(departure.schedule_id, Seats(["B4"]))
    await world.app.services.reservations.reserve(world.guest(), held)
    smaller = a_resource(
        departure.organization, id=encode("Resource", departure.resource.id), layout={"rows": 1, "columns": 2}
    )
    saved = await world.data(SAVE_RESOURCE, staff, input=smaller)
    series = a_series(departure.offering, departure.resource, "2030-01-01T08:00")
    opened = (await world.data(OPEN, staff, input=series))["schedules"][0]
    before, after = [await world.data(SCHEDULE, id=id_) for id_ in (departure.id, opened["id"])]
    assert before["seatString"] == "AAAAAAAH"
    assert len(before["seats"]) == 8
    assert after["seatString"] == "AA"
    assert (
        after["resource"]["layout"]["id"]
        == saved["layout"]["id"]
        != encode("SeatLayout", departure.resource.layout_id)
    )


# ------------------------------------------------------------------ series


@pytest.mark.feature("S2.44", "S2.49", "S4.26")
@pytest.mark.parametrize(
    "zone", ["Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
)
async def test_a_year_of_daily_departures_leaves_at_eight_every_day(world: World, zone: str) -> None:
    staff, offering, resource = await sold_by(world, zone)
    days = [date(2027, 1, 1) + timedelta(days=number) for number in range(365)]
    begun = time.perf_counter()
    opened = await world.data(
        OPEN, staff, input=a_series(offering, resource, *(f"{day}T08:00" for day in days))
    )
    assert time.perf_counter() - begun < 2
    times = [schedule["during"] for schedule in opened["schedules"]]
    assert [each["localStart"] for each in times] == [f"{day}T08:00" for day in days]
    offsets = set()
    for each in times:
        start = datetime.fromisoformat(each["start"])
        local = start.astimezone(ZoneInfo(zone))
        assert (local.hour, local.minute) == (8, 0)
        offsets.add(local.utcoffset())
        assert datetime.fromisoformat(each["end"]) - start == timedelta(hours=4)
    assert len(offsets) == (1 if zone == "Asia/Kolkata" else 2)
    assert await world.tables.fetchval("SELECT count(*) FROM event WHERE type = 'schedule.opened'") == 365


@pytest.mark.feature("S3.20", "S3.5")
async def test_slots_run_round_the_clock_and_over_midnight(world: World) -> None:
    staff, offering, resource = await sold_by(world, "Europe/Stockholm")
    hours = [f"2030-05-{day:02}T{hour:02}:00" for day in (1, 2) for hour in range(24)]
    opened = await world.data(OPEN, staff, input=a_series(offering, resource, *hours, duration="PT1H"))
    times = [schedule["during"] for schedule in opened["schedules"]]
    assert [each["localStart"] for each in times] == hours
    assert times[23]["localEnd"] == times[24]["localStart"] == "2030-05-02T00:00"


@pytest.mark.feature("S1.32", "S2.44")
async def test_a_local_time_that_is_none_or_two_is_named_and_nothing_opens(world: World) -> None:
    for zone, start, happens in (
        ("Europe/Stockholm", "2027-03-28T02:30", "never"),
        ("Europe/Stockholm", "2027-10-31T02:30", "twice"),
        ("America/New_York", "2027-03-14T02:00", "never"),
        ("America/New_York", "2027-11-07T01:00", "twice"),
    ):
        staff, offering, resource = await sold_by(world, zone)
        before = await everything(world)
        refused = await world.data(OPEN, staff, input=a_series(offering, resource, "2027-01-01T08:00", start))
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["localStarts"])
        assert refused["message"] == f"{start} happens {happens} in {zone}."
        assert await everything(world) == before


@pytest.mark.feature("S2.30")
async def test_a_resource_runs_one_schedule_at_a_time_all_or_none(world: World) -> None:
    staff, offering, resource = await sold_by(world)
    await world.data(OPEN, staff, input=a_series(offering, resource, "2030-01-02T08:00"))
    before = await everything(world)
    for start in ("2030-01-02T08:00", "2030-01-02T11:59", "2030-01-02T04:01"):
        refused = await world.data(OPEN, staff, input=a_series(offering, resource, "2030-01-01T08:00", start))
        assert (refused["code"], refused["path"]) == ("CONFLICT", ["localStarts"])
    assert await everything(world) == before
    beside = a_series(offering, resource, "2030-01-02T12:00", "2030-01-02T04:00")
    assert len((await world.data(OPEN, staff, input=beside))["schedules"]) == 2


@pytest.mark.feature("S2.46", "S4.6", "S4.36")
async def test_a_series_may_have_a_price_of_its_own_and_later_prices_do_not_touch_it(world: World) -> None:
    staff, offering, resource = await sold_by(world)
    own = {"amount": "749.50", "currency": "INR"}
    dear = await world.data(OPEN, staff, input=a_series(offering, resource, "2030-01-01T08:00", price=own))
    usual = await world.data(OPEN, staff, input=a_series(offering, resource, "2030-01-02T08:00"))
    assert dear["schedules"][0]["price"] == own
    assert usual["schedules"][0]["price"] == PRICE
    organization = await world.app.services.reads.organizations_by_id([offering.organization_id])
    again = an_offering(
        organization[offering.organization_id],
        id=encode("Offering", offering.id),
        price={"amount": "1.00", "currency": "INR"},
        origin="Mumbai",
        destination="Pune",
        distanceKm=149.5,
    )
    await world.data(SAVE_OFFERING, staff, input=again)
    shown = await world.data(SCHEDULE, id=usual["schedules"][0]["id"])
    assert shown["price"] == PRICE
    assert shown["seats"][0]["price"] == {"amount": "500.00"}
    assert (shown["offering"]["origin"], shown["offering"]["distanceKm"]) == ("Mumbai", 149.5)
    assert shown["status"] == "ON_SALE"


@pytest.mark.feature("S2.44")
async def test_a_schedule_is_told_in_the_time_zone_of_its_place(world: World) -> None:
    staff, offering, resource = await sold_by(world, "Pacific/Auckland")
    opened = await world.data(OPEN, staff, input=a_series(offering, resource, "2030-01-01T08:00"))
    during = opened["schedules"][0]["during"]
    assert (during["timeZone"], during["localStart"], during["duration"]) == (
        "Pacific/Auckland",
        "2030-01-01T08:00",
        "PT4H",
    )
    assert during["start"] == "2029-12-31T19:00:00Z"


# ------------------------------------------------------------------ what is refused, and where it says it is


def a_thousand_and_one() -> list[str]:
    start = datetime(2030, 1, 1)  # noqa: DTZ001 - a wall clock
    return [(start + timedelta(hours=5 * number)).isoformat(timespec="minutes") for number in range(1_001)]


@pytest.mark.feature("S1.32")
async def test_a_bad_series_is_refused_by_field(world: World) -> None:
    staff, offering, resource = await sold_by(world)
    before = await everything(world)
    series: list[tuple[Json, list[str]]] = [
        ({"localStarts": []}, ["localStarts"]),
        ({"localStarts": a_thousand_and_one()}, ["localStarts"]),
        ({"localStarts": ["2030-01-01T08:00", "2030-01-01T08:00"]}, ["localStarts"]),
        ({"localStarts": ["2030-01-01T08:00", "2030-01-01T11:59"]}, ["localStarts"]),
        ({"duration": "PT59S"}, ["duration"]),
        ({"duration": "P32D"}, ["duration"]),
        ({"price": {"amount": "-1", "currency": "INR"}}, ["price", "amount"]),
        ({"price": {"amount": "1.001", "currency": "INR"}}, ["price", "amount"]),
        ({"price": {"amount": "1000000000000", "currency": "INR"}}, ["price", "amount"]),
    ]
    for change, path in series:
        wish = a_series(offering, resource, "2030-01-01T08:00") | change
        refused = await world.data(OPEN, staff, input=wish)
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", path), change
    assert await everything(world) == before


def _category(name: str, labels: list[str]) -> Json:
    return {"layout": {"rows": 2, "columns": 2, "categories": [{"category": name, "labels": labels}]}}


@pytest.mark.feature("S1.32")
async def test_a_bad_resource_or_offering_is_refused_by_field(world: World) -> None:
    organization = await world.organization()
    staff = await world.member(organization)
    layout = {"rows": 2, "columns": 2}
    resources: list[tuple[Json, list[str]]] = [
        ({"name": " "}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"attributes": []}, ["attributes"]),
        ({"attributes": dict.fromkeys(map(str, range(51)))}, ["attributes"]),
        ({"layout": {"rows": 0, "columns": 1}}, ["layout", "rows"]),
        ({"layout": {"rows": 1, "columns": 101}}, ["layout", "columns"]),
        ({"layout": layout | {"aisleAfterColumn": 2}}, ["layout", "aisleAfterColumn"]),
        ({"layout": layout | {"missing": ["Z9"]}}, ["layout", "missing"]),
        ({"layout": layout | {"missing": ["A1", "A2", "B1", "B2"]}}, ["layout"]),
        (_category("", []), ["layout", "categories", "0", "category"]),
        (_category("x", ["C1"]), ["layout", "categories", "0", "labels"]),
        ({"idempotencyKey": ""}, ["idempotencyKey"]),
    ]  # fmt: skip
    offerings: list[tuple[Json, list[str]]] = [
        ({"name": ""}, ["name"]),
        ({"description": "x" * 10_001}, ["description"]),
        ({"origin": "x" * 201}, ["origin"]),
        ({"destination": "x" * 201}, ["destination"]),
        ({"distanceKm": -1}, ["distanceKm"]),
        ({"maxSeatsPerReservation": 0}, ["maxSeatsPerReservation"]),
        ({"maxSeatsPerReservation": 101}, ["maxSeatsPerReservation"]),
        ({"reservationTtl": "P2D"}, ["reservationTtl"]),
        ({"price": {"amount": "1.234", "currency": "INR"}}, ["price", "amount"]),
    ]
    before = await everything(world)
    for change, path in resources:
        refused = await world.data(SAVE_RESOURCE, staff, input=a_resource(organization) | change)
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", path), change
    for change, path in offerings:
        refused = await world.data(SAVE_OFFERING, staff, input=an_offering(organization) | change)
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", path), change
    for id_ in "x", encode("User", organization.id):
        refused = await world.data(SAVE_RESOURCE, staff, input=a_resource(organization, providerId=id_))
        assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["providerId"])
    for document, wish in (
        (SAVE_RESOURCE, a_resource(organization)),
        (SAVE_OFFERING, an_offering(organization)),
    ):
        for id_ in "x", "", wish["organizationId"], encode("Organization", staff.user_id or organization.id):
            refused = await world.data(document, staff, input=wish | {"id": id_})
            assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["id"])
            if id_ != wish["organizationId"]:
                refused = await world.data(document, staff, input=wish | {"organizationId": id_})
                assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["organizationId"])
    assert await everything(world) == before


async def test_a_scalar_that_is_none_is_an_error_of_the_variable(world: World) -> None:
    organization = await world.organization()
    staff = await world.member(organization)
    for change in {"timeZone": "Mars/Base"}, {"kind": "SHIP"}, {"layout": None}, {"name": 7}:
        wish = a_resource(organization) | change
        assert await world.code(SAVE_RESOURCE, staff, input=wish) == "BAD_USER_INPUT"
    for text in "\0", "a\0b":
        assert (
            await world.code(SAVE_OFFERING, staff, input=an_offering(organization, idempotencyKey=text))
            == "BAD_USER_INPUT"
        )


# ------------------------------------------------------------------ blocking


async def test_a_seat_that_is_held_or_booked_is_not_blocked(world: World) -> None:
    departure: Departure = await world.departure(seats=8)
    await world.app.services.reservations.reserve(
        world.guest(), Reserve(departure.schedule_id, Seats(["A2"]))
    )
    wish = {"scheduleId": departure.id, "labels": ["A1", "A2"], "blocked": True}
    before = await everything(world)
    refused = await world.data(BLOCK, departure.staff, input=wish)
    assert (refused["code"], refused["path"]) == ("SEATS_UNAVAILABLE", ["labels"])
    assert refused["unavailable"] == [{"seat": {"label": "A2"}}]
    for labels in [], ["A1", "A1"], ["Z1"]:
        refused = await world.data(BLOCK, departure.staff, input=wish | {"labels": labels})
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["labels"])
    for id_ in "x", encode("Schedule", departure.offering.id):
        refused = await world.data(BLOCK, departure.staff, input=wish | {"scheduleId": id_})
        assert (refused["code"], refused["path"]) == ("NOT_FOUND", ["scheduleId"])
    assert await everything(world) == before
    twice = [await world.data(BLOCK, departure.staff, input=wish | {"labels": ["A1"]}) for _ in range(2)]
    assert twice[0] == twice[1], "what is blocked already is no change"
    taken = Reserve(departure.schedule_id, Seats(["A1"]))
    with pytest.raises(Exception, match="Not free: A1"):
        await world.app.services.reservations.reserve(world.guest(), taken)


async def test_a_series_sent_again_opens_nothing_more(world: World) -> None:
    staff, offering, resource = await sold_by(world)
    wish = a_series(offering, resource, "2030-01-02T08:00", "2030-01-01T08:00", idempotencyKey="once")
    first = await world.data(OPEN, staff, input=wish)
    before = await everything(world)
    assert await world.data(OPEN, staff, input=wish) == first
    other = await world.data(OPEN, staff, input=wish | {"duration": "PT1H"})
    assert other["code"] == "IDEMPOTENCY_MISMATCH"
    assert await everything(world) == before
    assert [decode(schedule["id"])[0] for schedule in first["schedules"]] == ["Schedule", "Schedule"]
    assert datetime.now(UTC) < datetime.fromisoformat(first["schedules"][0]["during"]["start"])
