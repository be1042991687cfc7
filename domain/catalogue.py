"""What can be booked: organizations, their resources, what they offer, and its dated runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.money import Money


class ResourceKind(StrEnum):
    """What a resource is."""

    VEHICLE = "VEHICLE"
    ROOM = "ROOM"
    DEVICE = "DEVICE"
    PERSON = "PERSON"


class BookingMode(StrEnum):
    """How an offering is sold: seats of a departure, a fixed slot, or a time made on demand."""

    SEATED = "SEATED"
    SLOT = "SLOT"
    APPOINTMENT = "APPOINTMENT"


class ScheduleStatus(StrEnum):
    """Whether a schedule sells; SOLD_OUT and PAST follow from its seats and the clock, the others are set."""

    ON_SALE = "ON_SALE"
    SOLD_OUT = "SOLD_OUT"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    PAST = "PAST"


@dataclass(frozen=True, slots=True)
class Organization:
    """Who sells. ``time_zone`` is an IANA key, ``currency`` an ISO 4217 code."""

    id: UUID
    name: str
    slug: str
    time_zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A bus, a lab bench, a stylist. ``provider_id`` is the account of the person behind it, if there is one."""

    id: UUID
    organization_id: UUID
    kind: ResourceKind
    name: str
    time_zone: str
    attributes: Mapping[str, object]
    layout_id: UUID
    provider_id: UUID | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Offering:
    """What is sold, and under which terms. ``reservation_ttl`` is how long a reservation holds."""

    id: UUID
    organization_id: UUID
    name: str
    description: str | None
    mode: BookingMode
    price: Money
    reservation_ttl: timedelta
    max_seats: int
    origin: str | None
    destination: str | None
    distance_km: float | None
    version: int = 1


class Schedule(NamedTuple):
    """A dated run of an offering on a resource, half-open [start, end) in UTC; ``status`` as it is set."""

    id: UUID
    organization_id: UUID
    offering_id: UUID
    resource_id: UUID
    layout_id: UUID
    start: datetime
    end: datetime
    time_zone: str
    price: Money
    seat_total: int
    status: ScheduleStatus
    version: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What reserving on one schedule needs to know of it; all of it is fixed but for the offering's two limits."""

    schedule_id: UUID
    organization_id: UUID
    resource_id: UUID
    layout_id: UUID
    start: datetime
    price: Money
    reservation_ttl: timedelta
    max_seats: int

    @property
    def id(self) -> UUID:
        """The schedule's id."""
        return self.schedule_id


@dataclass(frozen=True, slots=True)
class ScheduleSearch:
    """What a search asks for; every part that is given must fit. Origin and destination ignore case and spacing."""

    origin: str | None = None
    destination: str | None = None
    on: date | None = None
    start: datetime | None = None
    end: datetime | None = None
    offering_id: UUID | None = None
    resource_id: UUID | None = None
    organization_id: UUID | None = None
    mode: BookingMode | None = None
    min_available: int | None = None


def place_key(place: str | None) -> str | None:
    """The form in which places are compared: case folded, inner white space single. None for none or empty."""
    return " ".join((place or "").split()).casefold() or None


def status_of(schedule: Schedule, available: int, now: datetime) -> ScheduleStatus:
    """The status a customer sees: set ones first, then PAST from its start on, then SOLD_OUT without a free seat."""
    if schedule.status is not ScheduleStatus.ON_SALE:
        return schedule.status
    if schedule.start <= now:
        return ScheduleStatus.PAST
    return ScheduleStatus.ON_SALE if available > 0 else ScheduleStatus.SOLD_OUT
