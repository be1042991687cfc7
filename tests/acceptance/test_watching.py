"""What somebody who runs Holdfast sees of processes that run: figures, health, and a stop that says it is coming."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, field_of
from tests.clients import GraphQLHttp, GraphQLSocket, Json
from tests.processes import Holdfast, eventually


def figures(server: Holdfast, name: str, **labels: str) -> dict[str, float]:
    """The samples of that name with those labels, by their process; "" where there is one."""
    status, text = server.get("/metrics")
    assert status == 200, text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith((f"holdfast_{name}{{", f"holdfast_{name} ")):
            given = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels.items() <= given.items():
                found[given.get("process", "")] = float(line.rsplit(" ", 1)[1])
    return found


@pytest.mark.feature("S3.4", "S3.33")
async def test_sockets_and_subscriptions_come_and_go_in_the_figures(cluster: Cluster) -> None:
    departure = await cluster.departure()
    before = {
        name: figures(cluster.b, name)[""] for name in ("sockets", "subscriptions", "results_sent_total")
    }
    async with await GraphQLSocket.connect(cluster.b.url) as socket:
        watching = await socket.subscribe(documents.WATCH, {"target": {"scheduleId": departure["id"]}})
        await watching.next()
        assert figures(cluster.b, "sockets")[""] == before["sockets"] + 1
        assert figures(cluster.b, "subscriptions")[""] == before["subscriptions"] + 1
        assert figures(cluster.b, "results_sent_total")[""] > before["results_sent_total"]
    await eventually(lambda: figures(cluster.b, "sockets")[""] == before["sockets"])
    assert figures(cluster.b, "subscriptions")[""] == before["subscriptions"]


@pytest.mark.feature("S1.2", "S2.48")
async def test_a_server_knows_that_the_worker_beside_it_works(cluster: Cluster) -> None:
    token = (await cluster.sign_in("admin"))["accessToken"]
    async with GraphQLHttp(cluster.a.address) as http:

        async def told() -> Json:
            answer = await http.client.get(
                f"{cluster.a.address}/health/detailed", headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 200
            detailed: Json = answer.json()
            return detailed

        async def all_ran() -> bool:
            loops = (await told())["worker"]
            jobs = [loops.pop(name)["status"] for name in ("jobs", "leases", "availability")]
            assert jobs == ["never ran"] * 3, "nobody has a browser here"
            return all(loop["status"] == "ok" for loop in loops.values())

        await eventually(all_ran, 20)
        assert (await told())["broker"]["kind"].startswith("redis at ")
    assert figures(cluster.a, "loop_age_seconds", loop="expiry")[""] < 60
    assert figures(cluster.a, "loop_runs_total", loop="expiry")[""] == 0, "it runs elsewhere"


@pytest.mark.feature("S2.17", "S3.9")
async def test_one_scrape_has_the_figures_of_every_process_on_the_port(cluster: Cluster) -> None:
    with await asyncio.to_thread(cluster.start("serve --workers 2").ready) as server:
        asked = 0

        async def both_answered() -> bool:
            nonlocal asked
            async with GraphQLHttp(server.url) as http:  # a connection of its own each
                await field_of(http.run(documents.SERVER))
            asked += 1
            return len(figures(server, "operations_total", operation="server")) == 2

        await eventually(both_answered)
        counts = figures(server, "operations_total", operation="server", outcome="OK")
        assert (set(counts), sum(counts.values())) == ({"1", "2"}, asked)
        assert set(figures(server, "log_lag_seconds")) == {"1", "2"}


@pytest.mark.feature("S0.24")
@pytest.mark.parametrize("command", ["serve", "serve --workers 2"])
async def test_before_a_stop_readiness_says_so_while_everything_works(cluster: Cluster, command: str) -> None:
    server = await asyncio.to_thread(cluster.start(command, leave_seconds=1).ready)
    os.kill(server.pid, signal.SIGTERM)

    def leaving() -> bool:
        status, text = server.get("/health/ready")
        return status == 503 and json.loads(text)["checks"]["process"] == "leaving"

    await eventually(leaving)
    async with GraphQLHttp(server.url) as http:
        assert await field_of(http.run(documents.SERVER))
    assert await asyncio.to_thread(server.ended) == 0


@pytest.mark.feature("S2.51")
async def test_every_process_tells_its_operations_under_the_callers_request_id(
    cluster: Cluster, fresh_folder: Path
) -> None:
    async with GraphQLHttp(cluster.a.url) as http:
        await http.post(documents.SERVER, headers={"x-request-id": "from-the-proxy-7"})
    await eventually(lambda: '"request_id":"from-the-proxy-7"' in cluster.a.said)
    (line,) = (json.loads(line) for line in cluster.a.said.splitlines() if "from-the-proxy-7" in line)
    assert (line["event"], line["operation"], line["outcome"]) == ("operation", "server", "OK")
