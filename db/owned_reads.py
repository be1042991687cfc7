"""What is read of what has an owner, in the name of who asks: in a transaction that knows them, for the policies.

That is three round trips in place of one; of what belongs to nobody (db/reads.py) everybody reads without.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Any, TypeVar
from uuid import UUID

from db import rows
from db.job_reads import JobReads
from db.ledger import BOOKING_COLUMNS, RESERVATION_COLUMNS
from db.log import COLUMNS as EVENT_COLUMNS
from db.log import logged, page_of
from db.rows import page
from db.search import Query
from domain.access import Role
from domain.events import LoggedEvent, Position
from domain.feed import Audience
from domain.ledger import Booking, Reservation, ReservationStatus
from domain.reads import BookingSearch, Key, Page, ReservationSearch
from domain.viewer import Viewer

Item = TypeVar("Item")

_RESERVATIONS_BY_ID = f"SELECT {RESERVATION_COLUMNS} FROM reservation r WHERE r.id = ANY ($1::uuid[])"
_BOOKINGS_BY_ID = f"SELECT {BOOKING_COLUMNS} FROM booking b WHERE b.id = ANY ($1::uuid[])"
_BOOKINGS_OF = f"SELECT {BOOKING_COLUMNS} FROM booking b WHERE b.reservation_id = ANY ($1::uuid[])"
_BY_REFERENCE = f"SELECT {BOOKING_COLUMNS} FROM booking_of_reference($1, $2) b"
_OWN_SEATS = """
SELECT a.schedule_id, a.seat FROM allocation a
LEFT JOIN reservation r ON r.id = a.reservation_id LEFT JOIN booking b ON b.id = a.booking_id
WHERE a.schedule_id = ANY ($2::uuid[]) AND $1::uuid IN (r.account_id, b.account_id)
"""
_ROLES = "SELECT organization_id, role FROM membership WHERE account_id = $1 ORDER BY organization_id"
_EVENT = f"SELECT {EVENT_COLUMNS} FROM event WHERE xid = $1::text::xid8 AND id = $2"


class OwnedReads(JobReads):
    """The port over the pool."""

    def patient(self) -> OwnedReads:
        """The same, waiting for a database that is away as long as it takes."""
        return OwnedReads(self._pool, inf)

    async def reservations(
        self, viewer: Viewer, first: int, after: Key | None, search: ReservationSearch
    ) -> Page[Reservation]:
        """Reservations that fit, newest first."""
        query = Query(f"SELECT {RESERVATION_COLUMNS} FROM reservation r")
        query.where("r.account_id = {}", search.account_id)
        query.where("r.organization_id = {}", search.organization_id)
        if search.status is ReservationStatus.ACTIVE:
            query.where("r.status = 'ACTIVE' AND r.expires_at > clock_timestamp()")
        elif search.status is ReservationStatus.EXPIRED:
            query.where(
                "(r.status = 'EXPIRED' OR (r.status = 'ACTIVE' AND r.expires_at <= clock_timestamp()))"
            )
        else:
            query.where("r.status = {}", search.status)
        if after is not None:
            query.where("(r.created_at, r.id) < ({}, {})", *after)
        query.order("r.created_at DESC, r.id DESC", first + 1)
        found = await self._fetch(viewer, query.text, *query.values)
        return page(found, first, rows.reservation, lambda row: (row["created_at"], row["id"]))

    async def bookings(
        self, viewer: Viewer, first: int, after: Key | None, search: BookingSearch
    ) -> Page[Booking]:
        """Bookings that fit, newest first."""
        query = Query(f"SELECT {BOOKING_COLUMNS} FROM booking b")
        if search.provider_id is not None:
            query.text += " JOIN schedule s ON s.id = b.schedule_id JOIN resource p ON p.id = s.resource_id"
            query.where("p.provider_id = {}", search.provider_id)
        query.where("b.account_id = {}", search.account_id)
        query.where("b.organization_id = {}", search.organization_id)
        query.where("b.status = ANY ({}::text[])", search.status)
        query.where("b.created_at >= {}", search.start)
        query.where("b.created_at < {}", search.end)
        if after is not None:
            query.where("(b.created_at, b.id) < ({}, {})", *after)
        query.order("b.created_at DESC, b.id DESC", first + 1)
        found = await self._fetch(viewer, query.text, *query.values)
        return page(found, first, rows.booking, lambda row: (row["created_at"], row["id"]))

    async def events(
        self, viewer: Viewer, first: int, after: Position | None, audience: Audience
    ) -> Page[LoggedEvent]:
        """What an audience may read of the log, as far as its order is final."""
        statement, values = page_of(audience, after or Position(0, 0), None, first + 1)
        found = await self._fetch(viewer, statement, *values)
        return page(found, first, logged, lambda row: (int(row["xid"]), row["id"]))

    async def reservations_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Reservation]:
        """Those that the caller may see."""
        return await self._by(viewer, _RESERVATIONS_BY_ID, ids, rows.reservation)

    async def bookings_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Booking]:
        """Those that the caller may see."""
        return await self._by(viewer, _BOOKINGS_BY_ID, ids, rows.booking)

    async def bookings_by_reservation(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Booking]:
        """The booking of each reservation that became one."""
        return await self._by(viewer, _BOOKINGS_OF, ids, rows.booking, "reservation_id")

    async def booking_by_reference(self, viewer: Viewer, reference: str, email: str) -> Booking | None:
        """The booking with this normalized reference and contact address."""
        found = await self._fetch(viewer, _BY_REFERENCE, reference, email)
        return rows.booking(found[0]) if found else None

    async def own_seats(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Collection[int]]:
        """The seats (indexes) that the caller's account holds or booked on each schedule."""
        own: dict[UUID, set[int]] = {id_: set() for id_ in ids}
        if viewer.user_id is not None:
            for row in await self._fetch(viewer, _OWN_SEATS, viewer.user_id, ids):
                own[row["schedule_id"]].add(row["seat"])
        return own

    async def roles(self, viewer: Viewer) -> Mapping[UUID, Role]:
        """The caller's role in each organization they are a member of; a key has one in its own alone."""
        if viewer.user_id is None:
            return {}
        found = await self._fetch(viewer, _ROLES, viewer.user_id)
        roles = {row["organization_id"]: Role(row["role"]) for row in found}
        if viewer.grant is None:
            return roles
        return {id_: role for id_, role in roles.items() if id_ == viewer.grant.organization_id}

    async def event_at(self, viewer: Viewer, position: Position) -> LoggedEvent | None:
        """The event at a place of the log."""
        found = await self._fetch(viewer, _EVENT, str(position.xid), position.id)
        return logged(found[0]) if found else None

    async def _by(
        self,
        viewer: Viewer,
        statement: str,
        ids: Sequence[UUID],
        made: Callable[[Any], Item],
        key: str = "id",
    ) -> Mapping[UUID, Item]:
        return {row[key]: made(row) for row in await self._fetch(viewer, statement, ids)}
