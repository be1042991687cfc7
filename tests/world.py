"""A small world to test in: one process' parts over a database of the test's own, people, and things to book."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from db.engine import Pool
from domain.access import Role
from domain.catalogue import BookingMode, Offering, Organization, Resource, ResourceKind
from domain.curation import LayoutPlan, SaveOffering, SaveResource
from domain.ids import new_id
from domain.money import Money
from domain.timetable import OpenSchedules
from domain.viewer import Viewer
from holdfast.settings import Settings
from holdfast.wiring import App, wire
from schema.context import Context
from schema.executor import Executor
from schema.ids import encode
from schema.root import schema
from tests.keys import signing_key
from tests.servers import serving, tables_of

SECRET = "a secret of tests, known to everybody"
_numbers = itertools.count(1)


def settings_for(data_dir: Path, database_url: str, **more: Any) -> Settings:
    """Settings as a test needs them: limits that do not get in the way, and given secrets."""
    values = {
        "secret": SecretStr(SECRET),
        "jwt_private_key": SecretStr(signing_key()),
        "max_active_reservations": 1_000,
        "max_active_reservations_per_address": 1_000,
        **more,
    }
    return Settings(data_dir=data_dir, database_url=database_url, **values)


@dataclass
class World:
    """One process' parts, with shortcuts. Everything goes through use cases or GraphQL; people are made directly."""

    app: App
    tables: Pool
    """Connections of the tables' owner, who sees everything: for what no caller does."""
    executor: Executor = field(default_factory=lambda: Executor(schema, suggestions=True))

    async def run(self, document: str, viewer: Viewer | None = None, /, **variables: Any) -> dict[str, Any]:
        """The whole result of a query or mutation: ``{"data", "errors"?}``."""
        prepared = self.executor.prepare(document, variables=variables)
        return await self.executor.execute(prepared, variables, self.context(viewer))

    async def data(self, document: str, viewer: Viewer | None = None, /, **variables: Any) -> Any:
        """The data of a query or mutation that has no errors; of a single root field, its value."""
        result = await self.run(document, viewer, **variables)
        assert "errors" not in result, result["errors"]
        data = result["data"]
        return next(iter(data.values())) if len(data) == 1 else data

    async def code(self, document: str, viewer: Viewer | None = None, /, **variables: Any) -> str:
        """The code of the first top-level error."""
        result = await self.run(document, viewer, **variables)
        return str(result["errors"][0]["extensions"]["code"])

    @asynccontextmanager
    async def watching(
        self, document: str, viewer: Viewer | None = None, /, **variables: Any
    ) -> AsyncIterator[Watch]:
        """A subscription under way."""
        prepared = self.executor.prepare(document, variables=variables)
        results = self.executor.subscribe(prepared, variables, self.context(viewer))
        try:
            yield Watch(results)
        finally:
            await results.aclose()

    def context(self, viewer: Viewer | None = None) -> Context:
        """What one operation of a caller gets; a guest if none is given."""
        return Context(viewer or self.guest(), self.app.services)

    def guest(self, address: str = "192.0.2.1") -> Viewer:
        """Somebody without an account."""
        return Viewer(address, f"test-{next(_numbers)}")

    async def person(self, name: str = "person") -> Viewer:
        """Somebody with an account and a session, made without hashing a password."""
        account, session, number = new_id(), new_id(), next(_numbers)
        await self.tables.execute(
            "INSERT INTO account (id, email, name, password_hash) VALUES ($1, $2, $3, 'none')",
            account,
            f"{name}-{number}@test.example",
            f"{name.title()} {number}",
        )
        await self.tables.execute(
            "INSERT INTO session (id, account_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')",
            session,
            account,
        )
        return Viewer("192.0.2.2", f"test-{number}", account, session, datetime.now(UTC) + timedelta(hours=1))

    async def member(self, organization: Organization, role: Role = Role.STAFF) -> Viewer:
        """Somebody with a role in an organization."""
        viewer = await self.person(role.value.lower())
        assert viewer.user_id is not None
        async with self.app.database.begin(None) as tx:
            await tx.accounts.join(viewer.user_id, organization.id, role)
        return viewer

    def token(self, viewer: Viewer) -> str:
        """An access token of theirs, as an Authorization value carries it."""
        assert viewer.user_id is not None
        assert viewer.session_id is not None
        tokens = self.app.identity.authenticate.tokens
        return tokens.sign(viewer.user_id, viewer.session_id, timedelta(minutes=30)).text

    async def organization(self, name: str = "Deccan Coaches", zone: str = "Asia/Kolkata") -> Organization:
        """A new organization that sells in INR."""
        made = Organization(new_id(), name, f"{name.lower().replace(' ', '-')}-{next(_numbers)}", zone, "INR")
        async with self.app.database.begin(None) as tx:
            await tx.catalogue.add_organization(made)
        return made

    async def resource(
        self,
        organization: Organization,
        staff: Viewer,
        *,
        rows: int = 10,
        columns: int = 4,
        aisle: int | None = 2,
        kind: ResourceKind = ResourceKind.VEHICLE,
        provider_id: UUID | None = None,
    ) -> Resource:
        """A new resource; by default a coach of 40 seats, A1 to J4."""
        plan = LayoutPlan(rows, columns, aisle)
        request = SaveResource(
            None,
            organization.id,
            kind,
            f"Coach {next(_numbers)}",
            organization.time_zone,
            plan,
            provider_id=provider_id,
        )
        return await self.app.services.curation.save_resource(staff, request)

    async def offering(self, organization: Organization, staff: Viewer, **more: Any) -> Offering:
        """A new offering; by default Mumbai - Pune for 500.00 INR."""
        values: dict[str, Any] = {
            "name": "Mumbai - Pune express",
            "mode": BookingMode.SEATED,
            "price": Money(Decimal("500.00"), organization.currency),
            "origin": "Mumbai",
            "destination": "Pune",
            **more,
        }
        return await self.app.services.curation.save_offering(
            staff, SaveOffering(None, organization.id, **values)
        )

    async def open(
        self,
        staff: Viewer,
        offering: Offering,
        resource: Resource,
        starts: Sequence[datetime],
        duration: timedelta = timedelta(hours=4),
    ) -> Sequence[UUID]:
        """Open schedules at these local times; their ids."""
        request = OpenSchedules(offering.id, resource.id, starts, duration)
        return (await self.app.services.timetable.open_schedules(staff, request)).schedules

    async def departure(self, *, seats: int = 40, days_ahead: int = 7, **terms: Any) -> Departure:
        """A departure on sale of a new organization; four seats a row, or all in one if that does not come out."""
        organization = await self.organization()
        staff = await self.member(organization)
        rows, columns = (seats // 4, 4) if seats % 4 == 0 else (1, seats)
        resource = await self.resource(
            organization, staff, rows=rows, columns=columns, aisle=2 if columns == 4 else None
        )
        offering = await self.offering(organization, staff, **terms)
        start = (datetime.now(UTC) + timedelta(days=days_ahead)).replace(tzinfo=None, microsecond=0)
        (schedule_id,) = await self.open(staff, offering, resource, [start])
        return Departure(organization, staff, resource, offering, schedule_id)

    async def allocations(self, schedule_id: UUID) -> dict[int, str]:
        """What the table says of the seats that are not free, expired holds among them: index to status."""
        rows = await self.tables.fetch(
            "SELECT seat, status FROM allocation WHERE schedule_id = $1", schedule_id
        )
        return {row["seat"]: row["status"] for row in rows}

    async def age(self, reservation_id: UUID, by: timedelta) -> None:
        """Let time pass for one reservation and its seats."""
        await self.tables.execute(
            "UPDATE reservation SET expires_at = expires_at - $2::interval WHERE id = $1", reservation_id, by
        )
        await self.tables.execute(
            "UPDATE allocation SET held_until = held_until - $2::interval"
            " WHERE reservation_id = $1 AND status = 'HELD'",
            reservation_id,
            by,
        )


@dataclass(frozen=True)
class Departure:
    """Something to book, and who runs it."""

    organization: Organization
    staff: Viewer
    resource: Resource
    offering: Offering
    schedule_id: UUID

    @property
    def id(self) -> str:
        """The schedule's global id."""
        return encode("Schedule", self.schedule_id)


@dataclass
class Watch:
    """A subscription under way."""

    results: AsyncGenerator[dict[str, Any], None]

    async def next(self, seconds: float = 10) -> Any:
        """The next message's value. Raises TimeoutError if none comes in time, StopAsyncIteration at the end."""
        async with asyncio.timeout(seconds):
            result = await anext(self.results)
        assert "errors" not in result, result["errors"]
        return next(iter(result["data"].values()))

    async def code(self, seconds: float = 10) -> str:
        """The code of the error that comes next."""
        async with asyncio.timeout(seconds):
            result = await anext(self.results)
        return str(result["errors"][0]["extensions"]["code"])


@asynccontextmanager
async def new_world(data_dir: Path, database_url: str, **more: Any) -> AsyncIterator[World]:
    """Wire one process' parts; its worker does not run unless a test runs it."""
    async with (
        wire(settings_for(data_dir, database_url, **more), serving(database_url)) as app,
        tables_of(database_url) as tables,
    ):
        yield World(app, tables)
