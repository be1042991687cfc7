"""What the resolvers of one operation have at hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from domain.access import Role
from domain.accounts import Accounts
from domain.api_keys import ApiKeys
from domain.automation import Automation
from domain.bookings import Bookings
from domain.curation import Curation
from domain.endpoints import Endpoints
from domain.feed import Feed
from domain.guests import Guests
from domain.jobs import Artifact, PortalState
from domain.live import Live
from domain.reads import Board, OwnedReads, Reads
from domain.reservations import Reservations
from domain.single_flight import SingleFlight
from domain.timetable import Timetable
from domain.viewer import Viewer
from schema.loaders import Loaders

Batch: TypeAlias = Callable[..., Awaitable[Sequence[Any]]]
"""``(objects, context, **arguments)`` to an item for each object; see ``schema.batches``."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every operation of a process shares."""

    version: str
    reads: Reads
    owned: OwnedReads
    feed: Feed
    guests: Guests
    accounts: Accounts
    curation: Curation
    timetable: Timetable
    reservations: Reservations
    bookings: Bookings
    api_keys: ApiKeys
    endpoints: Endpoints
    automation: Automation
    live: Live
    artifact_url: Callable[[Artifact], str]
    """Signs the address of an artefact's file for a short time."""
    refusals: Counter[str] = field(default_factory=Counter)
    """How many refusals were told, by code."""
    shown: Counter[str] = field(default_factory=Counter)
    """How many codes (``code``) and pictures of pages (``picture``) were handed to those who watch."""
    boards: SingleFlight[Board] = field(default_factory=SingleFlight)
    """The boards that watchers are being shown, read once for all who come at once."""


@dataclass(slots=True)
class Context:
    """One operation: who asks, what the process offers, and what was loaded so far."""

    viewer: Viewer
    services: Services
    place: Any = None
    """Where a stream goes on, in place of the caller's ``after``: it has been following already."""
    reads: Reads = field(init=False)
    owned: OwnedReads = field(init=False)
    _load: Loaders | None = None
    _roles: asyncio.Task[Mapping[UUID, Role]] | None = None
    _portals: asyncio.Task[Mapping[str, PortalState]] | None = None
    _now: asyncio.Task[datetime] | None = None
    _gathered: dict[Hashable, DataLoader[Any, Any]] = field(default_factory=dict)
    refused: str | None = None
    """The code of the last refusal that the operation tells."""

    def __post_init__(self) -> None:
        self.reads, self.owned = self.services.reads, self.services.owned

    @property
    def load(self) -> Loaders:
        """Things by their ids, as they were when they were first asked for."""
        if self._load is None:
            self._load = Loaders(self.reads, self.owned, self.viewer)
        return self._load

    @property
    def accounts(self) -> Accounts:
        """The use cases of accounts."""
        return self.services.accounts

    def refuse(self, code: str) -> None:
        """Note that a refusal was told."""
        self.refused = str(code)
        self.services.refusals[self.refused] += 1

    def follow(self) -> Feed:
        """The log to follow; whoever does waits for a database that is away rather than end."""
        self.reads, self.owned = self.services.reads.patient(), self.services.owned.patient()
        self.forget()
        return self.services.feed

    def show(self, id: UUID) -> None:
        """Read in the name of a caller who has shown that this reservation or account is theirs."""
        if id not in self.viewer.shown:
            self.viewer = self.viewer.showing(id)
            self._load = None

    def forget(self) -> None:
        """Read anew what is asked for from now on: a subscription tells of one moment after another."""
        self._load = None
        self._roles = None
        self._portals = None
        self._now = None

    def gather(self, batch: Batch, one: object, arguments: Mapping[str, Any]) -> Awaitable[Any]:
        """One object's item of a batch, which runs for all objects that are asked for in the same turn."""
        key = (batch, tuple(arguments.items()))
        if key not in self._gathered:

            async def load(objects: list[Any]) -> Sequence[Any]:
                return await batch(objects, self, **arguments)

            self._gathered[key] = DataLoader(load, cache=False)
        return self._gathered[key].load(one)

    async def roles(self) -> Mapping[UUID, Role]:
        """The caller's role in each organization they are a member of, read once an operation."""
        if self.viewer.user_id is None:
            return {}
        if self._roles is None:  # the task, not its result: the fields of a list ask all at once
            self._roles = asyncio.create_task(self.owned.roles(self.viewer))
        return await self._roles

    async def portals(self) -> Mapping[str, PortalState]:
        """How portals stand, by key, read once an operation."""
        if self._portals is None:
            self._portals = asyncio.create_task(self.owned.portal_states())
        return await self._portals

    async def now(self) -> datetime:
        """The database's clock, read once an operation."""
        if self._now is None:
            self._now = asyncio.create_task(self.reads.now())
        return await self._now


Info: TypeAlias = StrawberryInfo[Context, None]
