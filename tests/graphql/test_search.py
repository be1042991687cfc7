"""Searching for schedules: by each criterion, by several, by the date on the wall there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.catalogue import BookingMode
from domain.timetable import BlockSeats
from domain.viewer import Viewer
from schema.ids import encode
from tests.world import World

Json = dict[str, Any]
SEARCH = """query ($search: ScheduleSearch!, $first: Int!) { schedules(first: $first, search: $search) {
  nodes { id status during { localStart } counts { available } } } }"""
# A wall-clock time with no zone: the resource has one.
NINE = datetime(2030, 5, 1, 9)  # noqa: DTZ001
LATE = datetime(2030, 5, 1, 23, 30)  # noqa: DTZ001


async def found(world: World, search: Json, viewer: Viewer | None = None) -> list[str]:
    page = await world.data(SEARCH, viewer, search=search, first=100)
    return [node["id"] for node in page["nodes"]]


class Line:
    """One offering on one resource of an organization of its own, and its schedules' ids by local start."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ids: dict[datetime, str] = {}

    async def runs(self, zone: str, *starts: datetime, **terms: Any) -> Line:
        self.organization = await self.world.organization(zone=zone)
        self.staff = await self.world.member(self.organization)
        self.resource = await self.world.resource(self.organization, self.staff, rows=2)
        self.offering = await self.world.offering(self.organization, self.staff, **terms)
        opened = await self.world.open(self.staff, self.offering, self.resource, starts)
        self.ids = {start: encode("Schedule", id_) for start, id_ in zip(sorted(starts), opened, strict=True)}
        return self


@pytest.mark.feature("S4.5", "S2.49")
async def test_each_criterion_and_all_together(world: World) -> None:
    coach = await Line(world).runs(
        "Asia/Kolkata", NINE, NINE + timedelta(days=1), origin="Mumbai", destination="Pune"
    )
    back = await Line(world).runs("Asia/Kolkata", NINE, origin="Pune", destination="Mumbai")
    bench = await Line(world).runs(
        "Asia/Kolkata", NINE, mode=BookingMode.SLOT, origin=None, destination=None, name="Bench hour"
    )
    both = list(coach.ids.values())
    start = datetime(2030, 5, 1, 3, 30, tzinfo=UTC)
    cases: list[tuple[Json, set[str]]] = [
        ({"origin": "Mumbai"}, set(both)),
        ({"origin": "  MUMBAI "}, set(both)),
        ({"destination": "mumbai"}, set(back.ids.values())),
        ({"origin": "Mumbai", "destination": "Mumbai"}, set()),
        ({"origin": "Mum%"}, set()),
        ({"date": "2030-05-01"}, {both[0], *back.ids.values(), *bench.ids.values()}),
        ({"date": "2030-05-02"}, {both[1]}),
        ({"from": (start + timedelta(seconds=1)).isoformat()}, {both[1]}),
        (
            {"from": start.isoformat(), "to": (start + timedelta(days=1)).isoformat(), "origin": "Mumbai"},
            {both[0]},
        ),
        ({"to": start.isoformat()}, set()),
        ({"offeringId": encode("Offering", bench.offering.id)}, set(bench.ids.values())),
        ({"resourceId": encode("Resource", back.resource.id)}, set(back.ids.values())),
        ({"organizationId": encode("Organization", coach.organization.id)}, set(both)),
        ({"mode": "SLOT"}, set(bench.ids.values())),
        ({"mode": "APPOINTMENT"}, set()),
        ({"minAvailable": 9}, set()),
        ({}, {*both, *back.ids.values(), *bench.ids.values()}),
        (
            {
                "origin": "Mumbai",
                "destination": "Pune",
                "date": "2030-05-02",
                "offeringId": encode("Offering", coach.offering.id),
                "resourceId": encode("Resource", coach.resource.id),
                "organizationId": encode("Organization", coach.organization.id),
                "mode": "SEATED",
                "minAvailable": 8,
                "from": start.isoformat(),
                "to": (start + timedelta(days=2)).isoformat(),
            },
            {both[1]},
        ),
    ]
    for search, expected in cases:
        assert set(await found(world, search)) == expected, search
    for name in "offeringId", "resourceId", "organizationId":
        assert await world.code(SEARCH, search={name: "x"}, first=1) == "NOT_FOUND"


@pytest.mark.feature("S4.5", "S2.44")
async def test_a_date_is_the_one_on_the_wall_there(world: World) -> None:
    """The first of May ends in Auckland before it begins in Honolulu."""
    zones = [
        "Pacific/Auckland",
        "Asia/Kolkata",
        "Europe/Stockholm",
        "Pacific/Honolulu",
        "Pacific/Kiritimati",
        "Etc/GMT+12",
    ]
    early = datetime(2030, 5, 1, 0, 0)  # noqa: DTZ001
    next_ = early + timedelta(days=1, hours=4)
    lines = [await Line(world).runs(zone, early, LATE, next_) for zone in zones]
    expected = {line.ids[start] for line in lines for start in (early, LATE)}
    assert set(await found(world, {"date": "2030-05-01"})) == expected
    assert set(await found(world, {"date": "2030-05-02"})) == {line.ids[next_] for line in lines}
    for line in lines:
        whose = {"organizationId": encode("Organization", line.organization.id), "date": "2030-05-01"}
        assert await found(world, whose) == [line.ids[early], line.ids[LATE]]


@pytest.mark.feature("S4.7", "S4.36")
async def test_free_seats_are_counted_as_they_are_now(world: World) -> None:
    line = await Line(world).runs("UTC", NINE)
    (id_,) = line.ids.values()
    schedule_id = await world.tables.fetchval("SELECT id FROM schedule")
    block = BlockSeats(schedule_id, ["A1", "A2", "A3"], True)
    await world.app.services.timetable.block_seats(line.staff, block)
    await world.tables.execute("""
      INSERT INTO reservation (id, schedule_id, organization_id, holder, seats, total_amount, total_currency, ttl,
        created_at, expires_at)
      SELECT gen_random_uuid(), id, organization_id, 'x', '{4}', 1, 'INR', 'PT1M', now(), now() - interval '1 s'
      FROM schedule
    """)
    await world.tables.execute("""
      INSERT INTO allocation (schedule_id, seat, status, held_until, reservation_id)
      SELECT schedule_id, 4, 'HELD', expires_at, id FROM reservation
    """)
    assert await found(world, {"minAvailable": 5}) == [id_], "a hold that is over is a free seat"
    assert await found(world, {"minAvailable": 6}) == []
    page = await world.data(SEARCH, search={}, first=1)
    assert page["nodes"][0]["counts"] == {"available": 5}
    await world.app.services.timetable.block_seats(
        line.staff, BlockSeats(schedule_id, ["A4", "B1", "B2", "B3", "B4"], True)
    )
    page = await world.data(SEARCH, search={}, first=1)
    assert page["nodes"][0]["status"] == "SOLD_OUT"
    assert await found(world, {"minAvailable": 1}) == []


async def test_what_is_over_is_found_by_date_alone_and_what_is_cancelled_never(world: World) -> None:
    past = datetime(2020, 5, 1, 9)  # noqa: DTZ001
    line = await Line(world).runs("UTC", past, NINE)
    assert await found(world, {}) == [line.ids[NINE]]
    page = await world.data(SEARCH, search={"date": "2020-05-01"}, first=1)
    assert page["nodes"][0]["status"] == "PAST"
    assert await found(world, {"from": "2019-01-01T00:00:00Z"}) == list(line.ids.values())
    await world.tables.execute("UPDATE schedule SET status = 'CANCELLED'")
    assert await found(world, {"date": "2020-05-01"}) == []


@pytest.mark.feature("S2.32")
async def test_text_is_compared_and_never_run(world: World) -> None:
    for text in ("'; DROP TABLE schedule; --", "' OR '1'='1", "%", "_", "\\", "ümlaut", "x" * 5_000):
        line = await Line(world).runs("UTC", NINE, origin=text[:200], destination="Pune")
        assert await found(world, {"origin": text[:200]}) == list(line.ids.values())
        assert await found(world, {"destination": text}) == []
    assert await world.code(SEARCH, search={"origin": "a\0b"}, first=1) == "BAD_USER_INPUT"


async def test_what_is_sold_and_where_it_runs_are_told_as_they_are_now(world: World) -> None:
    coach = await Line(world).runs("Asia/Kolkata", NINE, origin="Mumbai", destination="Pune")
    document = "query { schedules(first: 1, search: {}) { nodes { offering { name } resource { name } } } }"
    await world.data(document)
    for name in ("by sleeper", "by day"):
        await world.tables.execute("UPDATE offering SET name = $1", name)
        await world.tables.execute("UPDATE resource SET name = $1", f"{name}, {coach.resource.name}")
        (node,) = (await world.data(document))["nodes"]
        told = {"name": name}, {"name": f"{name}, {coach.resource.name}"}
        assert (node["offering"], node["resource"]) == told
