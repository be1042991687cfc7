"""What a portal booked, as a Booking like any other.

The portal has no schedules here, so one is made on demand: closed, with the one seat that is booked, on a resource of
the portal's organization for that place. A resource runs one schedule at a time and a place may examine several people
at once, so a place has as many resources as it needs: its *lanes*.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.bookings import confirmed_booking, sell
from domain.catalogue import BookingMode, Offering, Resource, ResourceKind, Schedule, ScheduleStatus
from domain.curation import DEFAULT_TTL, offering_saved, resource_saved
from domain.holding import changes, hold_until, reservation_event, seats_event
from domain.ids import new_id
from domain.jobs import Job, Lane, Outcome, Slot
from domain.ledger import Booking, Hold, LockedSchedule, Reservation, ReservationStatus
from domain.money import Money
from domain.portals import Portal
from domain.ports import Transaction
from domain.seats import SeatLayout, SeatStatus, plan_layout
from domain.timetable import schedule_opened
from domain.walltime import zone_of

LENGTH = timedelta(hours=1)
"""How long a booking runs here: portals tell when it begins, and not how long it takes."""

SEAT = 0


async def fulfil(tx: Transaction, job: Job, outcome: Outcome, portal: Portal) -> Booking:
    """The confirmed booking of a job that is locked, with all that it stands on and the events of it."""
    schedule = await _schedule(tx, job, outcome.slot, portal)
    locked = await tx.ledger.lock(schedule.id)
    assert locked is not None  # noqa: S101 - it was made in this transaction
    layout = await tx.ledger.layout(schedule.layout_id)
    reservation = await _reserve(tx, job, layout, locked)
    booking = confirmed_booking(
        reservation, job.account_id, reservation.contact, locked.at, outcome.booking_number
    )
    sold = await sell(tx, locked, booking)
    assert sold is not None  # noqa: S101 - what it was reserved by was made in this transaction
    return sold


async def _schedule(tx: Transaction, job: Job, slot: Slot, portal: Portal) -> Schedule:
    local = datetime.combine(slot.date, slot.time, zone_of(portal.time_zone))
    start = local.astimezone(UTC)
    lane = await tx.jobs.lane(job.organization_id, slot.location, start, start + LENGTH)
    offering = await _offering(tx, job, lane, portal)
    resource = await _resource(tx, job, lane, slot, portal)
    schedule = Schedule(
        id=new_id(),
        organization_id=job.organization_id,
        offering_id=offering.id,
        resource_id=resource.id,
        layout_id=resource.layout_id,
        start=start,
        end=start + LENGTH,
        time_zone=portal.time_zone,
        price=offering.price,
        seat_total=1,
        status=ScheduleStatus.CLOSED,
        version=0,
    )
    at = await tx.catalogue.open(offering, [schedule])
    tx.emit(schedule_opened(schedule, at))
    return schedule


async def _offering(tx: Transaction, job: Job, lane: Lane, portal: Portal) -> Offering:
    found = await tx.catalogue.offering(lane.offering_id) if lane.offering_id else None
    if found is not None:
        return found
    offering = Offering(
        id=new_id(),
        organization_id=job.organization_id,
        name=portal.name,
        description=None,
        mode=BookingMode.APPOINTMENT,
        price=Money(Decimal(0), portal.currency),
        reservation_ttl=DEFAULT_TTL,
        max_seats=1,
        origin=None,
        destination=None,
        distance_km=None,
    )
    tx.emit(offering_saved(offering, await tx.catalogue.save_offering(offering)))
    return offering


async def _resource(tx: Transaction, job: Job, lane: Lane, slot: Slot, portal: Portal) -> Resource:
    found = await tx.catalogue.resource(lane.resource_id) if lane.resource_id else None
    if found is not None:
        return found
    layout = SeatLayout(new_id(), 1, 1, None, plan_layout(1, 1, None, (), ()))
    await tx.catalogue.add_layout(job.organization_id, layout)
    resource = Resource(
        id=new_id(),
        organization_id=job.organization_id,
        kind=ResourceKind.ROOM,
        name=slot.location if lane.number == 1 else f"{slot.location} ({lane.number})",
        time_zone=portal.time_zone,
        attributes={"place": slot.location, "lane": lane.number},
        layout_id=layout.id,
    )
    tx.emit(resource_saved(resource, 1, await tx.catalogue.save_resource(resource)))
    return resource


async def _reserve(tx: Transaction, job: Job, layout: SeatLayout, locked: LockedSchedule) -> Reservation:
    """The seat's reservation, which every booking comes from; it lasts no longer than this transaction."""
    terms, at = locked.terms, locked.at
    until = max(hold_until(terms.reservation_ttl, terms.start, at), at + timedelta(seconds=1))
    reservation = Reservation(
        id=new_id(),
        schedule_id=terms.schedule_id,
        organization_id=terms.organization_id,
        account_id=job.account_id,
        status=ReservationStatus.ACTIVE,
        seats=[SEAT],
        total=terms.price,
        ttl=terms.reservation_ttl,
        created_at=at,
        expires_at=until,
        now=at,
        extensions=0,
        contact=await tx.accounts.contact(job.account_id),
        version=1,
    )
    hold = Hold(reservation, b"j" + job.id.bytes)
    await tx.ledger.hold([hold])
    locked.hold(hold)
    tx.emit(
        seats_event("seats.held", locked, changes(layout, reservation.seats, SeatStatus.HELD, until)),
        reservation_event("reservation.created", reservation, at),
    )
    return reservation
