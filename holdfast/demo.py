"""Demo data for an empty database: a bus operator, a lab, a salon, and four people to try them with."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from db.alone import alone
from db.unit_of_work import UnitOfWork
from domain.access import Role
from domain.catalogue import BookingMode, Offering, Organization, Resource, ResourceKind
from domain.curation import Curation, LayoutPlan, SaveOffering, SaveResource
from domain.errors import InvalidInput
from domain.ids import new_id
from domain.money import Money
from domain.once import Once
from domain.seats import SeatCategory
from domain.timetable import OpenSchedules, Timetable
from domain.viewer import Viewer
from domain.walltime import resolve_local
from holdfast.wiring import App

_FILLING = 0x64656D6F

DAYS = 7
BENCHES = 2
CUSTOMER, PROVIDER, STAFF, ADMIN = (
    f"{name}@demo.example" for name in ("customer", "provider", "staff", "admin")
)


@dataclass(frozen=True, slots=True)
class Houses:
    """The three organizations."""

    bus: Organization
    lab: Organization
    salon: Organization


@dataclass(frozen=True, slots=True)
class Office:
    """Where staff work."""

    curation: Curation
    timetable: Timetable


async def is_empty(app: App) -> bool:
    """Whether the database has no organization yet besides those that were made for portals."""
    async with app.database.begin(None) as tx:
        of_portals = {portal.organization_id for portal in await tx.jobs.portals()}
    found = (await app.services.reads.organizations(len(of_portals) + 1, None)).items
    return all(organization.id in of_portals for _, organization in found)


async def fill_if_empty(app: App, dsn: str, say: Callable[[str], None]) -> bool:
    """Fill an empty database; of several who find one at the same time, one does. False if it was not empty."""
    if not await is_empty(app):
        return False
    async with alone(dsn, _FILLING):
        if not await is_empty(app):
            return False
        await fill(app, say)
    return True


async def fill(app: App, say: Callable[[str], None]) -> None:
    """Make everything or nothing, telling of each step and of the random passwords, which are kept nowhere."""
    say("Filling in demo data ...")
    houses = Houses(
        Organization(new_id(), "Deccan Coaches", "deccan-coaches", "Asia/Kolkata", "INR"),
        Organization(new_id(), "Norrsken Lab", "norrsken-lab", "Europe/Stockholm", "SEK"),
        Organization(new_id(), "Salon Saks", "salon-saks", "Europe/Copenhagen", "DKK"),
    )
    passwords = {email: secrets.token_urlsafe(15) for email in (CUSTOMER, PROVIDER, STAFF, ADMIN)}
    hashes = {email: await app.identity.hasher.hash(password) for email, password in passwords.items()}
    people = {email: new_id() for email in passwords}
    staff = Viewer("", "seed", people[STAFF], new_id(), datetime.max.replace(tzinfo=UTC))
    with _unlogged():
        async with app.database.begin(None) as tx:
            office = _office(app, tx)
            await _people(tx, houses, people, hashes)
            await _coaches(office, staff, houses.bus, say)
            await _benches(office, staff, houses.lab, say)
            await _chair(office, staff, houses.salon, people[PROVIDER])
            # Before the commit: rather passwords that open nothing than accounts whose passwords nobody saw.
            say("\nDemo accounts; these passwords are shown this once:")
            for email, password in passwords.items():
                say(f"  {email:24} {password}")
            if app.settings.demo_portal_url is not None:
                say(f"Each has a phone to log in by at {app.settings.demo_portal_url}/phone")


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep hundreds of schedules out of the log of a first start: what was made is told in a line each."""
    logger = logging.getLogger("holdfast.database")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _office(app: App, tx: UnitOfWork) -> Office:
    """The use cases inside one transaction: a database filled by halves would not be empty, and never be whole."""

    @asynccontextmanager
    async def within(*_: Viewer | None) -> AsyncIterator[UnitOfWork]:
        yield tx

    once = Once(within, app.services.guests)
    return Office(replace(app.services.curation, once=once), Timetable(once))


async def _people(
    tx: UnitOfWork, houses: Houses, people: Mapping[str, UUID], hashes: Mapping[str, str]
) -> None:
    for organization in (houses.bus, houses.lab, houses.salon):
        await tx.catalogue.add_organization(organization)
    for email, id_ in people.items():
        await tx.accounts.add(id_, email, f"Demo {email.partition('@')[0]}", None, hashes[email])
    for organization in (houses.bus, houses.lab, houses.salon):
        await tx.accounts.join(people[STAFF], organization.id, Role.STAFF)
        await tx.accounts.join(people[ADMIN], organization.id, Role.ADMIN)
    await tx.accounts.join(people[PROVIDER], houses.salon.id, Role.PROVIDER)


async def _coaches(office: Office, staff: Viewer, bus: Organization, say: Callable[[str], None]) -> None:
    plan = LayoutPlan(
        rows=10,
        columns=4,
        aisle_after_column=2,
        categories=[
            SeatCategory("front", ["A1", "A2", "A3", "A4"]),
            SeatCategory("accessible", ["B1", "B2"], accessible=True),
        ],
    )
    curation = office.curation
    for number, (there, back) in enumerate((("Mumbai", "Pune"), ("Pune", "Mumbai")), start=1):
        coach = await curation.save_resource(
            staff,
            SaveResource(
                None, bus.id, ResourceKind.VEHICLE, f"Coach {number}", bus.time_zone, plan, {"type": "deluxe"}
            ),
        )
        for origin, destination, hours in ((there, back, (8, 20)), (back, there, (14,))):
            trip = await curation.save_offering(
                staff,
                SaveOffering(
                    None,
                    bus.id,
                    f"{origin} - {destination} express",
                    BookingMode.SEATED,
                    Money(Decimal("500.00"), bus.currency),
                    origin=origin,
                    destination=destination,
                    distance_km=149.0,
                ),
            )
            await _open(office, staff, trip, coach, hours, timedelta(hours=4))
    say(f"  {bus.name}: six departures a day for {DAYS} days, 40 seats each")


async def _benches(office: Office, staff: Viewer, lab: Organization, say: Callable[[str], None]) -> None:
    curation = office.curation
    hour = await curation.save_offering(
        staff,
        SaveOffering(
            None, lab.id, "Bench hour", BookingMode.SLOT, Money(Decimal("90.00"), lab.currency), max_seats=1
        ),
    )
    for number in range(1, BENCHES + 1):
        bench = await curation.save_resource(
            staff,
            SaveResource(
                None,
                lab.id,
                ResourceKind.DEVICE,
                f"Bench {number}",
                lab.time_zone,
                LayoutPlan(rows=1, columns=1),
            ),
        )
        await _open(office, staff, hour, bench, range(24), timedelta(hours=1))
    say(f"  {lab.name}: {BENCHES} benches in 24 one-hour slots a day for {DAYS} days")


async def _chair(office: Office, staff: Viewer, salon: Organization, provider: UUID) -> None:
    curation = office.curation
    await curation.save_resource(
        staff,
        SaveResource(
            None,
            salon.id,
            ResourceKind.PERSON,
            "Chair by the window",
            salon.time_zone,
            LayoutPlan(rows=1, columns=1),
            provider_id=provider,
        ),
    )
    price = Money(Decimal("650.00"), salon.currency)
    await curation.save_offering(
        staff, SaveOffering(None, salon.id, "Root re-twist", BookingMode.APPOINTMENT, price, max_seats=1)
    )


async def _open(
    office: Office,
    staff: Viewer,
    offering: Offering,
    resource: Resource,
    hours: range | tuple[int, ...],
    long: timedelta,
) -> None:
    tomorrow = datetime.now(ZoneInfo(resource.time_zone)).date() + timedelta(days=1)
    days = [tomorrow + timedelta(days=number) for number in range(DAYS)]
    starts = [local for day in days for hour in hours if (local := _existing(day, hour, resource.time_zone))]
    await office.timetable.open_schedules(staff, OpenSchedules(offering.id, resource.id, starts, long))


def _existing(day: date, hour: int, zone: str) -> datetime | None:
    """The local time, or None in the hour that a clock change skips or repeats."""
    local = datetime.combine(day, time(hour))
    try:
        resolve_local(local, zone)
    except InvalidInput:
        return None
    return local
