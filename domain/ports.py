"""What the use cases need from outside, as protocols; ``db`` fulfils them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.accounts import AccountStore
from domain.api_keys import ApiKeyStore
from domain.catalogue import Offering, Organization, Resource, Schedule
from domain.events import Event
from domain.idempotency import IdempotencyKeys
from domain.jobs import JobStore
from domain.ledger import Ledger
from domain.seats import SeatLayout
from domain.viewer import Viewer
from domain.webhooks import WebhookStore


class CatalogueStore(Protocol):
    """Organizations, resources, offerings, schedules."""

    async def organization(self, organization_id: UUID) -> Organization | None:
        """An organization by its id."""

    async def add_organization(self, organization: Organization) -> None:
        """Write a new organization."""

    async def resource(self, resource_id: UUID) -> Resource | None:
        """A resource by its id, locked against other saves."""

    async def offering(self, offering_id: UUID) -> Offering | None:
        """An offering by its id, locked against other saves."""

    async def layout(self, layout_id: UUID) -> SeatLayout:
        """A seat layout by its id."""

    async def add_layout(self, organization_id: UUID, layout: SeatLayout) -> None:
        """Write a new seat layout."""

    async def save_resource(self, resource: Resource) -> datetime:
        """Insert or replace a resource; the instant of it (UTC)."""

    async def save_offering(self, offering: Offering) -> datetime:
        """Insert or replace an offering; the instant of it (UTC)."""

    async def open(self, offering: Offering, schedules: Sequence[Schedule]) -> datetime:
        """Insert schedules; the instant of it (UTC). Raises Conflict where the resource runs another at that time."""

    async def opened_with(self, first: UUID) -> Sequence[UUID]:
        """The schedules opened in one call with this one, in the order of their starts."""


@dataclass(frozen=True, slots=True)
class LoopReport:
    """One of the worker's loops: the seconds since it ran last and since it failed last, and with what error."""

    name: str
    ran: float | None
    failed: float | None
    error: str | None


class UpkeepStore(Protocol):
    """The log's beginning, and what is known of the worker's loops."""

    async def alone(self) -> bool:
        """Whether no other process keeps house; while this transaction lasts, none will."""

    async def trim(self, keep: timedelta, limit: int) -> int:
        """Drop up to ``limit`` of the oldest events that are older than ``keep``; how many were dropped."""

    async def note(self, reports: Sequence[LoopReport]) -> None:
        """Write down when loops ran last."""


class Transaction(Protocol):
    """One transaction. Leaving it without an exception commits; events become visible with the change."""

    @property
    def ledger(self) -> Ledger:
        """Seats, reservations, bookings."""

    @property
    def catalogue(self) -> CatalogueStore:
        """What can be booked."""

    @property
    def accounts(self) -> AccountStore:
        """People, their sessions and memberships."""

    @property
    def keys(self) -> IdempotencyKeys:
        """Idempotency keys."""

    @property
    def api_keys(self) -> ApiKeyStore:
        """Keys of integrators."""

    @property
    def jobs(self) -> JobStore:
        """Automation jobs, their queue and their portals."""

    @property
    def webhooks(self) -> WebhookStore:
        """Endpoints that are told of events, and deliveries."""

    @property
    def upkeep(self) -> UpkeepStore:
        """The log's beginning, and the worker's loops."""

    async def show(self, id: UUID) -> None:
        """Let the caller act for this reservation or account from here on: it turned out to be theirs."""

    def emit(self, *events: Event, by: Viewer | None = None) -> None:
        """Write events to the log with this transaction; ``by`` says which of several callers did it."""


class Begin(Protocol):
    """Starts a transaction for a caller, for several, or for the system itself if None."""

    def __call__(self, *viewers: Viewer | None) -> AbstractAsyncContextManager[Transaction]:
        """One transaction as a context."""
