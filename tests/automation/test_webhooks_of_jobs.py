"""A job's own webhook: the older systems' four messages, and login codes for who asked."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from automation.webhooks.codes import CodesToWebhooks
from db.live import MemoryLive
from domain.automation import StartJob
from domain.endpoints import EndpointWish
from domain.errors import InvalidInput
from domain.jobs import AutomationStatus, Job
from domain.portals import CapturedCode
from domain.viewer import Viewer
from schema.ids import encode
from tests.automation.receiver import LOOPBACK, Got, Receiver, receiving
from tests.automation.test_webhooks import working
from tests.automation.workplace import Workplace, new_workplace
from tests.processes import eventually
from tests.world import World, new_world


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
async def codes(world: World) -> AsyncIterator[CodesToWebhooks]:
    """Give what shows codes, and sends them."""
    courier = world.app.worker.courier
    assert courier is not None
    async with CodesToWebhooks(
        MemoryLive(), world.app.database.begin, courier._messages, courier._post
    ) as made:
        yield made


@pytest.fixture
async def workplace(world: World, codes: CodesToWebhooks) -> AsyncIterator[Workplace]:
    """Give a place where jobs are run, and their codes sent."""
    async with new_workplace(world) as made:
        made.live = codes  # type: ignore[assignment]
        yield made


async def started(workplace: Workplace, viewer: Viewer, url: str | None, **more: Any) -> Job:
    request = StartJob("demo", {"person": "Ada Lindström"}, webhook_url=url, **more)
    assert viewer.user_id is not None
    workplace.owners[viewer.user_id] = viewer
    return await workplace.automation.start(viewer, request)


def bodies(receiver: Receiver, path: str = "/job") -> list[Any]:
    return [json.loads(got.body) for got in receiver.of(path)]


def code(number: int, life: timedelta = timedelta(seconds=30)) -> CapturedCode:
    return CapturedCode(f"bankid.token.{number}.mac", b"a picture", datetime.now(UTC), life)


@pytest.mark.feature("S0.12", "S1.9", "S1.10", "S1.11", "S1.12", "S1.13")
async def test_a_job_tells_the_older_systems_what_they_knew(
    workplace: Workplace, codes: CodesToWebhooks, receiver: Receiver
) -> None:
    viewer = await workplace.world.person()
    more = {"older": True, "reference": "order 7", "subject": "user 12"}
    job = await started(workplace, viewer, f"{receiver.url}/job", **more)
    await codes.show_code(job.id, code(1))
    await receiver.until(lambda: bool(receiver.got))
    async with working(workplace.world), workplace.working():
        done = await workplace.ends(job)
        assert done.status is AutomationStatus.COMPLETED
        await receiver.until(lambda: any(b["event_type"] == "booking_completed" for b in bodies(receiver)))
    came = bodies(receiver)
    assert {(body["job_id"], body["user_id"]) for body in came} == {("order 7", "user 12")}
    assert all(set(body) == {"event_type", "job_id", "user_id", "timestamp", "data"} for body in came)
    (start,) = [body["data"] for body in came if body["event_type"] == "booking_started"]
    assert start == {"config": done.config, "estimated_duration": "60-180 seconds"}
    updates = [body["data"] for body in came if body["event_type"] == "status_update"]
    assert [each["progress"] for each in updates] == sorted(each["progress"] for each in updates)
    assert {"qr_waiting", "searching", "booking"} <= {each["status"] for each in updates}
    (end,) = [body["data"] for body in came if body["event_type"] == "booking_completed"]
    assert done.outcome is not None
    slot = done.outcome.slot
    assert end == {
        "success": True,
        "booking_result": {
            "booking_id": done.outcome.booking_number,
            "exam_date": slot.date.isoformat(),
            "exam_time": slot.time.isoformat(),
        },
    }
    shown = [body["data"] for body in came if body["event_type"] == "qr_code_update"]
    assert shown
    assert all(each["qr_code_data"].startswith("data:image/png;base64,") for each in shown)
    assert all(0 < each["expires_in"] <= 60 for each in shown)


async def test_a_job_tells_its_webhook_everything_and_no_code(
    workplace: Workplace, receiver: Receiver
) -> None:
    viewer = await workplace.world.person()
    async with working(workplace.world), workplace.working():
        job = await started(workplace, viewer, f"{receiver.url}/job")
        await workplace.ends(job)
        events = await workplace.events(job.id)
        await receiver.until(lambda: len(receiver.got) == len(events))
    assert [body["type"] for body in bodies(receiver)] == list(events)
    assert {body["data"]["subjectId"] for body in bodies(receiver)} == {encode("AutomationJob", job.id)}
    assert b"bankid" not in b"".join(got.body for got in receiver.got)


async def test_a_webhook_that_no_job_may_have_starts_none(workplace: Workplace) -> None:
    viewer = await workplace.world.person()
    with pytest.raises(InvalidInput) as refusal:
        await started(workplace, viewer, "ftp://hooks.example/")
    assert refusal.value.path == ("webhookUrl",)
    assert await workplace.world.tables.fetchval("SELECT count(*) FROM automation_job") == 0


@pytest.mark.feature("S1.28")
async def test_only_who_asked_by_name_is_sent_codes_and_only_of_ones_own_jobs(
    workplace: Workplace, codes: CodesToWebhooks, receiver: Receiver
) -> None:
    world = workplace.world
    owner, stranger = await world.person(), await world.person()
    endpoints = world.app.services.endpoints
    asked = await endpoints.create(owner, EndpointWish(None, f"{receiver.url}/asked", ["automation.qr_code"]))
    for viewer, path, types in (
        (owner, "/all", ["*"]),
        (owner, "/kind", ["automation.*"]),
        (stranger, "/stranger", ["automation.qr_code"]),
    ):
        await endpoints.create(viewer, EndpointWish(None, receiver.url + path, types))
    job = await started(workplace, owner, None)
    shown = await codes.show_code(job.id, code(1))
    await receiver.until(lambda: bool(receiver.got))
    await eventually(lambda: codes.sent[True] == 1)
    (got,) = receiver.got
    assert (got.path, asked.secret is None) == ("/asked", False)
    assert asked.secret is not None
    body = got.verified(asked.secret)
    assert body["type"] == "automation.qr_code"
    assert body["data"]["text"] == shown.text
    assert body["data"]["imageDataUrl"].endswith(b64encode(shown.image).decode())
    assert body["data"]["subjectId"] == encode("AutomationJob", job.id)
    kept = await world.tables.fetchval(
        "SELECT count(*) FROM webhook_delivery WHERE attempts::text LIKE '%bankid%'"
    )
    assert kept == 0
    assert await world.tables.fetchval("SELECT count(*) FROM event WHERE type = 'automation.qr_code'") == 0


async def test_a_slow_webhook_gets_the_newest_code_and_none_once_there_is_none(
    workplace: Workplace, codes: CodesToWebhooks, receiver: Receiver
) -> None:
    over = asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=500)

    receiver.answers["/asked"] = slow
    owner = await workplace.world.person()
    wish = EndpointWish(None, f"{receiver.url}/asked", ["automation.qr_code"])
    await workplace.world.app.services.endpoints.create(owner, wish)
    job = await started(workplace, owner, None)
    await codes.show_code(job.id, code(1))
    await receiver.until(lambda: len(receiver.got) == 1)
    for number in range(2, 7):
        await codes.show_code(job.id, code(number))
    over.set()
    await receiver.until(lambda: len(receiver.got) == 2)
    assert [body["data"]["text"] for body in bodies(receiver, "/asked")] == [code(1).text, code(6).text]
    over.clear()
    await codes.show_code(job.id, code(7))
    await receiver.until(lambda: len(receiver.got) == 3)
    await codes.show_code(job.id, code(8))
    await codes.hide_code(job.id)
    over.set()
    await eventually(lambda: codes.sent[False] == 3)
    assert len(receiver.got) == 3
