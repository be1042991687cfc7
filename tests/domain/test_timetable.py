"""A series of local starts becomes schedules, each at its own instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.catalogue import BookingMode, Offering, Resource, ResourceKind, Schedule
from domain.errors import InvalidInput
from domain.money import Money
from domain.seats import SeatLayout, plan_layout
from domain.timetable import MAX_STARTS, OpenSchedules, plan_schedules

HOUSE, LAYOUT = UUID(int=1), SeatLayout(UUID(int=2), 1, 4, None, plan_layout(1, 4))
TTL, PRICE = timedelta(minutes=15), Money(Decimal(5), "SEK")
OFFERING = Offering(UUID(int=3), HOUSE, "Bus", None, BookingMode.SEATED, PRICE, TTL, 6, None, None, None)
ZONES = [
    "Europe/Stockholm",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "UTC",
]


def planned(
    starts: Sequence[datetime], zone: str, duration: timedelta = timedelta(hours=1)
) -> Sequence[Schedule]:
    resource = Resource(UUID(int=4), HOUSE, ResourceKind.VEHICLE, "Coach", zone, {}, LAYOUT.id)
    return plan_schedules(
        OpenSchedules(OFFERING.id, resource.id, starts, duration), OFFERING, resource, LAYOUT
    )


@given(
    st.sets(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=20),  # noqa: DTZ001
    st.sampled_from(ZONES),
)
def test_a_schedule_starts_when_the_clock_there_shows_it(starts: set[datetime], zone: str) -> None:
    wanted = [start.replace(second=0, microsecond=0) for start in starts]
    try:
        schedules = planned(wanted, zone, timedelta(minutes=1))
    except InvalidInput:
        assume(False)
    shown = [each.start.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for each in schedules]
    assert shown == sorted(wanted)
    assert all(each.end - each.start == timedelta(minutes=1) for each in schedules)
    assert all(a.end <= b.start for a, b in pairwise(schedules))


@pytest.mark.feature("S2.44")
def test_an_hour_that_is_skipped_leaves_less_time_between_two_starts() -> None:
    before, after = planned([_at("2027-03-27T08:00"), _at("2027-03-28T08:00")], "Europe/Stockholm")
    assert after.start - before.start == timedelta(hours=23)
    assert (after.seat_total, after.version, after.price.text) == (4, 0, "5.00")


@pytest.mark.parametrize(
    ("starts", "duration"),
    [
        ([], timedelta(hours=1)),
        (["2027-01-01T08:00"] * (MAX_STARTS + 1), timedelta(hours=1)),
        (["2027-01-01T08:00", "2027-01-01T08:59"], timedelta(hours=1)),
        (
            ["2027-03-28T01:30", "2027-03-28T03:00"],
            timedelta(minutes=31),
        ),  # half an hour apart: the clock jumps
        (["2027-01-01T08:00"], timedelta(seconds=59)),
        (["2027-01-01T08:00"], timedelta(days=31, seconds=1)),
        (["1969-01-01T08:00"], timedelta(hours=1)),
    ],
)
@pytest.mark.feature("S1.32")
def test_a_series_that_cannot_run_is_refused_with_its_place(starts: list[str], duration: timedelta) -> None:
    with pytest.raises(InvalidInput) as refused:
        planned([_at(start) for start in starts], "Europe/Stockholm", duration)
    assert refused.value.path in (("localStarts",), ("duration",))


def test_as_many_as_there_may_be() -> None:
    first = _at("2027-01-01T00:00")
    schedules = planned([first + timedelta(hours=number) for number in range(MAX_STARTS)], "UTC")
    assert len({each.id for each in schedules}) == MAX_STARTS
    assert schedules[-1].start == datetime(2027, 2, 11, 15, tzinfo=UTC)


def _at(local: str) -> datetime:
    return datetime.fromisoformat(local)
