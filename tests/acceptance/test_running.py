"""Starting, stopping and being killed, as an operator sees it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.conftest import RunningServer
from tests.clients import Completed, GraphQLHttp, GraphQLSocket
from tests.processes import CONSOLE_SCRIPT, Holdfast, eventually

ROOT = Path(__file__).parents[2]
AT_ONCE = 3.0
SEATED = {"search": {"mode": "SEATED"}}


@pytest.mark.feature("S0.1", "S0.19", "S0.21", "S1.1", "S2.16", "S3.3", "S3.29", "S4.49")
async def test_one_command_brings_up_everything_on_loopback(running_server: RunningServer) -> None:
    process = running_server.process
    assert process.get("/health/live") == (200, '{"status":"ok"}')
    status, body = process.get("/health/ready")
    assert (status, '"status":"ok"' in body) == (200, True)
    async with GraphQLHttp(running_server.graphql) as http:
        assert (await field_of(http.run(documents.SERVER)))["version"]
        assert len((await field_of(http.run(documents.FIND, SEATED)))["nodes"]) == 42
    assert set(running_server.passwords) == {"customer", "provider", "staff", "admin"}
    assert {address for _, address in listening_addresses(process.pid)} == {"127.0.0.1"}
    assert "broker      in-process" in process.said
    assert "worker      in this process" in process.said


@pytest.mark.timeout(90)
@pytest.mark.feature("S0.19", "S3.23")
async def test_what_a_kill_leaves_behind_is_adopted_and_ctrl_c_leaves_nothing(fresh_folder: Path) -> None:
    first = await asyncio.to_thread(Holdfast("serve", fresh_folder).ready, 60)
    assert len(first.passwords) == 4
    async with GraphQLHttp(first.url) as http:
        departure = (await field_of(http.run(documents.FIND, SEATED)))["nodes"][0]
        target = {"seats": {"scheduleId": departure["id"], "labels": ["C1", "C2"]}}
        held = await field_of(http.run(documents.RESERVE, {"target": target}))
        contact = {"email": "somebody@guests.example"}
        await field_of(
            http.run(documents.BOOK, {"id": held["id"], "token": held["token"], "contact": contact})
        )
    first.kill()
    (postgres,) = postmasters(fresh_folder)

    second = await asyncio.to_thread(Holdfast("serve", fresh_folder).ready)
    assert postmasters(fresh_folder) == [postgres], "it was adopted, not started anew"
    assert second.passwords == {}
    assert "Migrating" not in second.said
    async with (
        GraphQLHttp(second.url) as http,
        await GraphQLSocket.connect(second.url) as watching,
        await GraphQLSocket.connect(second.url) as idle,
        http.stream(documents.WATCH, {"target": {"scheduleId": departure["id"]}}) as stream,
    ):
        watch = await watching.subscribe(documents.WATCH, {"target": {"scheduleId": departure["id"]}})
        for told in (await watch.next(), await stream.next()):
            assert told["data"]["seatChanges"]["schedules"][0]["seatString"].count("B") == 2
        began = time.monotonic()
        second.interrupt()
        assert [(await each.closed()).code for each in (watching, idle)] == [1001, 1001]
        with pytest.raises(Completed):
            await stream.next()
        assert await asyncio.to_thread(second.ended) == 0
        assert time.monotonic() - began < AT_ONCE
    assert living(fresh_folder) == []
    assert second.said.rstrip().endswith("Stopped.")
    assert "Traceback" not in second.said


async def test_ctrl_c_while_the_database_starts_leaves_nothing_either(fresh_folder: Path) -> None:
    with Holdfast("serve", fresh_folder) as serving:
        await eventually(lambda: list(fresh_folder.glob("data/postgres/cluster/postmaster.pid")), 60)
        serving.interrupt()
        assert await asyncio.to_thread(serving.ended) == 130
        assert living(fresh_folder) == []
        assert "Traceback" not in serving.said
    with await asyncio.to_thread(Holdfast("serve", fresh_folder).ready, 60) as again:
        assert len(again.passwords) == 4


async def test_ctrl_c_stops_a_worker_and_a_server_of_a_cluster(cluster: Cluster) -> None:
    processes = [cluster.start(), cluster.start("worker")]
    for process in processes:
        await asyncio.to_thread(process.ready)
        began = time.monotonic()
        process.interrupt()
        assert await asyncio.to_thread(process.ended) == 0
        assert time.monotonic() - began < AT_ONCE
        assert "Traceback" not in process.said
        assert "off: HOLDFAST_AUTOMATION is false" in process.said


@pytest.mark.feature("S0.21", "S1.36", "S2.39", "S2.43", "S3.29")
async def test_address_port_environment_and_log_level_are_settings(cluster: Cluster) -> None:
    departure, port = await cluster.departure(), unused_port()
    started = cluster.start(host="127.0.0.2", port=port, environment="production", log_level="error")
    with await asyncio.to_thread(started.ready) as server:
        assert server.address == f"http://127.0.0.2:{port}"
        assert listening_addresses(server.pid) == [(port, "127.0.0.2")]
        target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
        async with GraphQLHttp(server.url) as http:
            held = await field_of(http.run(documents.RESERVE, {"target": target}))
            page = await http.client.get(server.url, headers={"accept": "text/html"})
        assert held["__typename"] == "Reservation"
        assert "graphiql" not in page.text.lower(), "it is off in production"
        assert '"level"' not in server.said


@pytest.mark.feature("S4.49")
def test_make_installs_with_uv_or_without() -> None:
    def steps(*arguments: str) -> str:
        make = ["make", "--no-print-directory", "--always-make", "--dry-run", "run", *arguments]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(make, cwd=ROOT, env=ours, capture_output=True, text=True, check=True).stdout

    with_uv, without = steps("UV=/somewhere/uv"), steps("UV=")
    assert "uv pip install" in with_uv
    assert ".venv/bin/python -m pip install" in without
    assert "uv pip" not in without
    assert (
        with_uv.rstrip().splitlines()[-1]
        == without.rstrip().splitlines()[-1]
        == "exec .venv/bin/holdfast serve"
    )


@pytest.mark.feature("S1.33", "S1.36", "S2.38", "S2.39", "S3.29")
async def test_what_cannot_start_says_why_in_one_line(
    cluster: Cluster, running_server: RunningServer, empty_database: str, fresh_folder: Path
) -> None:
    url = urlsplit(cluster.database_url)
    nowhere = f"postgresql://holdfast@127.0.0.1:{unused_port()}/holdfast"
    taken = running_server.url.rpartition(":")[2]
    given = {"database_url": cluster.database_url}
    attempts: list[tuple[str, dict[str, str], int, str]] = [
        ("serve", given | {"port": taken}, 1, f"Cannot listen on 127.0.0.1:{taken}: Address already in use"),
        ("serve", {"database_url": nowhere}, 1, "cannot be reached"),
        ("serve", {"database_url": cluster.database_url.replace(url.path, "/no_such")}, 1, "does not exist"),
        ("serve", {"database_url": cluster.database_url.replace(f":{url.password}@", ":x@")}, 1, "password"),
        ("serve", {"database_url": empty_database}, 1, "run `holdfast migrate` first"),
        ("worker", {"database_url": empty_database}, 1, "run `holdfast migrate` first"),
        ("seed", given, 1, "has organizations already"),
        ("serve", given | {"secret": "too short"}, 2, "HOLDFAST_SECRET: give 32 characters or more"),
        ("serve", given | {"environment": "production"}, 2, "HOLDFAST_SECRET must be set in production"),
        (
            "serve",
            given | {"redis_url": "http://localhost"},
            2,
            "HOLDFAST_REDIS_URL: give an address that starts",
        ),
        ("serve", given | {"log_level": "loud"}, 2, "HOLDFAST_LOG_LEVEL"),
        ("serve", given | {"databse_url": "x"}, 2, "did you mean HOLDFAST_DATABASE_URL?"),
    ]

    async def refused(command: str, settings: dict[str, str], code: int, words: str) -> str | None:
        with Holdfast(command, fresh_folder, program=CONSOLE_SCRIPT, **settings) as process:
            ended = await asyncio.to_thread(process.ended, 30)
            said = process.said.splitlines()
        lines = 2 if settings.get("environment") == "production" else 1
        clear = len(said) == lines and words in said[0] and said[0].startswith("holdfast: ")
        return None if clear and ended == code else f"{command} {settings}: {ended} {said}"

    answers = await asyncio.gather(*(refused(*attempt) for attempt in attempts))
    assert [answer for answer in answers if answer] == []


def listening_addresses(pid: int) -> list[tuple[int, str]]:
    """Port and address of each socket that a process listens on."""
    connections = psutil.Process(pid).net_connections("inet")
    return [(c.laddr.port, c.laddr.ip) for c in connections if c.status == psutil.CONN_LISTEN]


def living(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def postmasters(folder: Path) -> list[int]:
    """The PostgreSQL servers of a folder, without their children."""
    ours, found = living(folder), []
    for pid in ours:
        with suppress(psutil.Error):  # it has ended meanwhile
            process = psutil.Process(pid)
            if process.name() == "postgres" and process.ppid() not in ours:
                found.append(pid)
    return found


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
