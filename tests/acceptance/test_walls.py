"""A full disk, a folder that cannot be written, an old schema: one clear line, and nothing damaged."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from db.migrate import upgrade
from tests.acceptance import documents, walls
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.test_running import SEATED
from tests.clients import GraphQLHttp, Json
from tests.processes import CONSOLE_SCRIPT, Holdfast, eventually
from tests.servers import serving


async def said_at_its_end(process: Holdfast) -> list[str]:
    """What a command says that must not succeed."""
    with process:
        assert await asyncio.to_thread(process.ended, 30) == 1, process.said
        return [line for line in process.said.splitlines() if line != "Starting PostgreSQL ..."]


@pytest.fixture
def data(fresh_folder: Path) -> Path:
    """Give a data directory that is there already."""
    folder = fresh_folder / "data"
    folder.mkdir(mode=0o711)
    return folder


@pytest.mark.feature("S1.33", "S3.29")
async def test_a_data_folder_that_cannot_be_used_is_said_in_one_line_and_nothing_is_left(
    fresh_folder: Path, data: Path
) -> None:
    walls.need_a_room()
    tries: list[tuple[Sequence[str], str]] = [
        (walls.read_only(data), "Read-only file system"),
        (walls.on_a_disk_of(data, "2m"), "No space left on device"),
        (walls.without_privileges(), "Permission denied"),
    ]
    for program, words in tries:
        data.chmod(0o511 if words == "Permission denied" else 0o711)
        (line,) = await said_at_its_end(Holdfast("serve", fresh_folder, program=program))
        assert line.startswith("holdfast: ")
        assert words in line
        assert list(data.iterdir()) == []
    data.chmod(0o711)
    with await asyncio.to_thread(Holdfast("serve", fresh_folder).ready, 60) as serving_now:
        assert len(serving_now.passwords) == 4


async def test_an_old_schema_is_refused_and_stays_as_it_is(
    cluster: Cluster, empty_database: str, fresh_folder: Path
) -> None:
    await upgrade(empty_database, target="0003")
    for command in ("serve", "serve --workers 2", "worker", "seed"):
        process = Holdfast(command, fresh_folder, database_url=serving(empty_database))
        (line,) = await said_at_its_end(process)
        assert "is at schema 0003, this version needs" in line
    with Holdfast("migrate", fresh_folder, database_url=empty_database) as migrating:
        assert await asyncio.to_thread(migrating.ended, 30) == 0
        assert "Migrating to 0004" in migrating.said
        assert "Migrating to 0003" not in migrating.said


@pytest.mark.timeout(90)
async def test_on_a_full_disk_changes_are_refused_whole_and_work_again_when_there_is_room(
    fresh_folder: Path, data: Path
) -> None:
    walls.need_a_room()
    program = walls.on_a_disk_of(data, "140m")
    with await asyncio.to_thread(Holdfast("serve", fresh_folder, program=program).ready, 60) as server:
        async with GraphQLHttp(server.url) as http:
            departures = (await field_of(http.run(documents.FIND, SEATED)))["nodes"]
            filler = walls.seen_by(server.pid, data) / "filler"
            fill(filler)
            codes, made = await reserve_until_refused(http, departures)
            assert set(codes) == {"UNAVAILABLE"}
            filler.unlink()
            await eventually(lambda: works(http, departures[-1]), 20)
            held = await field_of(http.run(documents.FIND, SEATED))
            counts = sum(node["counts"]["held"] for node in held["nodes"][:-1])
            assert counts == made, "what was refused left nothing, what was answered is there"
        assert "Traceback" not in server.said
        assert server.running


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError:
            return


async def reserve_until_refused(http: GraphQLHttp, departures: Sequence[Json]) -> tuple[Counter[str], int]:
    """Reserve until it was refused ten times; the codes, and how many seats were got before."""
    codes: Counter[str] = Counter()
    made = 0
    for departure in departures[:-1]:
        for _ in range(10):
            target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
            answer = await http.run(documents.RESERVE, {"target": target})
            if "errors" in answer:
                codes[answer["errors"][0]["extensions"]["code"]] += 1
            else:
                made += answer["data"]["reserve"]["__typename"] == "Reservation"
            if codes.total() == 10:
                return codes, made
    raise AssertionError("the disk did not fill")


async def works(http: GraphQLHttp, departure: Json) -> bool:
    target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    return "errors" not in await http.run(documents.RESERVE, {"target": target})


async def test_a_database_that_was_ended_is_started_again(fresh_folder: Path) -> None:
    with await asyncio.to_thread(Holdfast("serve", fresh_folder).ready, 60) as server:
        (before,) = databases(server)
        before.send_signal(signal.SIGQUIT)
        await eventually(lambda: before not in databases(server))
        await eventually(lambda: databases(server) and server.get("/health/ready")[0] == 200, 20)
        assert "postgres.started_again" in server.said
        async with GraphQLHttp(server.url) as http:
            assert (await field_of(http.run(documents.FIND, SEATED)))["nodes"]


def databases(server: Holdfast) -> list[psutil.Process]:
    """The PostgreSQL that a server has started and that lives."""
    children = psutil.Process(server.pid).children()
    return [each for each in children if each.name() == "postgres" and each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.feature("S2.54")
async def test_a_server_of_a_cluster_writes_no_file(cluster: Cluster) -> None:
    walls.need_a_room()
    server = cluster.start(program=walls.without_files(), environment="production", data_dir="/nowhere")
    with await asyncio.to_thread(server.ready):
        health = Holdfast(
            "health", cluster.folder, program=CONSOLE_SCRIPT, port=server.address.rpartition(":")[2]
        )
        with health:
            assert await asyncio.to_thread(health.ended) == 0
            assert '"status":"ok"' in health.said
    (line,) = await said_at_its_end(
        Holdfast("health", cluster.folder, port=server.address.rpartition(":")[2])
    )
    assert "Nobody answers on 127.0.0.1:" in line
