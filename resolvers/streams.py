"""Subscriptions: a snapshot, or what was missed since a cursor, then everything as it happens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias, cast
from uuid import UUID

from strawberry import ID

from domain.access import signed_in_user
from domain.errors import BadRequest, Forbidden, NotFound
from domain.events import LoggedEvent, Position, Stream
from domain.feed import Audience
from domain.ledger import Reservation as Held
from domain.reads import Board, BookingSearch
from domain.seats import SeatCounts as Counts
from domain.streams import CaughtUp, Happened, Lost, Snapshot, follow_log, follow_stream
from domain.walltime import day_bounds
from resolvers.bookings import whose
from resolvers.events import audience_of, audience_of_organization
from resolvers.reservations import visible
from resolvers.resuming import NOWHERE, resync, stale, states
from resolvers.visibility import owns_booking, owns_reservation, sees_booking
from schema.context import Context, Info
from schema.ids import encode
from schema.scalars import Cursor
from schema.sharing import Shared
from schema.types.bookings import Booking, BookingFilter, Reservation
from schema.types.events import (
    Event,
    EventFilter,
    log_cursor,
    read_log_cursor,
    read_stream_cursor,
    stream_cursor,
)
from schema.types.ids import known_id
from schema.types.schedules import Schedule
from schema.types.seats import SeatCounts, SeatStatus
from schema.types.streams import (
    BookingChanged,
    BookingMessage,
    BookingSnapshot,
    EventDelivered,
    EventMessage,
    ReservationChanged,
    ReservationMessage,
    ResourceDaysInput,
    Resync,
    SeatChange,
    SeatChangesMessage,
    SeatChangesTarget,
    SeatDelta,
    SeatSnapshot,
)

MOST_DAYS = 31
SNAPSHOT_BOOKINGS = 100
REMEMBERED = 1_000

Step = Snapshot[None, Position] | Lost[Position] | Happened[Position] | CaughtUp[Position]
Seats: TypeAlias = AsyncGenerator[SeatChangesMessage | Shared[SeatDelta], None]
"""Snapshots are the caller's own, for they tell which seats are theirs; deltas are everybody's."""


async def seat_changes(
    info: Info, target: SeatChangesTarget, after: Cursor | None = None
) -> AsyncGenerator[SeatChangesMessage, None]:
    """One schedule, or everything a resource runs on some days (the slot board)."""
    if target.schedule_id:
        messages = _seats_of_schedule(info.context, target.schedule_id.value, after)
    else:
        assert target.resource  # noqa: S101 - exactly one is given
        messages = _seats_of_resource(info.context, target.resource.value, after)
    async with aclosing(messages):
        async for message in messages:
            yield cast("SeatChangesMessage", message)  # a Shared is unwrapped by the executor


async def reservation(
    info: Info, id: ID, token: str | None = None, after: Cursor | None = None
) -> AsyncGenerator[ReservationMessage, None]:
    """One reservation, for its owner, whoever has its token, and staff of its organization."""
    context, feed = info.context, info.context.follow()
    found = await visible(context, id, token)
    if found is None:
        raise NotFound("No such reservation, or it is not yours.", ("id",))
    steps = states(feed, found.id, after, partial(_still_visible, context, id, token))
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Resync):
                yield step
                continue
            cursor, held = step
            own = owns_reservation(context, held, token)
            yield ReservationChanged(cursor=cursor, at=held.now, reservation=Reservation.of(held, own=own))


async def bookings(
    info: Info, organization_id: ID | None = None, after: Cursor | None = None
) -> AsyncGenerator[BookingMessage, None]:
    """A customer's own bookings, or, with organizationId, those that a member of it may see."""
    context, feed = info.context, info.context.follow()
    asked = BookingFilter(organization_id=organization_id)
    search = await whose(context, asked)
    audience = await _audience_of_bookings(context, organization_id)
    epoch, place = read_log_cursor(after) if after else ("", None)
    told: OrderedDict[UUID, int] = OrderedDict()
    steps = follow_log(
        feed, audience, place, lambda: _newest(context, search), stale=stale(epoch, feed.epoch)
    )
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Lost):
                yield resync(log_cursor(NOWHERE, step.place), step)
            elif isinstance(step, Snapshot):
                _remember(told, step.state)
                yield BookingSnapshot(
                    cursor=log_cursor(feed.epoch, step.place), at=datetime.now(UTC), bookings=list(step.state)
                )
            elif isinstance(step, Happened):
                context.forget()
                await whose(context, asked)
                for event in step.events:
                    booking = await _booking(context, event)
                    if booking is not None and told.get(event.stream_id, 0) < event.version:
                        _remember(told, [booking])
                        cursor = log_cursor(feed.epoch, event.position)
                        yield BookingChanged(cursor=cursor, at=event.at, booking=booking)


async def events(
    info: Info, filter: EventFilter | None = None, after: Cursor | None = None
) -> AsyncGenerator[EventMessage, None]:
    """Everything an integrator may see, gapless and in order."""
    context, feed = info.context, info.context.follow()
    audience = await audience_of(context, filter)
    epoch, place = read_log_cursor(after) if after else ("", None)
    steps: AsyncGenerator[Step, None] = follow_log(feed, audience, place, stale=stale(epoch, feed.epoch))
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Lost):
                yield resync(log_cursor(feed.epoch, step.place), step)
            elif isinstance(step, Happened):
                context.forget()
                if await audience_of(context, filter) != audience:
                    raise Forbidden("Your membership has changed; subscribe again.")
                for event in step.events:
                    cursor = log_cursor(feed.epoch, event.position)
                    yield EventDelivered(cursor=cursor, at=event.at, event=Event.of(event, feed.epoch))


async def _seats_of_schedule(context: Context, gid: str, after: Cursor | None) -> Seats:
    schedule_id, feed = known_id(gid, "Schedule"), context.follow()
    if schedule_id is None or await context.load.schedule.load(schedule_id) is None:
        raise NotFound("No such schedule.", ("target", "scheduleId"))
    epoch, version = read_stream_cursor(after, schedule_id) if after else ("", None)
    if context.place is not None:
        epoch, version = "", context.place

    async def snapshot() -> Snapshot[Board, int]:
        context.forget()
        board = await context.services.boards.read(schedule_id, partial(context.reads.board, schedule_id))
        return Snapshot(board, board.schedules[0].version)

    steps = follow_stream(feed, schedule_id, version, snapshot, stale=stale(epoch, feed.epoch))
    async with aclosing(steps):
        async for step in steps:
            cursor = stream_cursor(feed.epoch, schedule_id, step.place)
            if isinstance(step, Lost):
                yield resync(stream_cursor(NOWHERE, schedule_id, step.place), step)
            elif isinstance(step, Snapshot):
                yield _seat_snapshot(cursor, step.state)
            else:
                delta = _delta(cursor, step.events) if isinstance(step, Happened) else None
                yield Shared(schedule_id, step.place, delta)


@dataclass(frozen=True, slots=True)
class Window:
    """What a resource runs from one instant to another."""

    resource_id: UUID
    start: datetime
    end: datetime

    @property
    def audience(self) -> Audience:
        """What is heard of it, and of the resource's other schedules."""
        return Audience(resources=[self.resource_id], stream=Stream.SCHEDULE)

    def opens(self, event: LoggedEvent) -> bool:
        """Whether a schedule was opened in it."""
        return event.type == "schedule.opened" and (
            self.start <= datetime.fromisoformat(str(event.data["start"])) < self.end
        )


async def _seats_of_resource(context: Context, days: ResourceDaysInput, after: Cursor | None) -> Seats:
    window = await _window(context, days)
    epoch, place = read_log_cursor(after) if after else ("", None)
    if context.place is not None:
        epoch, place = "", context.place
    while True:
        async with aclosing(_board_messages(context, window, epoch, place)) as messages:
            async for message in messages:
                yield message
        epoch, place = "", None


async def _board_messages(context: Context, window: Window, epoch: str, place: Position | None) -> Seats:
    """Until a schedule is opened that is not on the board: the last message is a Resync then, and one begins anew."""
    feed = context.follow()

    async def board() -> Board:
        context.forget()
        reading = partial(context.reads.board_of_resource, window.resource_id, window.start, window.end)
        return await context.services.boards.read(window, reading)

    # The version of each schedule that the watcher knows; on going on from a cursor, the log alone says which.
    shown = {schedule.id: -1 for schedule in (await board()).schedules} if place else {}
    steps = follow_log(feed, window.audience, place, board, stale=stale(epoch, feed.epoch))
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Lost):
                yield resync(log_cursor(NOWHERE, step.place), step)
            elif isinstance(step, Snapshot):
                shown = {schedule.id: schedule.version for schedule in step.state.schedules}
                yield _seat_snapshot(log_cursor(feed.epoch, step.place), step.state)
            elif isinstance(step, CaughtUp):
                yield Shared(window, step.place)
            else:
                for run in _runs(step.events):
                    cursor = log_cursor(feed.epoch, run[-1].position)
                    known = shown.get(run[0].stream_id, -1)
                    if window.opens(run[0]) and known < 0:
                        cursor = log_cursor(NOWHERE, run[-1].position)
                        yield Resync(cursor=cursor, at=run[0].at, reason="A schedule was opened.")
                        return
                    fresh = [event for event in run if event.version > known]
                    if run[0].stream_id in shown and fresh:
                        shown[run[0].stream_id] = fresh[-1].version
                        yield Shared(window, run[-1].position, _delta(cursor, fresh))


async def _window(context: Context, days: ResourceDaysInput) -> Window:
    resource_id = known_id(days.resource_id, "Resource")
    resource = await context.load.resource.load(resource_id) if resource_id else None
    if resource is None:
        raise NotFound("No such resource.", ("target", "resource", "resourceId"))
    if not 0 <= (days.to - days.from_).days < MOST_DAYS:
        raise BadRequest(f"`from` to `to` are 1 to {MOST_DAYS} days.")
    start, end = day_bounds(days.from_, resource.time_zone)[0], day_bounds(days.to, resource.time_zone)[1]
    return Window(resource.id, start, end)


def _runs(events: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """Events of one schedule that follow each other, together: a cursor must not step over another schedule's."""
    runs: list[list[LoggedEvent]] = []
    for event in events:
        if runs and runs[-1][0].stream_id == event.stream_id:
            runs[-1].append(event)
        else:
            runs.append([event])
    return runs


def _seat_snapshot(cursor: Cursor, board: Board) -> SeatSnapshot:
    schedules = [Schedule.of(each, board.taken[each.id], board.now) for each in board.schedules]
    return SeatSnapshot(cursor=cursor, at=board.now, schedules=schedules)


def _delta(cursor: Cursor, events: Sequence[LoggedEvent]) -> SeatDelta | None:
    """The changes of one schedule, merged: of each seat the newest state. None where no seat changed."""
    changed: dict[str, SeatChange] = {}
    for event in events:
        for seat in event.data.get("changed", ()):  # type: ignore[attr-defined]
            until = seat["heldUntil"]
            changed[seat["label"]] = SeatChange(
                label=seat["label"],
                status=SeatStatus(seat["status"]),
                held_until=datetime.fromisoformat(until) if until else None,
            )
    last = events[-1]
    if not changed:
        return None
    return SeatDelta(
        cursor=cursor,
        at=last.at,
        schedule_id=ID(encode("Schedule", last.stream_id)),
        version=last.version,
        counts=SeatCounts.of(Counts(**last.data["counts"])),  # type: ignore[arg-type]
        changed=list(changed.values()),
    )


async def _still_visible(context: Context, id: str, token: str | None) -> Held:
    context.forget()
    held = await visible(context, id, token)
    if held is None:
        raise Forbidden("You may no longer see this reservation.")
    return held


async def _audience_of_bookings(context: Context, organization_id: str | None) -> Audience:
    if organization_id is None:
        return Audience(account_id=signed_in_user(context.viewer), stream=Stream.BOOKING)
    return replace(await audience_of_organization(context, organization_id), stream=Stream.BOOKING)


async def _newest(context: Context, search: BookingSearch) -> Sequence[Booking]:
    context.forget()
    page = await context.owned.bookings(context.viewer, SNAPSHOT_BOOKINGS, None, search)
    return [Booking.of(found, own=owns_booking(context, found)) for _, found in page.items]


async def _booking(context: Context, event: LoggedEvent) -> Booking | None:
    found = await context.load.booking.load(event.stream_id)
    if found is None or not await sees_booking(context, found):
        return None
    return Booking.of(found, own=owns_booking(context, found))


def _remember(told: OrderedDict[UUID, int], bookings: Sequence[Booking]) -> None:
    for booking in bookings:
        told[booking.value.id] = booking.value.version
    while len(told) > REMEMBERED:
        told.popitem(last=False)
