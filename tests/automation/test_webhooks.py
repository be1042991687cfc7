"""Webhooks: events of the log at a real receiver, verified by the official library; complete and in order."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from standardwebhooks import WebhookVerificationError

from automation.webhooks import courier as webhooks
from automation.webhooks.courier import Courier
from automation.worker import Loop, _for_ever
from domain.catalogue import Resource
from domain.curation import LayoutPlan, SaveResource
from domain.endpoints import EndpointChange, EndpointWish, SavedEndpoint
from domain.events import Position
from domain.webhooks import Delivery, DeliveryStatus, WebhookStatus
from schema.ids import encode
from tests.automation.receiver import LOOPBACK, Got, Receiver, receiving
from tests.processes import Holdfast, eventually
from tests.servers import serving
from tests.world import SECRET, Departure, World, new_world

pytestmark = pytest.mark.feature("S1.13", "S1.29")


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


@pytest.fixture
async def house(world: World, receiver: Receiver) -> House:
    """Give an organization with an endpoint, and no courier yet."""
    departure = await world.departure()
    house = House(world, receiver, departure)
    house.saved = await house.subscribe("/hook")
    return house


class House:
    """An organization that saves resources, each time a step of the resource's own story."""

    saved: SavedEndpoint

    def __init__(self, world: World, receiver: Receiver, departure: Departure) -> None:
        self.world, self.receiver, self.departure = world, receiver, departure
        self.endpoints = world.app.services.endpoints

    async def subscribe(self, path: str, *types: str) -> SavedEndpoint:
        wish = EndpointWish(
            self.departure.organization.id, self.receiver.url + path, types or ("resource.*", "webhook.*")
        )
        return await self.endpoints.create(self.departure.staff, wish)

    async def resource(self) -> Resource:
        return await self.world.resource(self.departure.organization, self.departure.staff)

    async def change(self, resource: Resource) -> None:
        """The next version of a resource."""
        request = SaveResource(
            resource.id, None, resource.kind, resource.name, resource.time_zone, LayoutPlan(10, 4, 2)
        )
        organized = SaveResource(**{**_fields(request), "organization_id": resource.organization_id})
        await self.world.app.services.curation.save_resource(self.departure.staff, organized)

    async def statuses(self, endpoint_id: UUID | None = None) -> Sequence[DeliveryStatus]:
        return [delivery.status for delivery in await self.deliveries(endpoint_id)]

    async def deliveries(
        self, endpoint_id: UUID | None = None, status: DeliveryStatus | None = None
    ) -> Sequence[Delivery]:
        """The newest deliveries of the house's endpoint, or another one."""
        endpoint = await self.endpoints.endpoint(self.departure.staff, endpoint_id or self.saved.id)
        assert endpoint is not None
        (page,) = await self.endpoints.deliveries(self.departure.staff, [endpoint], 100, None, status)
        return [delivery for _, delivery in page.items]

    async def hurry(self) -> None:
        """Let the time pass until what is to be tried again."""
        await self.world.tables.execute(
            "UPDATE webhook_delivery SET due_at = now() WHERE due_at > now() AND status = 'RETRYING'"
        )


def _fields(request: SaveResource) -> dict[str, Any]:
    return {name: getattr(request, name) for name in SaveResource.__dataclass_fields__}


@asynccontextmanager
async def working(world: World, courier: Courier | None = None) -> AsyncIterator[Courier]:
    """A courier at work, as the worker runs it; by default the world's own."""
    at_work = courier or world.app.worker.courier
    assert at_work is not None

    async with at_work:
        task = asyncio.create_task(_for_ever(Loop("webhooks", at_work.step)))
        try:
            yield at_work
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def another(world: World) -> Courier:
    """The courier of another worker."""
    own = world.app.worker.courier
    assert own is not None
    return Courier(world.app.database.begin, world.app.feed, own._messages, own._post)


def versions(receiver: Receiver, path: str = "/hook") -> dict[str, list[int]]:
    """The versions that came, by subject, in the order they came in."""
    came: defaultdict[str, list[int]] = defaultdict(list)
    for got in receiver.of(path):
        _, subject, version = got.id.split("_")
        came[subject].append(int(version))
    return came


async def broken(_: Got) -> web.StreamResponse:
    return web.Response(status=500)


# ------------------------------------------------------------------ what is sent


async def test_samples_to_who_never_answers_keep_no_delivery_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.webhooks.posting.MOST_SOCKETS", 1)
    over = asyncio.Event()

    async def never(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    house.receiver.answers["/never"] = never
    silent = await house.subscribe("/never", "booking.*")
    sample = asyncio.create_task(house.endpoints.test(house.departure.staff, silent.id))
    await house.receiver.until(lambda: bool(house.receiver.of("/never")))
    async with working(house.world):
        await house.resource()
        await house.receiver.until(lambda: bool(house.receiver.of("/hook")), 10)
    over.set()
    assert (await sample).status is DeliveryStatus.SUCCEEDED


async def test_an_event_is_delivered_and_verified_by_the_official_library(house: House) -> None:
    async with working(house.world):
        resource = await house.resource()
        await house.receiver.until(lambda: bool(house.receiver.got))
    (got,) = house.receiver.got
    assert house.saved.secret is not None
    body = got.verified(house.saved.secret)
    assert body["type"] == "resource.saved"
    assert body["data"]["subjectId"] == encode("Resource", resource.id)
    assert body["data"]["version"] == 1
    assert got.id == f"evt_{resource.id.hex}_1"


async def test_a_secret_that_is_rotated_signs_beside_the_new_one_for_a_day(house: House) -> None:
    rotated = await house.endpoints.rotate(house.departure.staff, house.saved.id)
    assert house.saved.secret is not None
    assert rotated.secret is not None
    assert rotated.secret != house.saved.secret
    async with working(house.world):
        await house.resource()
        await house.receiver.until(lambda: len(house.receiver.got) == 1)
        for secret in (house.saved.secret, rotated.secret):
            assert house.receiver.got[0].verified(secret)
        await house.world.tables.execute(
            "UPDATE webhook_endpoint SET rotated_at = now() - interval '24 h 1 s'"
        )
        await house.resource()
        await house.receiver.until(lambda: len(house.receiver.got) == 2)
    assert house.receiver.got[1].verified(rotated.secret)
    with pytest.raises(WebhookVerificationError):
        house.receiver.got[1].verified(house.saved.secret)


async def test_only_types_that_were_asked_for_are_sent_and_only_of_ones_own(house: House) -> None:
    exact = await house.subscribe("/exact", "offering.saved")
    other = await house.world.departure()
    stranger = EndpointWish(other.organization.id, house.receiver.url + "/stranger", ["*"])
    await house.endpoints.create(other.staff, stranger)
    async with working(house.world):
        await house.resource()
        await house.world.offering(house.departure.organization, house.departure.staff)
        await house.receiver.until(lambda: len(house.receiver.got) == 2)
    assert sorted(got.path for got in house.receiver.got) == ["/exact", "/hook"]
    assert exact.secret is not None
    assert house.receiver.of("/exact")[0].verified(exact.secret)["type"] == "offering.saved"


# ------------------------------------------------------------------ order, retries, the dead


async def test_what_comes_later_of_a_subject_waits_and_other_subjects_go_on(house: House) -> None:
    first, second = await house.resource(), await house.resource()
    failing = True

    async def moody(got: Got) -> web.StreamResponse:
        return web.Response(status=500 if failing and first.id.hex in got.id else 204)

    house.receiver.answers["/hook"] = moody
    async with working(house.world):
        for _ in range(4):
            await house.change(first)
            await house.change(second)
        await house.receiver.until(lambda: versions(house.receiver)[second.id.hex] == [1, 2, 3, 4, 5])
        assert versions(house.receiver)[first.id.hex] == [1]
        failing = False
        await house.hurry()
        await house.receiver.until(lambda: len(versions(house.receiver)[first.id.hex]) == 6)
    assert versions(house.receiver)[first.id.hex] == [1, 1, 2, 3, 4, 5]
    same = [got for got in house.receiver.got if got.id == f"evt_{first.id.hex}_1"]
    assert same[0].body == same[1].body


@pytest.mark.feature("S4.55")
async def test_a_delivery_is_dead_after_its_last_try_and_can_be_sent_again_by_hand(house: House) -> None:
    house.receiver.answers["/hook"] = broken
    async with working(house.world):
        resource = await house.resource()
        await house.change(resource)
        for tries in range(1, 11):
            await eventually(partial(_tried, house, tries))
            await house.hurry()
        await eventually(lambda: _has(house, DeliveryStatus.DEAD))
        await house.receiver.until(lambda: 2 in versions(house.receiver)[resource.id.hex])
        assert versions(house.receiver)[resource.id.hex][:11] == [1] * 10 + [2]
        del house.receiver.answers["/hook"]
        (dead,) = await house.deliveries(status=DeliveryStatus.DEAD)
        assert len(dead.attempts) == 10
        assert {attempt.status_code for attempt in dead.attempts} == {500}
        again = await house.endpoints.retry(house.departure.staff, dead.id)
        assert again.status is DeliveryStatus.PENDING
        await eventually(lambda: _has(house, DeliveryStatus.SUCCEEDED))


async def _tried(house: House, tries: int) -> bool:
    return bool(await house.world.tables.fetchval("SELECT max(tries) >= $1 FROM webhook_delivery", tries))


async def _has(house: House, status: DeliveryStatus) -> bool:
    return status in await house.statuses()


async def test_a_slow_endpoint_delays_no_other(house: House) -> None:
    over = asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    house.receiver.answers["/slow"] = slow
    await house.subscribe("/slow", "resource.*")
    async with working(house.world):
        for _ in range(40):
            await house.resource()
        await house.receiver.until(lambda: len(house.receiver.of("/hook")) == 40)
        assert len(house.receiver.of("/slow")) <= webhooks.IN_FLIGHT
        over.set()
        await house.receiver.until(lambda: len(house.receiver.of("/slow")) == 40)


# ------------------------------------------------------------------ endpoints that are gone, paused, rewound


async def test_an_endpoint_that_is_gone_is_disabled_and_its_owners_are_told(house: House) -> None:
    async def gone(_: Got) -> web.StreamResponse:
        return web.Response(status=410)

    house.receiver.answers["/gone"] = gone
    leaving = await house.subscribe("/gone", "resource.*")
    async with working(house.world):
        await house.resource()
        await house.receiver.until(lambda: len(house.receiver.of("/hook")) == 2)
    told = [got for got in house.receiver.of("/hook") if leaving.id.hex in got.id]
    assert house.saved.secret is not None
    assert told[0].verified(house.saved.secret)["type"] == "webhook.disabled"
    assert len(house.receiver.of("/gone")) == 1
    now = await house.endpoints.endpoint(house.departure.staff, leaving.id)
    assert now is not None
    assert now.status is WebhookStatus.DISABLED_FAILING


async def test_an_endpoint_that_failed_for_five_days_is_disabled_and_goes_on_where_it_was(
    house: House,
) -> None:
    house.receiver.answers["/hook"] = broken
    async with working(house.world):
        await house.resource()
        await eventually(lambda: _failing(house))
        await house.world.tables.execute(
            "UPDATE webhook_endpoint SET failing_since = now() - interval '4 days 23 h'"
        )
        await house.resource()
        await house.receiver.until(lambda: len(house.receiver.got) == 2)
        await house.world.tables.execute(
            "UPDATE webhook_endpoint SET failing_since = now() - interval '5 days 1 s'"
        )
        await house.hurry()
        await eventually(lambda: _status(house, WebhookStatus.DISABLED_FAILING))
        missed = await house.resource()
        del house.receiver.answers["/hook"]
        seen = len(house.receiver.got)
        await house.endpoints.update(house.departure.staff, EndpointChange(house.saved.id, paused=False))
        await house.receiver.until(lambda: missed.id.hex in versions(house.receiver))
    assert len(house.receiver.got) > seen


async def _failing(house: House) -> bool:
    endpoint = await house.endpoints.endpoint(house.departure.staff, house.saved.id)
    return endpoint is not None and endpoint.failing_since is not None


async def _status(house: House, status: WebhookStatus) -> bool:
    endpoint = await house.endpoints.endpoint(house.departure.staff, house.saved.id)
    return endpoint is not None and endpoint.status is status


async def test_a_paused_endpoint_is_told_later_what_it_missed_and_nothing_twice(house: House) -> None:
    staff = house.departure.staff
    async with working(house.world):
        before = await house.resource()
        await house.receiver.until(lambda: len(house.receiver.got) == 1)
        await house.endpoints.update(staff, EndpointChange(house.saved.id, paused=True))
        missed = [await house.resource() for _ in range(5)]
        heard = await house.subscribe("/awake")
        last = await house.resource()
        await house.receiver.until(lambda: len(house.receiver.of("/awake")) == 1)
        assert len(house.receiver.of("/hook")) == 1
        await house.endpoints.update(staff, EndpointChange(house.saved.id, paused=False))
        await house.receiver.until(lambda: len(house.receiver.of("/hook")) == 7)
        after = await house.resource()
        await house.receiver.until(lambda: len(house.receiver.of("/hook")) == 8)
    assert heard.secret is not None
    expected = [before, *missed, last, after]
    assert versions(house.receiver) == {resource.id.hex: [1] for resource in expected}


async def test_a_replay_sends_every_event_after_a_cursor_again_in_order(house: House) -> None:
    async with working(house.world):
        old, resource = await house.resource(), await house.resource()
        for _ in range(3):
            await house.change(resource)
        await house.receiver.until(lambda: len(house.receiver.got) == 5)
        row = await house.world.tables.fetchrow(
            "SELECT xid::text::bigint AS xid, id FROM event WHERE stream_id = $1", old.id
        )
        assert row is not None
        place = Position(row["xid"], row["id"])
        first = [got.id for got in house.receiver.got]
        await eventually(lambda: _all_settled(house))
        await house.endpoints.replay(house.departure.staff, house.saved.id, place)
        await house.receiver.until(lambda: len(house.receiver.got) == 9)
    assert versions(house.receiver) == {old.id.hex: [1], resource.id.hex: [1, 2, 3, 4, 1, 2, 3, 4]}
    assert {got.id for got in house.receiver.got[5:]} <= set(first)


async def _all_settled(house: House) -> bool:
    return set(await house.statuses()) == {DeliveryStatus.SUCCEEDED}


# ------------------------------------------------------------------ workers side by side, and workers that die


async def test_of_two_workers_one_sends(house: House) -> None:
    async with working(house.world), working(house.world, another(house.world)):
        made = [await house.resource() for _ in range(30)]
        await house.receiver.until(lambda: len(house.receiver.got) >= 30)
        await eventually(lambda: _all_settled(house))
    assert versions(house.receiver) == {resource.id.hex: [1] for resource in made}


async def test_what_a_worker_had_in_hand_when_it_died_another_sends_again(house: House) -> None:
    over = asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    house.receiver.answers["/hook"] = slow
    async with working(house.world) as dying:
        resource = await house.resource()
        await house.change(resource)
        await house.receiver.until(lambda: len(house.receiver.got) == 1)
        dying._lines.clear()  # it gives nothing back: it is dead
    over.set()
    del house.receiver.answers["/hook"]
    async with working(house.world, another(house.world)):
        await house.world.tables.execute("UPDATE webhook_endpoint SET leased_until = now()")
        await house.receiver.until(lambda: len(house.receiver.got) == 3)
    assert versions(house.receiver)[resource.id.hex] == [1, 1, 2]


@pytest.mark.feature("S1.46")
async def test_a_sample_is_sent_at_once_and_its_attempt_reported(house: House) -> None:
    await house.subscribe("/other")
    sent = await house.endpoints.test(house.departure.staff, house.saved.id)
    assert (sent.status, sent.event.type) == (DeliveryStatus.SUCCEEDED, "webhook.tested")
    assert house.saved.secret is not None
    assert house.receiver.got[0].verified(house.saved.secret)["type"] == "webhook.tested"
    house.receiver.answers["/hook"] = broken
    failed = await house.endpoints.test(house.departure.staff, house.saved.id)
    assert (failed.status, failed.attempts[0].status_code) == (DeliveryStatus.DEAD, 500)
    async with working(house.world):
        resource = await house.resource()
        del house.receiver.answers["/hook"]
        await house.receiver.until(lambda: resource.id.hex in versions(house.receiver), 10)
        await house.receiver.until(lambda: resource.id.hex in versions(house.receiver, "/other"))
    samples = [got.path for got in house.receiver.got if house.saved.id.hex in got.id]
    assert samples == ["/hook"] * 2, "nobody else sends it, and nobody else hears of it"


async def test_deliveries_go_with_the_log(house: House) -> None:
    async with working(house.world):
        await house.resource()
        await eventually(lambda: _all_delivered(house))
    await house.world.tables.execute("UPDATE webhook_delivery SET created_at = now() - interval '31 days'")
    async with house.world.app.database.begin(None) as tx:
        assert await tx.webhooks.forget(timedelta(days=30), 100) == 1
    assert await house.statuses() == []


async def _all_delivered(house: House) -> bool:
    return list(await house.statuses()) == [DeliveryStatus.SUCCEEDED]


# ------------------------------------------------------------------ the official library in JavaScript

NODE = Path(__file__).with_name("node")


@pytest.mark.timeout(120)  # the first run installs a package
async def test_the_official_library_verifies_us_in_javascript_too(house: House) -> None:
    if not (NODE / "node_modules").exists():
        await _node("", "npm", "ci", "--silent")
    async with working(house.world):
        await house.resource()
        await house.receiver.until(lambda: bool(house.receiver.got))
    (got,) = house.receiver.got
    body = got.body.decode()
    message = {"headers": dict(got.headers), "body": body}
    forged = {**message, "body": body.replace("resource", "resauce")}
    given = json.dumps({"secret": house.saved.secret, "messages": [message, forged]})
    assert json.loads(await _node(given, "node", "verify.js")) == [
        "resource.saved",
        "WebhookVerificationError",
    ]


async def _node(given: str, *command: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=NODE, stdin=pipe, stdout=pipe)
    output, _ = await process.communicate(given.encode())
    assert process.returncode == 0, command
    return output.decode()


# ------------------------------------------------------------------ a receiver that is down while workers are killed


@pytest.mark.timeout(90)
@pytest.mark.feature("S1.13")
async def test_a_receiver_down_for_a_minute_while_workers_are_killed_gets_everything_in_order(
    house: House, database_url: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": serving(database_url),
        "secret": SECRET,
        "webhook_allow_networks": ",".join(LOOPBACK),
        "log_level": "warning",
    }
    async with receiving() as short:
        port = int(short.url.rpartition(":")[2])
    url = f"{short.url}/hook"
    await house.endpoints.update(house.departure.staff, EndpointChange(house.saved.id, url=url))
    resources = [await house.resource() for _ in range(10)]
    with Holdfast("serve", tmp_path, **settings) as first:
        await asyncio.to_thread(first.ready)
        for resource in resources:
            await house.change(resource)
        await eventually(lambda: _has(house, DeliveryStatus.RETRYING), 20)
        first.kill()
    for resource in resources:
        await house.change(resource)
    await _a_minute_later(house)
    over = asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with receiving(port) as receiver:
        receiver.answers["/hook"] = slow
        with Holdfast("serve", tmp_path, **settings) as second:
            await asyncio.to_thread(second.ready)
            await receiver.until(lambda: bool(receiver.got), 20)
            second.kill()  # in the middle of a request
        over.set()
        await _a_minute_later(house)
        async with working(house.world):
            await eventually(lambda: _whole(receiver, resources), 20)
            await eventually(lambda: _all_settled(house))
    for came in versions(receiver).values():
        assert came == sorted(came)


async def _a_minute_later(house: House) -> None:
    """What was to be tried within the next minute is due, and the leases of the dead have run out."""
    await house.world.tables.execute(
        "UPDATE webhook_delivery SET due_at = due_at - interval '60 s' WHERE due_at IS NOT NULL"
    )
    await house.world.tables.execute(
        "UPDATE webhook_endpoint SET leased_until = leased_until - interval '60 s'"
    )


def _whole(receiver: Receiver, resources: Sequence[Resource]) -> bool:
    came = versions(receiver)
    return all(set(came[resource.id.hex]) == {1, 2, 3} for resource in resources)
