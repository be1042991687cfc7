"""Jobs from outside: codes over a real socket, for its owner as long as they are signed in; figures for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.web import make_web
from tests.clients import Failed, GraphQLSocket
from tests.graphql.automating import PORTAL_URL, Automating, animated
from tests.holdfast.test_guarded_house import served
from tests.holdfast.test_metrics import scrape
from tests.holdfast.visiting import visiting
from tests.world import new_world

CODES = "subscription ($id: ID!) { qrCodes(jobId: $id) { text } }"
SCREEN = "subscription ($id: ID!) { automationScreen(jobId: $id) { frame } }"


@pytest.fixture
async def automating(data_dir: Path, database_url: str) -> AsyncIterator[Automating]:
    async with new_world(data_dir, database_url, demo_portal_url=PORTAL_URL) as world:
        yield await Automating.of(world)


@pytest.mark.feature("S0.6", "S1.8")
async def test_a_socket_tells_codes_to_their_owner_until_they_sign_out_and_to_nobody_else(
    automating: Automating,
) -> None:
    world, job = automating.world, await automating.waiting()
    await job.show(0)
    async with served(world) as house:
        for token in (None, world.token(await world.person("bertil"))):
            async with await GraphQLSocket.connect(house.url, token) as socket:
                for document in (CODES, SCREEN):
                    with pytest.raises(Failed) as refused:
                        await (await socket.subscribe(document, {"id": job.gid})).next()
                    assert refused.value.code == "NOT_FOUND"
        async with await GraphQLSocket.connect(house.url, world.token(automating.owner)) as socket:
            codes = await socket.subscribe(CODES, {"id": job.gid})
            for second in range(1, 3):
                assert (await codes.next())["data"]["qrCodes"]["text"] == animated(second - 1)
                await job.show(second)
            assert (await codes.next())["data"]["qrCodes"]["text"] == animated(2)
            assert automating.owner.session_id is not None
            world.app.identity.ended.note(automating.owner.session_id)
            assert (await socket.closed()).code == 4403


@pytest.mark.feature("S1.2")
async def test_operators_see_jobs_by_status_and_workers_and_no_code(automating: Automating) -> None:
    world, job, staff = automating.world, await automating.waiting(), await automating.staff()
    await automating.start(await world.person())
    await job.show(0)
    async with (
        world.watching(CODES, automating.owner, id=job.gid) as watch,
        visiting(make_web(world.app)) as client,
    ):
        await watch.next()
        figures = await scrape(client)
        seen = await client.get("/health/detailed", headers={"authorization": f"Bearer {world.token(staff)}"})
    assert figures.of("automation_jobs", status="QR_WAITING") == 1
    assert figures.of("automation_jobs", status="QUEUED") == 1
    assert (figures.of("automation_workers"), figures.of("automation_slots")) == (1, 8)
    assert figures.of("codes_shown_total") == 1
    assert seen.json()["automation"] == {
        "status": "ok",
        "workers": 1,
        "slots": 8,
        "busy": 0,
        "jobs": {"QR_WAITING": 1, "QUEUED": 1},
    }
    assert "bankid." not in seen.text
    assert not [sample for sample in figures.samples if "bankid." in str(sample)]
