# ruff: noqa: DTZ001 - naive datetimes are what is tested
from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.walltime import (
    MAX_DURATION,
    TimeRange,
    day_bounds,
    format_duration,
    local_date,
    parse_duration,
    resolve_local,
    zone_names,
    zone_of,
)

zones = st.sampled_from(sorted(zone_names()))
instants = st.datetimes(datetime(1970, 1, 3), datetime(2199, 12, 29), timezones=st.just(UTC))
days = st.dates(date(1970, 1, 3), date(2199, 12, 29))


def test_eight_in_the_morning_stays_eight_over_a_clock_change() -> None:
    saturday, sunday = datetime(2027, 3, 27, 8), datetime(2027, 3, 28, 8)
    assert resolve_local(saturday, "Europe/Stockholm") == datetime(2027, 3, 27, 7, tzinfo=UTC)
    assert resolve_local(sunday, "Europe/Stockholm") == datetime(2027, 3, 28, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "zone", "said"),
    [
        (
            datetime(2027, 3, 28, 2, 30),
            "Europe/Stockholm",
            "2027-03-28T02:30 happens never in Europe/Stockholm.",
        ),
        (
            datetime(2027, 10, 31, 2, 30),
            "Europe/Stockholm",
            "2027-10-31T02:30 happens twice in Europe/Stockholm.",
        ),
        (datetime(2011, 12, 30, 12), "Pacific/Apia", "2011-12-30T12:00 happens never in Pacific/Apia."),
        (
            datetime(2027, 4, 4, 1, 45),
            "Australia/Lord_Howe",
            "2027-04-04T01:45 happens twice in Australia/Lord_Howe.",
        ),
        (datetime(1, 1, 1), "Asia/Tokyo", "A local time lies in the years 1970 to 2199."),
        (datetime(9999, 12, 31, 23), "America/New_York", "A local time lies in the years 1970 to 2199."),
    ],
)
def test_a_local_time_that_is_no_instant_is_refused_by_name(local: datetime, zone: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        resolve_local(local, zone, path=("localStarts", "0"))
    assert refused.value.message == said
    assert refused.value.path == ("localStarts", "0")


@given(instants, zones)
def test_a_local_time_names_the_instant_it_was_read_from_or_is_ambiguous(
    instant: datetime, zone: str
) -> None:
    shown = instant.astimezone(ZoneInfo(zone))
    other = shown.replace(fold=1 - shown.fold).astimezone(UTC)
    local = shown.replace(tzinfo=None, fold=0)
    if other == instant:
        assert resolve_local(local, zone) == instant
    else:
        with pytest.raises(InvalidInput, match="twice"):
            resolve_local(local, zone)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)), zones)
def test_what_resolves_shows_that_local_time_and_what_never_happens_does_not(
    local: datetime, zone: str
) -> None:
    try:
        instant = resolve_local(local, zone)
        said = "once"
    except InvalidInput as refused:
        instant = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        said = refused.message
    shown = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert ("never" in said) == (shown != local)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "stockholm",
        "europe/stockholm",
        "Factory",
        "localtime",
        "posixrules",
        "../UTC",
        "/etc/localtime",
        "UTC\0",
        "tzdata.zi",
        "Europe",
        "x" * 10_000,
    ],
)
def test_only_names_of_the_iana_database_are_zones(name: str) -> None:
    with pytest.raises(InvalidInput, match="Europe/Stockholm") as refused:
        zone_of(name)
    assert refused.value.path == ("timeZone",)


def test_every_name_of_the_iana_database_is_a_zone() -> None:
    assert all(zone_of(name).key == name for name in zone_names())
    assert {"UTC", "Europe/Stockholm", "Asia/Kolkata"} < zone_names()


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        (date(2027, 3, 27), "Europe/Stockholm", "2027-03-26T23:00", 24),
        (date(2027, 3, 28), "Europe/Stockholm", "2027-03-27T23:00", 23),
        (date(2027, 10, 31), "Europe/Stockholm", "2027-10-30T22:00", 25),
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04T03:00", 23),  # begins at 01:00
        (date(2026, 11, 1), "America/Havana", "2026-11-01T04:00", 25),  # 00:30 happens twice
        (date(2011, 12, 30), "Pacific/Apia", "2011-12-30T10:00", 0),  # left out
        (date(2006, 10, 29), "America/St_Johns", "2006-10-29T02:30", 25),  # back over midnight at 00:01
    ],
)
def test_a_day_begins_with_its_first_instant(day: date, zone: str, start: str, hours: int) -> None:
    begin, end = day_bounds(day, zone)
    assert begin == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert end - begin == timedelta(hours=hours)


@given(days, zones)
def test_days_follow_each_other_without_gap_and_begin_on_their_date(day: date, zone: str) -> None:
    begin, end = day_bounds(day, zone)
    assert begin <= end == day_bounds(day + timedelta(days=1), zone)[0]
    assert local_date(begin - timedelta(seconds=1), zone) < day
    if begin < end:
        assert local_date(begin, zone) == day


def test_a_day_beyond_the_years_is_refused() -> None:
    for day in (date.min, date.max):
        with pytest.raises(InvalidInput):
            day_bounds(day, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("text", "duration", "written"),
    [
        ("PT15M", timedelta(minutes=15), "PT15M"),
        ("PT90M", timedelta(hours=1, minutes=30), "PT1H30M"),
        ("P1W", timedelta(days=7), "P7D"),
        ("P1DT24H", timedelta(days=2), "P2D"),
        ("P1W1DT1H1M1S", timedelta(days=8, hours=1, minutes=1, seconds=1), "P8DT1H1M1S"),
        ("P366D", MAX_DURATION, "P366D"),
    ],
)
def test_a_duration_is_read_and_written_in_its_shortest_form(
    text: str, duration: timedelta, written: str
) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("P1Y", "Years and months"),
        ("P1M", "Years and months"),
        ("P1Y2DT3H", "Years and months"),
        ("PT0S", "at least"),
        ("P0D", "at least"),
        ("P367D", "at most P366D"),
        ("P999999999W", "at most"),
        *(
            (text, "ISO 8601")
            for text in ("", "P", "PT", "P1DT", "15M", "pt15m", "PT15", "PT1.5M", "-PT1M", "PT-1M")
        ),
        *((text, "ISO 8601") for text in ("PT1M1H", "P1H", "PT٣M", "PT15M\n", " PT15M", "PT9999999999S")),
    ],
)
def test_what_is_no_fixed_positive_duration_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        parse_duration(text, path=("duration",))
    assert refused.value.path == ("duration",)


@given(st.integers(1, 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_written_duration_reads_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="PT0123456789YMWDHS.,-+", max_size=20))
def test_no_text_breaks_the_reader_of_durations(text: str) -> None:
    with suppress(InvalidInput):
        assert timedelta() < parse_duration(text) <= MAX_DURATION


def test_nothing_is_written_for_what_is_no_whole_number_of_seconds() -> None:
    assert format_duration(timedelta()) == "PT0S"
    for duration in (timedelta(seconds=-1), timedelta(milliseconds=1)):
        with pytest.raises(ValueError, match="whole seconds"):
            format_duration(duration)


def test_a_range_over_a_clock_change_lasts_as_long_as_time_passes() -> None:
    start, end = datetime(2027, 3, 28, 0, tzinfo=UTC), datetime(2027, 3, 28, 2, tzinfo=UTC)
    night = TimeRange(start, end, "Europe/Stockholm")
    assert (night.local_start, night.local_end) == (datetime(2027, 3, 28, 1), datetime(2027, 3, 28, 4))
    assert night.duration == timedelta(hours=2)


def test_a_range_ends_after_it_starts() -> None:
    now = datetime.combine(date(2027, 3, 28), time(), UTC)
    with pytest.raises(ValueError, match="before it ends"):
        TimeRange(now, now, "UTC")
