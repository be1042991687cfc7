"""Webhooks: events of the log at a real receiver, verified by the official library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.endpoints import EndpointWish, SavedEndpoint
from domain.viewer import Viewer
from schema.ids import encode
from tests.automation.receiver import LOOPBACK, Receiver, receiving
from tests.world import Departure, World, new_world


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver of this test's own."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def world(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """Give a world whose webhooks may go to this machine."""
    async with new_world(data_dir, database_url, webhook_allow_networks=LOOPBACK) as made:
        yield made


@asynccontextmanager
async def working(world: World) -> AsyncIterator[None]:
    """The worker's courier at work, as the worker runs it."""
    courier = world.app.worker.courier
    assert courier is not None

    async def work() -> None:
        while True:
            await asyncio.sleep(await courier.step())

    async with courier:
        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def subscribe(
    world: World, viewer: Viewer, url: str, *types: str, departure: Departure | None = None
) -> SavedEndpoint:
    organization_id = departure.organization.id if departure else None
    return await world.app.services.endpoints.create(
        viewer, EndpointWish(organization_id, url, types or ("*",))
    )


async def test_an_event_is_delivered_and_verified_by_the_official_library(
    world: World, receiver: Receiver
) -> None:
    departure = await world.departure()
    saved = await subscribe(world, departure.staff, f"{receiver.url}/hook", "resource.*", departure=departure)
    async with working(world):
        resource = await world.resource(departure.organization, departure.staff)
        await receiver.until(lambda: bool(receiver.got))
    (got,) = receiver.got
    assert saved.secret is not None
    body = got.verified(saved.secret)
    assert body["type"] == "resource.saved"
    assert body["data"]["subjectId"] == encode("Resource", resource.id)
    assert got.id == f"evt_{resource.id.hex}_1"
