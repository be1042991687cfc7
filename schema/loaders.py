"""Things by their ids, gathered over one operation: a list costs the same statements as a single thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Generic, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.catalogue import Offering, Organization, Resource, Schedule
from domain.jobs import Artifact, Job
from domain.ledger import Booking, Reservation
from domain.reads import OwnedReads, Reads
from domain.seats import Allocation, SeatLayout
from domain.viewer import Viewer

Item = TypeVar("Item")
Told = TypeVar("Told")
By = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Item]]]


class Loader(Generic[Item]):
    """Things of one kind; what was read stays as it was for the rest of the operation."""

    def __init__(self, by: By[Item]) -> None:
        self._by = by
        self._found: dict[UUID, Item | None] = {}
        self._loader: DataLoader[UUID, Item | None] | None = None

    async def many(self, ids: Sequence[UUID]) -> list[Item | None]:
        """For each id what it stands for, None for what there is not; one statement at most."""
        unread = [id_ for id_ in dict.fromkeys(ids) if id_ not in self._found]
        if unread:
            read = await self._by(unread)
            self._found.update({id_: read.get(id_) for id_ in unread})
        return [self._found[id_] for id_ in ids]

    async def each(self, ids: Sequence[UUID], told: Callable[[Item], Told]) -> list[Told]:
        """For each id of what a foreign key promises, what ``told`` makes of it: once of each thing."""
        found = {id_: item for id_, item in zip(ids, await self.many(ids), strict=True) if item is not None}
        made = {id_: told(item) for id_, item in found.items()}
        return [made[id_] for id_ in ids]

    def know(self, read: Mapping[UUID, Item]) -> None:
        """Take in what was read beside something else."""
        self._found.update(read)

    def load(self, id: UUID) -> Awaitable[Item | None]:
        """One thing, or None; what is asked for in the same turn is read together."""
        if self._loader is None:
            self._loader = DataLoader(self.many)
        return self._loader.load(id)


class Loaders:
    """A loader a kind; what is not the viewer's to see is not there."""

    def __init__(self, reads: Reads, owned: OwnedReads, viewer: Viewer) -> None:
        self._reads, self._owned, self._viewer = reads, owned, viewer

    @cached_property
    def organization(self) -> Loader[Organization]:
        """Organizations by their ids."""
        return Loader(self._reads.organizations_by_id)

    @cached_property
    def resource(self) -> Loader[Resource]:
        """Resources by their ids."""
        return Loader(self._reads.resources_by_id)

    @cached_property
    def offering(self) -> Loader[Offering]:
        """Offerings by their ids."""
        return Loader(self._reads.offerings_by_id)

    @cached_property
    def layout(self) -> Loader[SeatLayout]:
        """Seat layouts by their ids."""
        return Loader(self._reads.layouts_by_id)

    @cached_property
    def schedule(self) -> Loader[Schedule]:
        """Schedules by their ids."""
        return Loader(self._reads.schedules_by_id)

    @cached_property
    def taken(self) -> Loader[Sequence[Allocation]]:
        """What is not free, by the ids of schedules."""
        return Loader(self._reads.taken_by_schedule)

    @cached_property
    def reservation(self) -> Loader[Reservation]:
        """Reservations by their ids."""
        return Loader(partial(self._owned.reservations_by_id, self._viewer))

    @cached_property
    def booking(self) -> Loader[Booking]:
        """Bookings by their ids."""
        return Loader(partial(self._owned.bookings_by_id, self._viewer))

    @cached_property
    def booking_of(self) -> Loader[Booking]:
        """Bookings by the ids of their reservations."""
        return Loader(partial(self._owned.bookings_by_reservation, self._viewer))

    @cached_property
    def job(self) -> Loader[Job]:
        """Automation jobs by their ids."""
        return Loader(partial(self._owned.jobs_by_id, self._viewer))

    @cached_property
    def job_of(self) -> Loader[Job]:
        """Automation jobs by the ids of the bookings that they became."""
        return Loader(partial(self._owned.jobs_by_booking, self._viewer))

    @cached_property
    def artifacts(self) -> Loader[Sequence[Artifact]]:
        """What is kept of failures, by the ids of jobs."""
        return Loader(partial(self._owned.artifacts_by_job, self._viewer))

    @cached_property
    def own_seats(self) -> Loader[Collection[int]]:
        """The indexes of the viewer's own seats, by the ids of schedules."""
        return Loader(partial(self._owned.own_seats, self._viewer))


async def must(found: Awaitable[Item | None]) -> Item:
    """What a foreign key promises to be there."""
    item = await found
    assert item is not None  # noqa: S101 - the foreign key
    return item
