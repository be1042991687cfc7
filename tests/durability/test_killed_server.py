"""kill -9 of a server under load, between commit and publish and anywhere else."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.cluster import Cluster
from tests.acceptance.watchers import LogReader, Watcher, all_agree, listening
from tests.processes import CONSOLE_SCRIPT, Holdfast

DYING = (sys.executable, str(Path(__file__).with_name("dying_server.py")))
KILLS = 20


@pytest.mark.durability
@pytest.mark.timeout(120)
@pytest.mark.feature("S4.47", "S4.54", "S4.56")
async def test_twenty_servers_killed_under_load_lose_nothing_and_every_watcher_hears_all(
    durable_cluster: Cluster,
) -> None:
    cluster, dice = durable_cluster, random.Random(9)
    departures = [await cluster.departure() for _ in range(3)]
    watchers = [Watcher(departure) for departure in departures]
    staff = (await cluster.sign_in("staff"))["accessToken"]
    log = LogReader(cluster, departures[0]["resource"]["organization"]["id"], staff)
    victims: asyncio.Queue[Holdfast] = asyncio.Queue(maxsize=2)
    starting = asyncio.create_task(_start_victims(cluster, victims, dice))
    current = await victims.get()
    buyers = Buyers(cluster, departures, lambda: current.url)

    async with listening(cluster.b, watchers, log):
        await buyers.start(6)
        for number in range(KILLS):
            if _ends_itself(number):
                await asyncio.to_thread(current.ended, 20)
                await all_agree(cluster, watchers, log)  # and nobody tells of what was committed last
            else:
                await asyncio.sleep(dice.uniform(0.05, 0.4))  # the moment is the dice's, not a wait
                current.kill()
            current = await victims.get() if number < KILLS - 1 else cluster.a
        await buyers.stop()
        await starting
        await all_agree(cluster, watchers, log)
    assert buyers.failures["CUT OFF"] >= KILLS
    await must_be_in_the_tables(buyers)
    await must_be_whole_runs(cluster)


async def must_be_whole_runs(cluster: Cluster) -> None:
    """Fail unless reservations were made together, and none of them without its steps in the log."""
    async with cluster.database() as database:
        runs = await database.fetch(
            """
            SELECT count(*) FILTER (WHERE type = 'seats.held') AS held,
              count(*) FILTER (WHERE type = 'reservation.created') AS made,
              count(*) FILTER (WHERE EXISTS (SELECT FROM reservation r WHERE r.id = stream_id)) AS kept
            FROM event WHERE type IN ('seats.held', 'reservation.created') GROUP BY xid
            """
        )
    assert [row for row in runs if not row["held"] == row["made"] == row["kept"]] == []
    assert max(row["made"] for row in runs) > 1, "nobody was served together with another"


def _ends_itself(number: int) -> bool:
    return number % 2 == 0


async def _start_victims(cluster: Cluster, ready: asyncio.Queue[Holdfast], dice: random.Random) -> None:
    """Every other one ends itself between a commit and its publication."""
    for number in range(KILLS):
        program = (*DYING, str(dice.randint(3, 25))) if _ends_itself(number) else CONSOLE_SCRIPT
        victim = cluster.start(program=program)
        await asyncio.to_thread(victim.ready)
        await ready.put(victim)
