"""Local time and instants: the wall clock of an IANA zone, durations (ISO 8601), half-open ranges of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from domain.errors import InvalidInput

FIRST_YEAR, LAST_YEAR = 1970, 2199
MAX_DURATION = timedelta(days=366)

_DURATION = re.compile(
    r"P(?=.)(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?"
)
_CALENDAR_DURATION = re.compile(r"P[0-9]+[YM].*")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Half-open [start, end), both aware, seen on the wall clock of ``time_zone`` (an IANA key).

    Raises ValueError if it does not start before it ends.
    """

    start: datetime
    end: datetime
    time_zone: str

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError("A range of time starts before it ends.")

    @property
    def local_start(self) -> datetime:
        """The start on the wall clock, naive."""
        return _on_the_wall(self.start, self.time_zone)

    @property
    def local_end(self) -> datetime:
        """The end on the wall clock, naive."""
        return _on_the_wall(self.end, self.time_zone)

    @property
    def duration(self) -> timedelta:
        """The time that passes between start and end, whatever the wall clock does."""
        return self.end.astimezone(UTC) - self.start.astimezone(UTC)


@lru_cache(maxsize=8_192)  # what is searched for again and again starts at the same times
def _on_the_wall(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the keys of the IANA time zone database."""
    listed = (files("tzdata") / "zones").read_text(encoding="utf-8").split()
    return frozenset(listed) - {"Factory"}  # a placeholder of the database for a machine without a zone


def zone_of(name: str, path: Sequence[str] = ("timeZone",)) -> ZoneInfo:
    """Return the zone of an IANA key. Raises InvalidInput, with ``path``, for anything else."""
    if name not in zone_names():
        raise InvalidInput("Not a time zone; write an IANA name such as Europe/Stockholm.", path)
    return ZoneInfo(name)


def resolve_local(local: datetime, zone: str, path: Sequence[str] | None = None) -> datetime:
    """Return the instant (UTC) at which the clocks of ``zone`` show ``local`` (naive).

    Raises InvalidInput, with ``path``, if they never show it, show it twice, or the year is not 1970..2199.
    """
    if not FIRST_YEAR <= local.year <= LAST_YEAR:
        raise InvalidInput(f"A local time lies in the years {FIRST_YEAR} to {LAST_YEAR}.", path)
    shown = local.replace(tzinfo=zone_of(zone), fold=0)
    first, second = shown.astimezone(UTC), shown.replace(fold=1).astimezone(UTC)
    if first == second:
        return first
    happens = "twice" if first < second else "never"
    raise InvalidInput(f"{local.isoformat(timespec='minutes')} happens {happens} in {zone}.", path)


def local_date(instant: datetime, zone: str) -> date:
    """Return the date on the wall clock of ``zone`` at an aware instant."""
    return instant.astimezone(zone_of(zone)).date()


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Return the first instant (UTC) at which the date is ``day`` in ``zone``, and the first of the next day.

    The two are equal for a day that the zone left out. Raises InvalidInput for a year outside 1970..2199.
    """
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise InvalidInput(f"A date lies in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return _first_instant(day, zone), _first_instant(day + timedelta(days=1), zone)


def _first_instant(day: date, zone: str) -> datetime:
    # Of two midnights the first; where the clocks jump over midnight, the moment of the jump, because since
    # 1970 no zone has had a jump that began before midnight and reached beyond it.
    return datetime.combine(day, time(), zone_of(zone)).astimezone(UTC)


def parse_duration(text: str, path: Sequence[str] | None = None) -> timedelta:
    """Read an ISO 8601 duration of weeks, days (of 24 hours), hours, minutes and seconds, all whole.

    Raises InvalidInput, with ``path``, for anything else, and outside 1 second to MAX_DURATION.
    """
    if _CALENDAR_DURATION.fullmatch(text):
        raise InvalidInput("Years and months differ in length; write days or hours.", path)
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise InvalidInput("Not a duration of ISO 8601; write PT15M, PT1H30M or P1D.", path)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    # Compared as a plain number, because timedelta raises above a billion days.
    total = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
    if not 0 < total <= MAX_DURATION.total_seconds():
        raise InvalidInput(f"A duration is at least PT1S and at most {format_duration(MAX_DURATION)}.", path)
    return timedelta(seconds=total)


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole seconds in ISO 8601: P1DT2H, PT15M, PT0S. Raises ValueError if it is none."""
    if duration < timedelta() or duration.microseconds:
        raise ValueError("Only whole seconds, from zero on, can be written.")
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{duration.days}D" if duration.days else ""
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"


def checked_duration(value: timedelta, ends: tuple[timedelta, timedelta], path: tuple[str, ...]) -> timedelta:
    """The duration. Raises InvalidInput, with ``path``, unless it lies between the two ends, both included."""
    if not ends[0] <= value <= ends[1]:
        raise InvalidInput(f"Between {format_duration(ends[0])} and {format_duration(ends[1])}.", path)
    return value
