"""What the courier bears: gaps in the log, crowds of endpoints, receivers that take their time, and its own faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web

from automation.webhooks import courier as webhooks
from automation.webhooks.courier import Courier
from domain.endpoints import EndpointChange
from domain.events import Position
from domain.messages import Message
from domain.webhooks import Attempt, DeliveryStatus
from tests.automation.receiver import LOOPBACK, Got, receiving
from tests.automation.test_webhooks import House, broken, versions, working
from tests.processes import eventually
from tests.world import new_world

pytestmark = pytest.mark.feature("S1.13", "S1.29")


@pytest.fixture
async def house(data_dir: Path, database_url: str) -> AsyncIterator[House]:
    """Give an organization with an endpoint, and no courier yet."""
    async with (
        receiving() as receiver,
        new_world(data_dir, database_url, webhook_allow_networks=LOOPBACK) as world,
    ):
        house = House(world, receiver, await world.departure())
        house.saved = await house.subscribe("/hook")
        yield house


async def test_a_replay_from_a_later_place_leaves_nothing_out_that_a_pause_has_missed(house: House) -> None:
    staff = house.departure.staff
    async with working(house.world):
        await house.endpoints.update(staff, EndpointChange(house.saved.id, paused=True))
        await house.subscribe("/awake")
        missed = [await house.resource() for _ in range(3)]
        await house.receiver.until(lambda: len(house.receiver.of("/awake")) == 3)
        head = await house.world.tables.fetchrow(
            "SELECT xid::text AS xid, id FROM event ORDER BY event.xid DESC, id DESC LIMIT 1"
        )
        assert head is not None
        await house.endpoints.replay(staff, house.saved.id, Position(int(head["xid"]), head["id"]))
        await house.endpoints.update(staff, EndpointChange(house.saved.id, paused=False))
        last = await house.resource()
        await house.receiver.until(lambda: last.id.hex in versions(house.receiver))
    assert set(versions(house.receiver)) >= {each.id.hex for each in missed}


async def test_what_the_log_has_forgotten_keeps_nothing_waiting(house: House) -> None:
    house.receiver.answers["/hook"] = broken
    async with working(house.world):
        old = await house.resource()
        await eventually(lambda: _has(house, DeliveryStatus.RETRYING))
        await house.change(old)
        await house.world.tables.execute("DELETE FROM event WHERE stream_id = $1 AND version = 1", old.id)
        del house.receiver.answers["/hook"]
        await house.hurry()
        new = await house.resource()
        await house.receiver.until(lambda: versions(house.receiver)[new.id.hex] == [1])
        await house.receiver.until(lambda: versions(house.receiver)[old.id.hex] == [1, 2])


async def test_a_crowd_of_endpoints_waits_for_none_that_has_nothing_to_send(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LINES", 4)
    for number in range(20):
        await house.subscribe(f"/crowd/{number}", "resource.*")
    async with working(house.world):
        await house.resource()
        await house.receiver.until(lambda: len({got.path for got in house.receiver.got}) == 21, 10)


async def test_receivers_that_take_their_time_take_turns_with_those_that_do_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LINES", 4)
    monkeypatch.setattr(webhooks, "QUICK", 0.1)

    async def slow(_: Got) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(status=500)

    for number in range(8):
        house.receiver.answers[f"/slow/{number}"] = slow
        await house.subscribe(f"/slow/{number}", "resource.*")
    for _ in range(20):
        await house.resource()
    async with working(house.world):
        await house.receiver.until(lambda: len(house.receiver.of("/hook")) == 20, 10)
        assert len(house.receiver.got) - 20 < 8 * 20 / 2


async def test_a_fault_of_ours_is_an_attempt_that_failed(house: House) -> None:
    own = house.world.app.worker.courier
    assert own is not None
    tried: list[UUID] = []

    async def post(url: str, message: Message) -> Attempt:
        tried.append(house.saved.id)
        if len(tried) == 1:
            raise RuntimeError("not thought of")
        return await own._post(url, message)

    courier = Courier(house.world.app.database.begin, house.world.app.feed, own._messages, post)
    async with working(house.world, courier):
        resource = await house.resource()
        await eventually(lambda: _has(house, DeliveryStatus.RETRYING))
        await house.hurry()
        await house.receiver.until(lambda: versions(house.receiver)[resource.id.hex] == [1])


async def _has(house: House, status: DeliveryStatus) -> bool:
    return status in await house.statuses()
