"""What subscriptions send: a snapshot, then what happened, each with the cursor to go on from."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import strawberry

from schema.scalars import Cursor
from schema.types.automation import AutomationJob
from schema.types.bookings import Booking, Reservation
from schema.types.events import Event
from schema.types.schedules import Schedule
from schema.types.seats import SeatCounts, SeatStatus


@strawberry.interface
class StreamMessage:
    """One message of a subscription."""

    cursor: Cursor
    at: datetime


@strawberry.type
class Resync(StreamMessage):
    """Drop what you have: the snapshot that follows is the truth."""

    reason: str


@strawberry.type
class SeatSnapshot(StreamMessage):
    """The whole state."""

    schedules: list[Schedule]


@strawberry.type
class SeatChange:
    """Small on purpose: it is what ten thousand browsers get."""

    label: str
    status: SeatStatus
    held_until: datetime | None


@strawberry.type
class SeatDelta(StreamMessage):
    """One or more changes of one schedule; changes that wait for a slow reader are merged, newest state
    wins.
    """

    schedule_id: strawberry.ID
    version: int
    counts: SeatCounts
    changed: list[SeatChange]


@strawberry.type
class ReservationChanged(StreamMessage):
    """A reservation as it is now."""

    reservation: Reservation


@strawberry.type
class BookingSnapshot(StreamMessage):
    """The newest bookings, up to 100, as they are when the stream begins."""

    bookings: list[Booking]


@strawberry.type
class BookingChanged(StreamMessage):
    """A booking as it is now."""

    booking: Booking


@strawberry.type
class AutomationJobChanged(StreamMessage):
    """A job as it is now."""

    job: AutomationJob


@strawberry.type
class EventDelivered(StreamMessage):
    """One event of the log."""

    event: Event


@strawberry.input
class ResourceDaysInput:
    """What a resource runs from one local date to another, both included."""

    resource_id: strawberry.ID
    to: date
    from_: date = strawberry.field(name="from")


@strawberry.input(one_of=True)
class SeatChangesTarget:
    """One schedule, or the board of a resource."""

    schedule_id: strawberry.Maybe[strawberry.ID]
    resource: strawberry.Maybe[ResourceDaysInput]


SeatChangesMessage = Annotated[SeatSnapshot | SeatDelta | Resync, strawberry.union("SeatChangesMessage")]
ReservationMessage = Annotated[ReservationChanged | Resync, strawberry.union("ReservationMessage")]
BookingMessage = Annotated[BookingSnapshot | BookingChanged | Resync, strawberry.union("BookingMessage")]
AutomationJobMessage = Annotated[AutomationJobChanged | Resync, strawberry.union("AutomationJobMessage")]
EventMessage = Annotated[EventDelivered | Resync, strawberry.union("EventMessage")]
