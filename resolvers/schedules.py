"""Schedules: searched by everybody, opened and blocked by staff."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from strawberry import ID

from domain.reads import Beside
from schema.context import Info
from schema.loaders import must
from schema.selection import selected
from schema.types.ids import known_id
from schema.types.paging import Connection, First, Keyset, checked_first
from schema.types.schedules import (
    BlockSeatsInput,
    OpenedSchedules,
    OpenSchedulesInput,
    OpenSchedulesResult,
    Schedule,
    ScheduleResult,
    ScheduleSearch,
)

OF_SEATS = {"seats", "seatString", "counts", "status"}
"""Fields for which what is not free must be known: it is read with the schedule, in the same moment."""
SCHEDULES = Keyset("schedules", (datetime, UUID))


async def schedules(
    info: Info, first: First, search: ScheduleSearch, after: str | None = None
) -> Connection[Schedule]:
    """Schedules that fit, by start."""
    reads, load = info.context.reads, info.context.load
    place, beside = SCHEDULES.read(after), _beside(selected(info))
    found = await reads.schedules(checked_first(first), place, search.value(), beside)
    load.offering.know(found.offerings)
    load.resource.know(found.resources)
    return SCHEDULES.page(
        found.page, after, lambda one: Schedule.of(one, counted=found.counts.get(one.id), now=found.now)
    )


async def schedule(info: Info, id: ID) -> Schedule | None:
    """One schedule."""
    known = known_id(id, "Schedule")
    names = selected(info)
    if known and not OF_SEATS.isdisjoint(names):
        board = await info.context.reads.board(known, ends="seats" in names)
        seats = [(one, board.taken[one.id]) for one in board.schedules]
        return next((Schedule.of(one, taken, board.now) for one, taken in seats), None)
    found = await info.context.load.schedule.load(known) if known else None
    return Schedule.of(found) if found else None


def _beside(names: Collection[str]) -> Beside:
    """Counts are read beside only where no seats are told, which they would have to agree with."""
    counts = not {"counts", "status"}.isdisjoint(names) and {"seats", "seatString"}.isdisjoint(names)
    return Beside(counts=counts, offering="offering" in names, resource="resource" in names)


async def open_schedules(info: Info, input: OpenSchedulesInput) -> OpenSchedulesResult:
    """Open schedules for sale."""
    timetable = info.context.services.timetable
    opened = await timetable.open_schedules(info.context.viewer, input.value(), input.idempotency_key)
    found = await info.context.load.schedule.many(opened.schedules)
    return OpenedSchedules(schedules=[Schedule.of(each) for each in found if each])


async def block_seats(info: Info, input: BlockSeatsInput) -> ScheduleResult:
    """Take seats out of sale, or put them back."""
    timetable = info.context.services.timetable
    terms = await timetable.block_seats(info.context.viewer, input.value(), input.idempotency_key)
    return Schedule.of(await must(info.context.load.schedule.load(terms.schedule_id)))
