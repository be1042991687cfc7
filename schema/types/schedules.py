"""Schedules: dated runs, with their seats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Self

import strawberry

from domain import catalogue as domain
from domain import seats as seat_rules
from domain import timetable
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.scalars import LocalDateTime
from schema.types.catalogue import BookingMode, Offering, Resource
from schema.types.ids import optional_id
from schema.types.money import Money, MoneyInput, TimeRange
from schema.types.node import Node
from schema.types.refusals import Conflict, IdempotencyMismatch, InvalidInput, NotFound, SeatsUnavailable
from schema.types.seats import SeatCounts, SeatState, SeatStatus

ScheduleStatus = domain.ScheduleStatus
strawberry.enum(ScheduleStatus, description="Whether a schedule sells.")


@strawberry.type
class Schedule(Node):
    """A dated run of an offering on a resource: the 08:00 departure, the 09:00-10:00 slot."""

    price: Money
    version: int = strawberry.field(description="Grows by one with every change of a seat.")
    value: strawberry.Private[domain.Schedule]
    taken: strawberry.Private[seat_rules.Taken | None] = None
    counted: strawberry.Private[seat_rules.SeatCounts | None] = None
    now: strawberry.Private[datetime | None] = None

    @batched
    @staticmethod
    async def offering(schedules: Sequence[Schedule], context: Context) -> list[Offering]:
        """What is sold."""
        return await context.load.offering.each([one.value.offering_id for one in schedules], Offering.of)

    @batched
    @staticmethod
    async def resource(schedules: Sequence[Schedule], context: Context) -> list[Resource]:
        """What it runs on."""
        return await context.load.resource.each([one.value.resource_id for one in schedules], Resource.of)

    @strawberry.field
    def during(self) -> TimeRange:
        """When."""
        return TimeRange.of(self.value.start, self.value.end, self.value.time_zone)

    @batched
    @staticmethod
    async def status(schedules: Sequence[Schedule], context: Context) -> list[ScheduleStatus]:
        """Whether it sells."""
        counts = await _counts(schedules, context)
        return [
            domain.status_of(one.value, count.available, one.now or await context.now())
            for one, count in zip(schedules, counts, strict=True)
        ]

    @batched
    @staticmethod
    async def counts(schedules: Sequence[Schedule], context: Context) -> list[SeatCounts]:
        """How many seats are what."""
        return [SeatCounts.of(counts) for counts in await _counts(schedules, context)]

    @batched
    @staticmethod
    async def seats(
        schedules: Sequence[Schedule],
        context: Context,
        status: SeatStatus | None = None,
        category: str | None = None,
    ) -> list[list[SeatState]]:
        """Every seat, or those of one status, of one category."""
        layouts = await context.load.layout.each([one.value.layout_id for one in schedules], lambda one: one)
        mine = await context.load.own_seats.many([one.value.id for one in schedules])
        taken = await _taken(schedules, context, ends=True)
        told = [
            seat_rules.seat_states(layout, seats, one.value.price, own or ())
            for one, layout, seats, own in zip(schedules, layouts, taken, mine, strict=True)
        ]
        if status is not None:
            told = [[state for state in states if state.status is status] for states in told]
        if category is not None:
            told = [[state for state in states if state.seat.category == category] for states in told]
        return [SeatState.all_of(states) for states in told]

    @batched
    @staticmethod
    async def seat_string(schedules: Sequence[Schedule], context: Context) -> list[str]:
        """One character a seat, in the order of layout.seats: A available, H held, B booked, X blocked."""
        taken = await _taken(schedules, context)
        return [
            seat_rules.seat_string(one.value.seat_total, seats)
            for one, seats in zip(schedules, taken, strict=True)
        ]

    @classmethod
    def of(
        cls,
        value: domain.Schedule,
        taken: seat_rules.Taken | None = None,
        now: datetime | None = None,
        counted: seat_rules.SeatCounts | None = None,
    ) -> Self:
        """From the trade's value, and, where they were read with it, what is not free, the clock and the counts."""
        return cls(
            id=strawberry.ID(encode("Schedule", value.id)),
            price=Money.of(value.price),
            version=value.version,
            value=value,
            taken=taken,
            counted=counted,
            now=now,
        )


async def _counts(schedules: Sequence[Schedule], context: Context) -> list[seat_rules.SeatCounts]:
    if all(one.counted for one in schedules):
        return [one.counted for one in schedules if one.counted]
    taken = await _taken(schedules, context)
    return [
        seat_rules.count_seats(one.value.seat_total, seats)
        for one, seats in zip(schedules, taken, strict=True)
    ]


async def _taken(
    schedules: Sequence[Schedule], context: Context, ends: bool = False
) -> Sequence[seat_rules.Taken]:
    """What is not free on each, as it was read with the schedule, or for all of them at once."""
    known = [
        one.taken if one.taken and (not ends or one.taken.untils is not None) else None for one in schedules
    ]
    unread = [one.value.id for one, taken in zip(schedules, known, strict=True) if taken is None]
    read = iter([seat_rules.Taken.of(each or ()) for each in await context.load.taken.many(unread)])
    return [taken or next(read) for taken in known]


@strawberry.input
class ScheduleSearch:
    """Every part that is given must fit; without a date or from, what is yet to come."""

    origin: str | None = None
    destination: str | None = None
    date: date | None = strawberry.field(default=None, description="Local date at the schedule's own place.")
    from_: datetime | None = strawberry.field(default=None, name="from")
    to: datetime | None = None
    offering_id: strawberry.ID | None = None
    resource_id: strawberry.ID | None = None
    organization_id: strawberry.ID | None = None
    mode: BookingMode | None = None
    min_available: int | None = None

    def value(self) -> domain.ScheduleSearch:
        """As the trade's value. Raises NotFound for an id that is none."""
        return domain.ScheduleSearch(
            origin=self.origin,
            destination=self.destination,
            on=self.date,
            start=self.from_,
            end=self.to,
            offering_id=optional_id(self.offering_id, "Offering", ("search", "offeringId")),
            resource_id=optional_id(self.resource_id, "Resource", ("search", "resourceId")),
            organization_id=optional_id(self.organization_id, "Organization", ("search", "organizationId")),
            mode=self.mode,
            min_available=self.min_available,
        )


@strawberry.input
class OpenSchedulesInput:
    """Opens schedules for sale; a series is given by its local starts, so 08:00 stays 08:00 over a clock
    change.
    """

    offering_id: strawberry.ID
    resource_id: strawberry.ID
    local_starts: list[LocalDateTime]
    duration: timedelta
    price: MoneyInput | None = None
    idempotency_key: str | None = None

    def value(self) -> timetable.OpenSchedules:
        """As the trade's value. Raises NotFound for an id that is none, InvalidInput for a bad price."""
        return timetable.OpenSchedules(
            offering_id=optional_id(self.offering_id, "Offering", ("offeringId",)),
            resource_id=optional_id(self.resource_id, "Resource", ("resourceId",)),
            local_starts=self.local_starts,
            duration=self.duration,
            price=self.price.value() if self.price else None,
        )


@strawberry.type
class OpenedSchedules:
    """What was opened, by start."""

    schedules: list[Schedule]


@strawberry.input
class BlockSeatsInput:
    """Seats to take out of sale, or to put back."""

    schedule_id: strawberry.ID
    labels: list[str]
    blocked: bool
    idempotency_key: str | None = None

    def value(self) -> timetable.BlockSeats:
        """As the trade's value. Raises NotFound for an id that is none."""
        return timetable.BlockSeats(
            schedule_id=optional_id(self.schedule_id, "Schedule", ("scheduleId",)),
            labels=self.labels,
            blocked=self.blocked,
        )


OpenSchedulesResult = Annotated[
    OpenedSchedules | InvalidInput | Conflict | NotFound | IdempotencyMismatch,
    strawberry.union("OpenSchedulesResult"),
]
ScheduleResult = Annotated[
    Schedule | SeatsUnavailable | InvalidInput | NotFound | IdempotencyMismatch,
    strawberry.union("ScheduleResult"),
]
