"""Schedules: dated runs, with their seats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Self

import strawberry

from domain import catalogue as domain
from domain import seats as seat_rules
from domain import timetable
from schema.context import Info
from schema.ids import encode
from schema.loaders import must
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
    taken: strawberry.Private[Sequence[seat_rules.Allocation] | None] = None
    now: strawberry.Private[datetime | None] = None

    @strawberry.field
    async def offering(self, info: Info) -> Offering:
        """What is sold."""
        return Offering.of(await must(info.context.load.offering.load(self.value.offering_id)))

    @strawberry.field
    async def resource(self, info: Info) -> Resource:
        """What it runs on."""
        return Resource.of(await must(info.context.load.resource.load(self.value.resource_id)))

    @strawberry.field
    def during(self) -> TimeRange:
        """When."""
        return TimeRange.of(self.value.start, self.value.end, self.value.time_zone)

    @strawberry.field
    async def status(self, info: Info) -> ScheduleStatus:
        """Whether it sells."""
        counts = seat_rules.count_seats(self.value.seat_total, await self._taken(info))
        return domain.status_of(self.value, counts.available, self.now or await info.context.now())

    @strawberry.field
    async def counts(self, info: Info) -> SeatCounts:
        """How many seats are what."""
        return SeatCounts.of(seat_rules.count_seats(self.value.seat_total, await self._taken(info)))

    @strawberry.field
    async def seats(
        self, info: Info, status: SeatStatus | None = None, category: str | None = None
    ) -> list[SeatState]:
        """Every seat, or those of one status, of one category."""
        layout = await must(info.context.load.layout.load(self.value.layout_id))
        mine = await info.context.load.own_seats.load(self.value.id) or ()
        states = seat_rules.seat_states(
            layout, await self._taken(info), self.value.price, lambda allocation: allocation.seat in mine
        )
        return [
            SeatState.of(state)
            for state in states
            if status in (None, state.status) and category in (None, state.seat.category)
        ]

    @strawberry.field
    async def seat_string(self, info: Info) -> str:
        """One character a seat, in the order of layout.seats: A available, H held, B booked, X blocked."""
        return seat_rules.seat_string(self.value.seat_total, await self._taken(info))

    async def _taken(self, info: Info) -> Sequence[seat_rules.Allocation]:
        if self.taken is not None:
            return self.taken
        return await info.context.load.taken.load(self.value.id) or ()

    @classmethod
    def of(
        cls,
        value: domain.Schedule,
        taken: Sequence[seat_rules.Allocation] | None = None,
        now: datetime | None = None,
    ) -> Self:
        """From the trade's value, and, where they were read with it, what is not free and the clock."""
        return cls(
            id=strawberry.ID(encode("Schedule", value.id)),
            price=Money.of(value.price),
            version=value.version,
            value=value,
            taken=taken,
            now=now,
        )


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
