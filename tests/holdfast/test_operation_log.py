"""A line an operation, for a machine or for somebody who looks on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.operation_log import MOST, OperationLog, console_line, json_line
from holdfast.settings import Settings
from holdfast.watch import make_watch
from holdfast.web import make_web
from tests.holdfast.visiting import run, visiting
from tests.processes import eventually
from tests.world import World, new_world


@pytest.mark.feature("S1.44", "S2.51")
async def test_a_line_tells_what_became_of_an_operation_and_of_which_request() -> None:
    text: list[str] = []
    log = OperationLog(json_line, text.append)
    log.tell("reserve", "mutation", "SEATS_UNAVAILABLE", 0.0123456, "r-1")
    assert text == [], "it is written with others, soon"
    await eventually(lambda: text)
    line = json.loads(text[0])
    assert (datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp"))).total_seconds() < 10
    assert line == {
        "event": "operation",
        "level": "info",
        "logger": "holdfast.operations",
        "operation": "reserve",
        "kind": "mutation",
        "outcome": "SEATS_UNAVAILABLE",
        "duration_ms": 12.35,
        "request_id": "r-1",
    }


async def test_many_lines_do_not_wait_and_the_last_ones_are_not_lost() -> None:
    text: list[str] = []
    log = OperationLog(json_line, text.append)
    for _ in range(MOST + 1):
        log.tell("server", "query", "OK", 0.001, "r")
    assert [chunk.count("\n") for chunk in text] == [MOST]
    log.flush()
    log.flush()
    assert [chunk.count("\n") for chunk in text] == [MOST, 1]


async def test_a_subscription_is_told_when_it_begins_without_a_duration() -> None:
    text: list[str] = []
    log = OperationLog(json_line, text.append)
    log.tell("seatChanges", "subscription", "OK", None, "r")
    log.flush()
    assert "duration_ms" not in json.loads(text[0])


def test_a_console_shows_the_same_in_a_line() -> None:
    line = console_line("server", "query", "OK", 0.0021, "r-1")
    assert line.endswith("query server: OK in 2.1 ms [r-1]\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [({}, True), ({"log_operations": False}, False), ({"log_level": "warning"}, False)],
)
def test_the_settings_say_whether_operations_are_told(settings: dict[str, object], told: bool) -> None:
    assert (make_watch(Settings.model_validate(settings)).log is not None) is told


@pytest.mark.feature("S1.44", "S2.51")
async def test_a_request_is_told_under_the_id_it_came_with_and_nothing_personal(
    data_dir: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    login = (
        'mutation Anna { login(input: {email: "anna@test.example", password: "p4ssw0rd"}) { __typename } }'
    )
    async with new_world(data_dir, database_url, log_format="json") as world:
        web = make_web(world.app)
        async with visiting(web, "192.0.2.7") as client:
            headers = {"x-request-id": "r-42"}
            await client.post("/graphql", json={"query": login}, headers=headers)
        await web.watch.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "operation"]
    assert (line["operation"], line["outcome"]) == ("login", "INVALID_CREDENTIALS")
    assert line["request_id"] == "r-42"
    for private in ("anna", "test.example", "p4ssw0rd", "192.0.2.7"):
        assert private not in json.dumps(line).lower()


async def test_a_caller_who_leaves_is_an_outcome_too(world: World) -> None:
    web = make_web(world.app)
    async with visiting(web) as client, world.tables.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE organization")
        asking = asyncio.create_task(run(client, "{ organizations(first: 1) { nodes { id } } }"))
        await eventually(lambda: _waiting(world))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    tally = web.watch.operations.of("organizations", "query")
    await eventually(lambda: tally.outcomes == {"CANCELLED": 1})


async def _waiting(world: World) -> bool:
    return bool(await world.tables.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
