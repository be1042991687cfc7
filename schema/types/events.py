"""The log as integrators read it, and the cursors of streams."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from domain.errors import BadRequest
from domain.events import LoggedEvent, Position, Stream
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
}


def log_cursor(epoch: UUID, position: Position) -> Cursor:
    """A place in the order of the log."""
    return Cursor(encode_cursor(["log", epoch.hex[:8], position.xid, position.id]))


def stream_cursor(epoch: UUID, stream_id: UUID, version: int) -> Cursor:
    """A version of one stream."""
    return Cursor(encode_cursor(["stream", epoch.hex[:8], stream_id.hex, version]))


def read_log_cursor(cursor: str) -> tuple[str, Position]:
    """The epoch's first eight digits and the place. Raises BadRequest for any other cursor."""
    try:
        kind, epoch, xid, id_ = decode_cursor(cursor, str, str, int, int)
    except ValueError:
        kind = ""
    if kind != "log":
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
    actor: str | None = strawberry.field(description="The id of a User, or `guest`, or `system`.")
    data: JSON

    @classmethod
    def of(cls, value: LoggedEvent, epoch: UUID) -> Self:
        """From the log's value."""
        data = dict(value.data)
        if isinstance(data.get("scheduleId"), str):
            data["scheduleId"] = encode("Schedule", UUID(str(data["scheduleId"])))
        return cls(
            id=strawberry.ID(encode("Event", UUID(int=value.position.id))),
            cursor=log_cursor(epoch, value.position),
            type=value.type,
            at=value.at,
            subject_id=strawberry.ID(encode(TYPE_NAMES[value.stream], value.stream_id)),
            actor=encode("User", value.actor_id) if value.actor_id else value.actor,
            data=JSON(data),
        )


@strawberry.input
class EventFilter:
    """Which events."""

    types: list[str] | None = None
    subject_id: strawberry.ID | None = None
    organization_id: strawberry.ID | None = None
