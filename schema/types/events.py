"""The log as integrators read it, and the cursors of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from domain.access import Role, may_manage
from domain.errors import BadRequest
from domain.events import LoggedEvent, Position, Stream
from domain.viewer import Viewer
from schema.batches import batched
from schema.context import Context
from schema.ids import decode_cursor, encode, encode_cursor
from schema.scalars import JSON, Cursor
from schema.types.node import Node

TYPE_NAMES = {
    Stream.SCHEDULE: "Schedule",
    Stream.RESERVATION: "Reservation",
    Stream.BOOKING: "Booking",
    Stream.RESOURCE: "Resource",
    Stream.OFFERING: "Offering",
    Stream.SESSION: "Session",
    Stream.AUTOMATION: "AutomationJob",
    Stream.API_KEY: "ApiKey",
    Stream.WEBHOOK: "WebhookEndpoint",
}
NAMED_IN_DATA = {"scheduleId": "Schedule", "bookingId": "Booking"}
"""Ids in the data of events, which go out as global ones."""


def log_cursor(epoch: UUID, position: Position) -> Cursor:
    """A place in the order of the log."""
    return Cursor(encode_cursor(["log", epoch.hex[:8], position.xid, position.id]))


def stream_cursor(epoch: UUID, stream_id: UUID, version: int) -> Cursor:
    """A version of one stream."""
    return Cursor(encode_cursor(["stream", epoch.hex[:8], stream_id.hex, version]))


def event_id(position: Position) -> UUID:
    """The place of an event as an id: the transaction in the upper half, the row in the lower."""
    return UUID(int=position.xid << 64 | position.id)


def event_position(id: UUID) -> Position | None:
    """The place in an id of ``event_id``; None for a row that no log can have."""
    row = id.int % (1 << 64)
    return Position(id.int >> 64, row) if row < 1 << 63 else None


def read_log_cursor(cursor: str) -> tuple[str, Position]:
    """The epoch's first eight digits and the place. Raises BadRequest for any other cursor."""
    try:
        kind, epoch, xid, id_ = decode_cursor(cursor, str, str, int, int)
    except ValueError:
        kind = ""
    if kind != "log" or xid < 0:
        raise _foreign()
    return epoch, Position(xid, id_)


def read_stream_cursor(cursor: str, stream_id: UUID) -> tuple[str, int]:
    """The epoch's first eight digits and the version. Raises BadRequest for any other cursor."""
    try:
        kind, epoch, stream, version = decode_cursor(cursor, str, str, str, int)
    except ValueError:
        kind = stream = ""
    if (kind, stream) != ("stream", stream_id.hex):
        raise _foreign()
    return epoch, version


def _foreign() -> BadRequest:
    return BadRequest("`after` is not a cursor of this subscription; take one from its messages.")


@strawberry.type
class Event(Node):
    """One durable log. Types are dotted: reservation.created, booking.confirmed, automation.updated ..."""

    cursor: Cursor
    type: str
    at: datetime
    subject_id: strawberry.ID
    data: JSON
    value: strawberry.Private[LoggedEvent]

    @batched
    @staticmethod
    async def actor(events: Sequence[Event], context: Context) -> list[str | None]:
        """Who did it: `user`, `guest` or `system`; the user themselves and staff are told the User's id."""
        known = any(one.value.actor_id for one in events)
        roles = await context.roles() if known else {}
        return [_actor(one.value, context.viewer, roles) for one in events]

    @classmethod
    def of(cls, value: LoggedEvent, epoch: UUID) -> Self:
        """From the log's value."""
        return cls(
            id=strawberry.ID(encode("Event", event_id(value.position))),
            cursor=log_cursor(epoch, value.position),
            type=value.type,
            at=value.at,
            subject_id=strawberry.ID(encode(TYPE_NAMES[value.stream], value.stream_id)),
            data=JSON(_data(value)),
            value=value,
        )


def told_elsewhere(value: LoggedEvent) -> Mapping[str, object]:
    """An event as webhooks tell it: which it is, whose step, and its data."""
    return {
        "id": encode("Event", event_id(value.position)),
        "subjectId": encode(TYPE_NAMES[value.stream], value.stream_id),
        "version": value.version,
        **_data(value),
    }


def _data(value: LoggedEvent) -> dict[str, object]:
    """The data with global ids."""
    data = dict(value.data)
    for name, type_name in NAMED_IN_DATA.items():
        if isinstance(data.get(name), str):
            data[name] = encode(type_name, UUID(str(data[name])))
    return data


def _actor(event: LoggedEvent, viewer: Viewer, roles: Mapping[UUID, Role]) -> str | None:
    if event.actor_id is None:
        return event.actor
    staff = event.organization_id is not None and may_manage(roles.get(event.organization_id))
    return encode("User", event.actor_id) if staff or event.actor_id == viewer.user_id else event.actor


@strawberry.input
class EventFilter:
    """Which events."""

    types: list[str] | None = None
    subject_id: strawberry.ID | None = None
    organization_id: strawberry.ID | None = None
