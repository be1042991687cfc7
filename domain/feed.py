"""The port to the log as it grows: what a watcher follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.events import LoggedEvent, Position, Stream


@dataclass(frozen=True, slots=True)
class Audience:
    """Which events of the log are meant: those of any of these organizations, of this account, of these resources.

    ``stream``, ``types`` and ``subject_id`` narrow it further; None is no narrowing.
    """

    organizations: Sequence[UUID] = ()
    account_id: UUID | None = None
    resources: Sequence[UUID] = ()
    stream: Stream | None = None
    types: Sequence[str] | None = None
    subject_id: UUID | None = None

    @property
    def keys(self) -> Sequence[UUID]:
        """The ids one of which an event must carry."""
        account = () if self.account_id is None else (self.account_id,)
        return (*self.organizations, *account, *self.resources)

    def includes(self, event: LoggedEvent) -> bool:
        """Whether the event is meant."""
        meant = (
            event.organization_id in self.organizations
            or (self.account_id is not None and event.account_id == self.account_id)
            or event.resource_id in self.resources
        )
        return (
            meant
            and self.stream in (None, event.stream)
            and (self.types is None or event.type in self.types)
            and self.subject_id in (None, event.stream_id)
        )


class Mailbox(Protocol):
    """Where the feed puts what one watcher has not taken yet; bounded."""

    async def take(self) -> Sequence[LoggedEvent] | None:
        """What has come since, waiting for something; None if it was more than fits, and the log must be read."""


class Feed(Protocol):
    """The log of the whole installation, seen from one process."""

    @property
    def epoch(self) -> UUID:
        """Which log this is; another one after a restore from a backup."""

    @property
    def settled(self) -> Position:
        """Up to where the order of the log is final and has been handed out."""

    def watch_stream(self, stream_id: UUID) -> AbstractContextManager[Mailbox]:
        """Hear each version of one stream, in order, as soon as it is committed."""

    def watch_log(self, audience: Audience) -> AbstractContextManager[Mailbox]:
        """Hear each event after ``settled`` that is meant, in the order of the log."""

    async def stream_after(self, stream_id: UUID, version: int, limit: int) -> Sequence[LoggedEvent]:
        """What the log has of a stream after a version, in order."""

    async def stream_head(self, stream_id: UUID) -> int | None:
        """The newest version of a stream in the log, or None."""

    async def log_after(
        self, audience: Audience, after: Position, upto: Position, limit: int
    ) -> Sequence[LoggedEvent]:
        """What the log has for an audience after a place, up to and with another, in order."""

    async def goes_beyond(self, audience: Audience, place: Position) -> bool:
        """Whether anything for an audience is committed after a place, settled or not."""

    async def log_reach(self) -> tuple[Position, Position]:
        """Two places: all after the first is still in the log, and no event after the second is settled anywhere."""

    async def turn(self) -> None:
        """Wait until the log has been read once more."""

    def tap(self, stream: Stream, heard: Callable[[LoggedEvent], None]) -> None:
        """Let ``heard`` know every event of one kind of stream, at least once, in no certain order."""
