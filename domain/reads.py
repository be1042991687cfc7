"""The port to what is only read: pages, and things by their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from domain.access import Role
from domain.catalogue import (
    BookingMode,
    Offering,
    Organization,
    Resource,
    ResourceKind,
    Schedule,
    ScheduleSearch,
)
from domain.events import LoggedEvent, Position
from domain.feed import Audience
from domain.jobs import Artifact, AutomationStatus, Job, PortalState
from domain.ledger import Booking, BookingStatus, Reservation, ReservationStatus
from domain.seats import Allocation, SeatCounts, SeatLayout, Taken
from domain.viewer import Viewer

Item = TypeVar("Item")
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Up to as many items as were asked for, each with the key that stands for its place; ``more`` if others follow."""

    items: Sequence[tuple[Key, Item]]
    more: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """What is to be read in one statement with schedules, because whoever asks for them is going to ask for it."""

    counts: bool = False
    offering: bool = False
    resource: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of schedules, and what was read beside it by id; ``now`` (UTC) is when seats were counted."""

    page: Page[Schedule]
    counts: Mapping[UUID, SeatCounts] = field(default_factory=dict)
    now: datetime | None = None
    offerings: Mapping[UUID, Offering] = field(default_factory=dict)
    resources: Mapping[UUID, Resource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReservationSearch:
    """Whose reservations: an account's own, or those with an organization."""

    account_id: UUID | None = None
    organization_id: UUID | None = None
    status: ReservationStatus | None = None


@dataclass(frozen=True, slots=True)
class BookingSearch:
    """Whose bookings: an account's own, those of an organization, or those on a provider's resources of it."""

    account_id: UUID | None = None
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    status: Sequence[BookingStatus] | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Whose jobs: an account's own, or those at the portals of an organization."""

    account_id: UUID | None = None
    organization_id: UUID | None = None
    status: Sequence[AutomationStatus] | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """Schedules with what is not free on each, read in one moment, with the database's clock ``now`` (UTC)."""

    schedules: Sequence[Schedule]
    taken: Mapping[UUID, Taken]
    now: datetime


class Reads(Protocol):
    """What everybody may read. Each method is one statement, however many items it gives.

    ``after`` is a key of an earlier page.
    """

    def patient(self) -> Reads:
        """The same, waiting for a database that is away as long as it takes."""

    async def now(self) -> datetime:
        """The database's clock (UTC)."""

    async def organizations(self, first: int, after: Key | None) -> Page[Organization]:
        """All organizations, by name."""

    async def offerings(
        self, first: int, after: Key | None, organization_id: UUID | None, mode: BookingMode | None
    ) -> Page[Offering]:
        """Offerings in the order they were made."""

    async def resources(
        self, first: int, after: Key | None, organization_id: UUID | None, kind: ResourceKind | None
    ) -> Page[Resource]:
        """Resources in the order they were made."""

    async def schedules(
        self, first: int, after: Key | None, search: ScheduleSearch, beside: Beside
    ) -> Listing:
        """Schedules that fit, by start."""

    async def organizations_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Organization]:
        """Those that there are."""

    async def resources_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Resource]:
        """Those that there are."""

    async def offerings_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Offering]:
        """Those that there are."""

    async def schedules_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, Schedule]:
        """Those that there are."""

    async def layouts_by_id(self, ids: Sequence[UUID]) -> Mapping[UUID, SeatLayout]:
        """Those that there are; remembered by the process."""

    async def taken_by_schedule(self, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Allocation]]:
        """What is not free on each schedule, by the database's clock."""

    async def provided_by(self, account_id: UUID, organization_id: UUID) -> Sequence[UUID]:
        """The resources of an organization behind which this person stands."""

    async def board(self, schedule_id: UUID, ends: bool = True) -> Board:
        """One schedule with its seats; without ``ends``, not until when those held are."""

    async def board_of_resource(self, resource_id: UUID, start: datetime, end: datetime) -> Board:
        """What a resource runs in [start, end), with the seats."""


class OwnedReads(Protocol):
    """What has an owner, as far as it is the viewer's to see: the database itself shows them nothing else."""

    def patient(self) -> OwnedReads:
        """The same, waiting for a database that is away as long as it takes."""

    async def reservations(
        self, viewer: Viewer, first: int, after: Key | None, search: ReservationSearch
    ) -> Page[Reservation]:
        """Reservations that fit, newest first."""

    async def bookings(
        self, viewer: Viewer, first: int, after: Key | None, search: BookingSearch
    ) -> Page[Booking]:
        """Bookings that fit, newest first."""

    async def events(
        self, viewer: Viewer, first: int, after: Position | None, audience: Audience
    ) -> Page[LoggedEvent]:
        """What an audience may read of the log, in its order, as far as that is final."""

    async def reservations_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Reservation]:
        """Those that there are."""

    async def bookings_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Booking]:
        """Those that there are."""

    async def bookings_by_reservation(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Booking]:
        """The booking of each reservation that became one."""

    async def booking_by_reference(self, viewer: Viewer, reference: str, email: str) -> Booking | None:
        """The booking with this normalized reference whose contact has this address, whatever its case and whose."""

    async def jobs(self, viewer: Viewer, first: int, after: Key | None, search: JobSearch) -> Page[Job]:
        """Jobs that fit, newest first."""

    async def jobs_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Job]:
        """Those that there are."""

    async def jobs_by_booking(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Job]:
        """The job behind each booking that a portal made."""

    async def job_by_reference(self, viewer: Viewer, reference: str) -> Job | None:
        """The viewer's newest job with an id that they picked."""

    async def artifacts_by_job(
        self, viewer: Viewer, ids: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[Artifact]]:
        """What is kept of each job, the oldest first."""

    async def portal_states(self) -> Mapping[str, PortalState]:
        """All portals that were registered, by key, whoever asks."""

    async def automation_available(self) -> bool:
        """Whether a worker with a browser was alive within the last 30 s."""

    async def own_seats(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Collection[int]]:
        """The seats (indexes) that the viewer's account holds or booked on each schedule."""

    async def roles(self, viewer: Viewer) -> Mapping[UUID, Role]:
        """The viewer's role in each organization they are a member of."""

    async def event_at(self, viewer: Viewer, position: Position) -> LoggedEvent | None:
        """The event at a place of the log."""
