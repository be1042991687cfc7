"""Things by their ids, gathered over one operation: a list costs the same statements as a single thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.catalogue import Offering, Organization, Resource, Schedule
from domain.ledger import Booking, Reservation
from domain.reads import OwnedReads, Reads
from domain.seats import Allocation, SeatLayout
from domain.viewer import Viewer

Item = TypeVar("Item")
By = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Item]]]


class Loaders:
    """One loader a kind; each gives None for what there is not, or is not the viewer's to see."""

    def __init__(self, reads: Reads, owned: OwnedReads, viewer: Viewer) -> None:
        self.organization: DataLoader[UUID, Organization | None] = _loader(reads.organizations_by_id)
        self.resource: DataLoader[UUID, Resource | None] = _loader(reads.resources_by_id)
        self.offering: DataLoader[UUID, Offering | None] = _loader(reads.offerings_by_id)
        self.layout: DataLoader[UUID, SeatLayout | None] = _loader(reads.layouts_by_id)
        self.schedule: DataLoader[UUID, Schedule | None] = _loader(reads.schedules_by_id)
        self.taken: DataLoader[UUID, Sequence[Allocation] | None] = _loader(reads.taken_by_schedule)
        self.reservation: DataLoader[UUID, Reservation | None] = _loader(
            partial(owned.reservations_by_id, viewer)
        )
        self.booking: DataLoader[UUID, Booking | None] = _loader(partial(owned.bookings_by_id, viewer))
        self.booking_of: DataLoader[UUID, Booking | None] = _loader(
            partial(owned.bookings_by_reservation, viewer)
        )
        self.own_seats: DataLoader[UUID, Collection[int] | None] = _loader(partial(owned.own_seats, viewer))


def _loader(by: By[Item]) -> DataLoader[UUID, Item | None]:
    async def load(ids: list[UUID]) -> list[Item | None]:
        found = await by(ids)
        return [found.get(id_) for id_ in ids]

    return DataLoader(load_fn=load)


async def must(found: Awaitable[Item | None]) -> Item:
    """What a foreign key promises to be there."""
    item = await found
    assert item is not None  # noqa: S101 - the foreign key
    return item
