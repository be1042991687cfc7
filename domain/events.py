"""What happened. One event is one step of one stream; versions of a stream have no gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.seats import SeatCounts, SeatStatus


class Stream(StrEnum):
    """Whose story an event belongs to."""

    SCHEDULE = "schedule"
    RESERVATION = "reservation"
    BOOKING = "booking"
    RESOURCE = "resource"
    OFFERING = "offering"
    SESSION = "session"
    AUTOMATION = "automation"
    API_KEY = "api_key"
    WEBHOOK = "webhook"


class Position(NamedTuple):
    """A place in the one order of the log: by transaction, then by row."""

    xid: int
    id: int


@dataclass(frozen=True, slots=True)
class Event:
    """One step. ``account_id`` is the customer it concerns; ``data`` holds JSON values and nothing personal."""

    stream: Stream
    stream_id: UUID
    version: int
    type: str
    at: datetime
    data: Mapping[str, object] = field(default_factory=dict)
    organization_id: UUID | None = None
    account_id: UUID | None = None
    resource_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent(Event):
    """An event as the log has it, with its place and who did it: ``actor`` is user, guest or system."""

    position: Position = Position(0, 0)
    actor: str = "system"
    actor_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SeatChange:
    """The new state of one seat, as everybody may know it."""

    label: str
    status: SeatStatus
    held_until: datetime | None = None


def seats_data(changes: Iterable[SeatChange], counts: SeatCounts) -> dict[str, object]:
    """The data of an event on a schedule's stream: the changed seats, and the counts they lead to."""
    return {
        "changed": [
            {
                "label": change.label,
                "status": change.status.value,
                "heldUntil": change.held_until.isoformat() if change.held_until else None,
            }
            for change in changes
        ],
        "counts": {
            "total": counts.total,
            "available": counts.available,
            "held": counts.held,
            "booked": counts.booked,
            "blocked": counts.blocked,
        },
    }
