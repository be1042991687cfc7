"""What a supervisor, a balancer and staff are told of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from db.statements import Counting
from domain.access import Role
from holdfast.job_running import why_off
from holdfast.web import Web, make_web
from tests.holdfast.visiting import database_away, run, visiting
from tests.processes import eventually
from tests.world import World, settings_for

RESERVE = """
mutation ($id: ID!) { reserve(input: {target: {seats: {scheduleId: $id, labels: ["A1"]}}}) { __typename } }
"""
OLD_EVENT = """
INSERT INTO event (stream, stream_id, version, type, at, actor, data)
VALUES ('schedule', gen_random_uuid(), 1, 'test', now() - interval '1 minute', 'system', '{}')
"""


@pytest.fixture
def web(world: World) -> Web:
    return make_web(world.app)


@pytest.fixture
async def client(web: Web) -> AsyncIterator[httpx2.AsyncClient]:
    async with visiting(web) as client:
        yield client


async def readiness(client: httpx2.AsyncClient) -> tuple[int, dict[str, str]]:
    answer = await client.get("/health/ready")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["checks"]


async def detailed(client: httpx2.AsyncClient, authorization: str | None) -> httpx2.Response:
    headers = {"authorization": authorization} if authorization else {}
    return await client.get("/health/detailed", headers=headers)


async def test_a_process_that_can_serve_is_ready(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    fine = dict.fromkeys(("process", "database", "migrations", "log", "broker"), "ok")
    assert await readiness(client) == (200, fine)


async def test_who_asks_for_readiness_at_once_is_one_question_to_the_database(
    client: httpx2.AsyncClient,
) -> None:
    await readiness(client)
    before = Counting.statements
    answers = await asyncio.gather(*(readiness(client) for _ in range(100)))
    assert {status for status, _ in answers} == {200}
    assert Counting.statements - before < 20


async def test_readiness_names_a_database_that_is_away_and_comes_back(
    world: World, client: httpx2.AsyncClient
) -> None:
    async with database_away(world):
        status, checks = await readiness(client)
        assert (status, checks["database"], checks["migrations"]) == (503, "does not answer", "unknown")
        assert (await client.get("/health/live")).status_code == 200
    await eventually(lambda: world.app.feed.healthy)
    assert (await readiness(client))[0] == 200


async def test_a_database_that_does_not_answer_holds_readiness_up_for_two_seconds_at_most(
    database_url: str, client: httpx2.AsyncClient
) -> None:
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE schema_version")
            async with asyncio.timeout(4):
                status, checks = await readiness(client)
    finally:
        await other.close()
    assert (status, checks["database"]) == (503, "does not answer")


async def test_readiness_names_another_schema(world: World, client: httpx2.AsyncClient) -> None:
    await world.tables.execute("UPDATE schema_version SET version_num = '0001'")
    status, checks = await readiness(client)
    assert status == 503
    assert checks["migrations"].startswith("schema 0001, this version needs ")


async def test_readiness_names_a_log_that_cannot_be_told_in_order(
    world: World, database_url: str, client: httpx2.AsyncClient
) -> None:
    dawdling = await asyncpg.connect(database_url)
    try:
        async with dawdling.transaction():
            await dawdling.execute("SELECT pg_current_xact_id()")
            await world.tables.execute(OLD_EVENT)
            await world.app.feed.turn()
            status, checks = await readiness(client)
            assert status == 503
            assert checks["log"].startswith("lags 6")
        await world.app.feed.turn()
        assert (await readiness(client))[0] == 200
    finally:
        await dawdling.close()


async def test_a_process_that_leaves_says_so_before_it_closes_anything(
    web: Web, client: httpx2.AsyncClient
) -> None:
    await web.health.leave()
    status, checks = await readiness(client)
    assert (status, checks["process"], checks["database"]) == (503, "leaving", "ok")
    assert (await run(client, "{ server { version } }"))["data"]


async def test_one_process_of_several_without_redis_says_why_it_runs_no_job(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "postgresql://nobody@localhost/none")
    alone = why_off(settings, ["demo"])
    assert alone is None or "Chromium" in alone
    told = why_off(settings.as_one_of_several(), ["demo"])
    assert told is not None
    assert "HOLDFAST_REDIS_URL" in told
    redis = settings_for(tmp_path, "postgresql://nobody@localhost/none", redis_url="redis://localhost")
    assert why_off(redis.as_one_of_several(), ["demo"]) == alone
    assert why_off(settings, ["demo"]) == alone, "the settings themselves are as they were"


@pytest.mark.feature("S1.2", "S3.4", "S3.39", "S4.22", "S4.48")
@pytest.mark.parametrize("role", [Role.STAFF, Role.ADMIN])
async def test_staff_of_any_organization_see_how_every_part_is_doing(
    world: World, client: httpx2.AsyncClient, role: Role
) -> None:
    departure = await world.departure()
    await run(client, RESERVE, id=departure.id)
    staff = await world.member(departure.organization, role)
    answer = await detailed(client, f"Bearer {world.token(staff)}")
    told: Any = answer.json()
    assert answer.status_code == 200
    assert (told["database"]["status"], told["log"]["status"], told["broker"]["status"]) == ("ok",) * 3
    assert told["reservations"] == {"active": 1}
    assert told["database"]["pool"]["most"] == 10
    assert told["log"]["kept_days"] == 30
    assert told["connections"]["sockets"] == 0
    assert "HOLDFAST_METRICS_TOKEN" in told["switched_off"]["metrics from elsewhere"]
    assert "HOLDFAST_PORTALS" in told["switched_off"]["jobs at portals, in this process"]
    text = answer.text.lower()
    for private in (world.token(staff), str(staff.user_id), str(departure.organization.id), "test.example"):
        assert private.lower() not in text


async def test_nobody_else_sees_it(world: World, client: httpx2.AsyncClient) -> None:
    departure = await world.departure()
    customer = await world.person()
    provider = await world.member(departure.organization, Role.PROVIDER)
    asked = {
        None: 401,
        "Bearer forged": 401,
        f"Bearer {world.token(customer)}": 403,
        f"Bearer {world.token(provider)}": 403,
    }
    for authorization, status in asked.items():
        answer = await detailed(client, authorization)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])


async def test_asking_for_details_counts_like_any_request(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.token(await world.person())
    monkeypatch.setattr(world.app.rates, "_per_account", 2)
    told = [(await detailed(client, f"Bearer {token}")).status_code for _ in range(3)]
    assert told == [403, 403, 429]


async def test_without_the_database_staff_are_told_why_they_learn_nothing(
    world: World, client: httpx2.AsyncClient
) -> None:
    departure = await world.departure()
    token = world.token(departure.staff)
    async with database_away(world):
        answer = await detailed(client, f"Bearer {token}")
    assert answer.status_code == 503
    assert "database" in answer.json()["error"]


class Idle:
    """What runs jobs, without a browser and without a job."""

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        yield

    async def nothing(self) -> float:
        return 1.0

    take = renew = report = nothing


@pytest.mark.feature("S2.48")
async def test_any_process_knows_when_the_workers_loops_ran_and_failed(
    world: World, client: httpx2.AsyncClient
) -> None:
    departure = await world.departure()
    authorization = f"Bearer {world.token(departure.staff)}"
    told = (await detailed(client, authorization)).json()["worker"]
    worker = replace(world.app.worker, runner=Idle())  # type: ignore[arg-type]
    assert told == {loop.name: {"status": "never ran"} for loop in worker.loops}

    await world.tables.execute("ALTER TABLE login_throttle RENAME TO elsewhere")  # housekeeping fails
    running = asyncio.create_task(worker.run())
    try:
        await eventually(lambda: all(loop.runs or loop.failures for loop in worker.loops))
        await worker._report()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    told = (await detailed(client, authorization)).json()["worker"]
    assert {name: loop["status"] for name, loop in told.items()} == {
        name: "never ran" if name == "housekeeping" else "ok" for name in told
    }
    assert told["housekeeping"] == {"status": "never ran"} | {
        "failed_seconds_ago": told["housekeeping"]["failed_seconds_ago"],
        "error": "UndefinedTableError",
    }
    await world.tables.execute("UPDATE worker_loop SET ran_at = now() - interval '5 minutes'")
    told = (await detailed(client, authorization)).json()["worker"]
    assert {name for name, loop in told.items() if loop["status"] == "ok"} == {"housekeeping", "retention"}
    assert {loop["status"] for loop in told.values()} == {"ok", "late"}
