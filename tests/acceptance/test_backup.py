"""A backup taken while everybody trades, brought to life elsewhere by the commands that an operator types."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance import documents
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.watchers import Watcher, all_agree, listening
from tests.audit import broken_rules
from tests.clients import GraphQLHttp, GraphQLSocket
from tests.processes import Holdfast, eventually
from tests.servers import serving, tables_of


@pytest.mark.timeout(90)
@pytest.mark.feature("S3.32", "S4.51")
async def test_a_backup_taken_under_load_is_restored_elsewhere_and_goes_on(
    cluster: Cluster, empty_database: str, fresh_folder: Path
) -> None:
    departures = [await cluster.departure() for _ in range(2)]
    watcher = Watcher(departures[0])
    buyers = Buyers(cluster, departures, lambda: cluster.a.url)
    file = fresh_folder / "evening.zip"
    async with listening(cluster.a, [watcher]):
        await buyers.start(4)
        await eventually(lambda: buyers.answers > 30)
        await run(f"backup {file}", fresh_folder, cluster.database_url)
        answered = buyers.answers
        await eventually(lambda: buyers.answers > answered + 10)
        await buyers.stop()
        await all_agree(cluster, [watcher])
    await must_be_in_the_tables(buyers)

    said = await run(f"backup --verify {file}", fresh_folder, cluster.database_url)
    assert "is whole" in said
    said = await run(f"restore {file}", fresh_folder, empty_database)
    assert "Restored." in said
    async with tables_of(empty_database) as tables:
        assert await broken_rules(tables) == []

    there = cluster.start(database_url=serving(empty_database), inline_worker=False)
    try:
        await asyncio.to_thread(there.ready)
        target = {"bestAvailable": {"scheduleId": departures[0]["id"], "count": 1}}
        async with GraphQLHttp(there.url) as http, await GraphQLSocket.connect(there.url) as socket:
            watch = await socket.subscribe(
                documents.WATCH, {"target": watcher.target, "after": watcher.cursor}
            )
            assert watcher.take(await watch.next())["__typename"] == "Resync", "its cursor is of another log"
            assert watcher.take(await watch.next())["__typename"] == "SeatSnapshot"
            version = watcher.version
            assert (await field_of(http.run(documents.RESERVE, {"target": target})))["token"]
            assert watcher.take(await watch.next())["__typename"] == "SeatDelta"
            assert watcher.version == version + 1
            staff = (await cluster.sign_in("staff", there))["accessToken"]
            wanted = {"organizationId": departures[0]["resource"]["organization"]["id"]}
            events = await field_of(http.run(documents.EVENTS, {"filter": wanted}, staff))
            assert len(events["nodes"]) == 100, "the log of before is there to be read"
    finally:
        await asyncio.to_thread(there.close)


async def run(command: str, folder: Path, database_url: str) -> str:
    """What a command says, which has to succeed."""
    with Holdfast(command, folder, database_url=database_url) as process:
        assert await asyncio.to_thread(process.ended, 30) == 0, process.said
        return process.said
