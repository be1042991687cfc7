"""Rows as values of the domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from domain.catalogue import (
    BookingMode,
    Offering,
    Organization,
    Resource,
    ResourceKind,
    Schedule,
    ScheduleStatus,
    Terms,
)
from domain.contact import Contact
from domain.latest import Latest
from domain.ledger import Booking, BookingStatus, LockedSchedule, Reservation, ReservationStatus
from domain.money import Money
from domain.reads import Key, Page
from domain.seats import Allocation, SeatCounts, SeatStatus, Taken

Item = TypeVar("Item")

SEAT_STATUSES = {status.value: status for status in SeatStatus}
_SCHEDULE_STATUSES = {status.value: status for status in ScheduleStatus}


SCHEDULE_COLUMNS = """s.id, s.organization_id, s.offering_id, s.resource_id, s.layout_id, s.starts_at,
upper(s.during) AS ends_at, s.time_zone, s.price_amount::text AS price_amount, s.price_currency,
s.seat_total, s.status, s.version"""


def page(
    found: Sequence[Any], first: int, made: Callable[[Any], Item], key: Callable[[Any], Key]
) -> Page[Item]:
    """Up to ``first`` of the rows found; one more than that says that others follow."""
    return Page([(key(row), made(row)) for row in found[:first]], len(found) > first)


def money(row: Any, name: str) -> Money:
    """The pair of columns ``<name>_amount`` and ``<name>_currency``."""
    return _money(row[f"{name}_amount"], row[f"{name}_currency"])


@lru_cache(maxsize=1_024)  # a page's prices are few, and each was checked before it was stored
def _money(amount: Decimal | str, currency: str) -> Money:
    return Money(Decimal(amount), currency)


def contact(row: Any) -> Contact:
    """The three contact columns."""
    return Contact(row["contact_name"], row["contact_email"], row["contact_phone"])


def terms(row: Any) -> Terms:
    """A row of ``schedule`` with the limits of its offering."""
    return Terms(
        schedule_id=row["id"],
        organization_id=row["organization_id"],
        resource_id=row["resource_id"],
        layout_id=row["layout_id"],
        start=row["starts_at"],
        price=money(row, "price"),
        reservation_ttl=row["reservation_ttl"],
        max_seats=row["max_seats"],
    )


def locked_schedule(row: Any) -> LockedSchedule:
    """A value of the type ``locked_schedule``."""
    total, held, booked, blocked = row["seat_total"], row["held"], row["booked"], row["blocked"]
    return LockedSchedule(
        terms=terms(row),
        version=row["version"],
        on_sale=row["status"] == "ON_SALE",
        at=row["at"],
        counts=SeatCounts(total, total - held - booked - blocked, held, booked, blocked),
        taken=set(row["taken"] or ()),
    )


def taken(row: Any) -> Taken:
    """The columns seats, letters and, where it was asked for, untils."""
    untils = (row["untils"] or ()) if "untils" in row else None
    return Taken(row["seats"] or (), row["letters"] or "", untils)


def allocation(row: Any) -> Allocation:
    """A row of ``allocation``."""
    return Allocation(
        row["seat"], SeatStatus(row["status"]), row["held_until"], row["reservation_id"], row["booking_id"]
    )


def reservation_at(row: Any, at: datetime) -> Reservation:
    """A row of ``reservation``, judged by the instant ``at``."""
    is_over = row["status"] == "ACTIVE" and row["expires_at"] <= at
    return reservation({**row, "now": at, "status": "EXPIRED" if is_over else row["status"]})


def counts(row: Any) -> SeatCounts:
    """The columns seat_total, held, booked and blocked."""
    total, held, booked, blocked = row["seat_total"], row["held"], row["booked"], row["blocked"]
    return SeatCounts(total, total - held - booked - blocked, held, booked, blocked)


def reservation(row: Any) -> Reservation:
    """A row with ``db.ledger.RESERVATION_COLUMNS``."""
    return Reservation(
        id=row["id"],
        schedule_id=row["schedule_id"],
        organization_id=row["organization_id"],
        account_id=row["account_id"],
        status=ReservationStatus(row["status"]),
        seats=row["seats"],
        total=money(row, "total"),
        ttl=row["ttl"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        now=row["now"],
        extensions=row["extensions"],
        contact=contact(row),
        version=row["version"],
    )


def booking(row: Any) -> Booking:
    """A row with ``db.ledger.BOOKING_COLUMNS``."""
    return Booking(
        id=row["id"],
        reference=row["reference"],
        status=BookingStatus(row["status"]),
        schedule_id=row["schedule_id"],
        organization_id=row["organization_id"],
        reservation_id=row["reservation_id"],
        account_id=row["account_id"],
        seats=row["seats"],
        total=money(row, "total"),
        contact=contact(row),
        created_at=row["created_at"],
        cancelled_at=row["cancelled_at"],
        external_reference=row["external_reference"],
        version=row["version"],
    )


def organization(row: Any) -> Organization:
    """A row of ``organization``."""
    return Organization(row["id"], row["name"], row["slug"], row["time_zone"], row["currency"])


def resource(row: Any) -> Resource:
    """A row of ``resource``: as long as it stays as it is, the same object."""
    return _RESOURCES.of(row["id"], row)


def _resource(row: Any) -> Resource:
    return Resource(
        id=row["id"],
        organization_id=row["organization_id"],
        kind=ResourceKind(row["kind"]),
        name=row["name"],
        time_zone=row["time_zone"],
        attributes=row["attributes"],
        layout_id=row["layout_id"],
        provider_id=row["provider_id"],
        version=row["version"],
    )


def offering(row: Any) -> Offering:
    """A row of ``offering``: as long as it stays as it is, the same object."""
    return _OFFERINGS.of(row["id"], row)


def _offering(row: Any) -> Offering:
    return Offering(
        id=row["id"],
        organization_id=row["organization_id"],
        name=row["name"],
        description=row["description"],
        mode=BookingMode(row["mode"]),
        price=money(row, "price"),
        reservation_ttl=row["reservation_ttl"],
        max_seats=row["max_seats"],
        origin=row["origin"],
        destination=row["destination"],
        distance_km=row["distance_km"],
        version=row["version"],
    )


_RESOURCES = Latest[Any, Resource](_resource)
_OFFERINGS = Latest[Any, Offering](_offering)


_PLACES = (
    "id",
    "organization_id",
    "offering_id",
    "resource_id",
    "layout_id",
    "starts_at",
    "ends_at",
    "time_zone",
)
_TERMS = ("price_amount", "price_currency", "seat_total", "status", "version")
_OF_SCHEDULE = itemgetter(*_PLACES, *_TERMS)


def schedule(row: Any) -> Schedule:
    """A row with ``SCHEDULE_COLUMNS``."""
    # A search gives a hundred: taken out of the row all at once, it takes half the time.
    id_, owner, sold, on, seats, start, end, zone, amount, currency, total, status, version = _OF_SCHEDULE(
        row
    )
    price, shown = _money(amount, currency), _SCHEDULE_STATUSES[status]
    return Schedule(id_, owner, sold, on, seats, start, end, zone, price, total, shown, version)
