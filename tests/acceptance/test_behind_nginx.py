"""Two servers behind the very nginx configuration that compose.yaml uses."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.acceptance import documents, nginx
from tests.acceptance.buyers import Buyers, must_be_in_the_tables
from tests.acceptance.certificate import self_signed
from tests.acceptance.cluster import Cluster, field_of
from tests.acceptance.faithful import faithfully
from tests.acceptance.test_many_processes import Strangers
from tests.acceptance.test_running import unused_port
from tests.acceptance.watchers import LogReader, Watcher, all_agree
from tests.clients import GraphQLHttp, GraphQLSocket
from tests.processes import Holdfast, eventually


@dataclass
class Deployment:
    """Two servers, whose ports stay when they are restarted, and where the proxy listens."""

    cluster: Cluster
    port: int = field(default_factory=unused_port)
    ports: tuple[int, int] = field(default_factory=lambda: (unused_port(), unused_port()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    async def start(self, place: int) -> Holdfast:
        """Start the server of a place and wait until it is healthy, as an operator does."""
        server = self.cluster.start(
            port=self.ports[place], trusted_proxies="127.0.0.1", inline_worker=False, environment="production"
        )
        return await asyncio.to_thread(server.ready)


@contextmanager
def proxied(deployment: Deployment, folder: Path) -> Iterator[None]:
    with nginx.running(folder, nginx.placed(folder, deployment.port, deployment.ports)):
        yield


@pytest.mark.timeout(90)
@pytest.mark.feature("S0.24", "S3.31", "S3.54")
async def test_servers_behind_a_proxy_are_restarted_in_turn_and_no_request_fails(
    cluster: Cluster, fresh_folder: Path
) -> None:
    deployment = Deployment(cluster)
    servers = list(await asyncio.gather(deployment.start(0), deployment.start(1)))
    departures = [await cluster.departure() for _ in range(2)]
    watchers = [Watcher(departure) for departure in departures for _ in range(2)]
    staff = (await cluster.sign_in("staff"))["accessToken"]
    log = LogReader(cluster, departures[0]["resource"]["organization"]["id"], staff)
    buyers = Buyers(cluster, departures, lambda: deployment.url)
    strangers = Strangers(deployment.url)
    with proxied(deployment, fresh_folder):
        async with faithfully(deployment.url, watchers, log) as faithful:
            calling = asyncio.create_task(strangers.call())
            await buyers.start(3)
            for place, server in enumerate(servers):
                answered = buyers.answers
                await eventually(lambda: buyers.answers > answered + 20)  # noqa: B023 - awaited at once
                server.interrupt()
                assert await asyncio.to_thread(server.ended) == 0
                servers[place] = await deployment.start(place)
            answered, asked = buyers.answers, strangers.answers
            await eventually(lambda: buyers.answers > answered + 20 and strangers.answers > asked + 20)
            await buyers.stop()
            assert not calling.done()
            calling.cancel()
            await all_agree(cluster, watchers, log)
    assert buyers.failures == Counter()
    assert faithful.returns, "somebody was at a server that went away"
    assert {watcher.told.count("SeatSnapshot") for watcher in watchers} == {1}
    await must_be_in_the_tables(buyers)


@pytest.mark.feature("S3.31")
async def test_streams_pass_the_proxy_as_they_come_and_figures_stay_inside(
    cluster: Cluster, fresh_folder: Path
) -> None:
    deployment = Deployment(cluster, ports=(_port_of(cluster.a), _port_of(cluster.b)))
    departure = await cluster.departure()
    target = {"bestAvailable": {"scheduleId": departure["id"], "count": 1}}
    with proxied(deployment, fresh_folder):
        async with (
            GraphQLHttp(deployment.url) as http,
            http.stream(documents.WATCH, {"target": {"scheduleId": departure["id"]}}) as stream,
        ):
            assert (await stream.next())["data"]["seatChanges"]["__typename"] == "SeatSnapshot"
            await field_of(http.run(documents.RESERVE, {"target": target}))
            assert (await stream.next())["data"]["seatChanges"]["__typename"] == "SeatDelta"
            hidden = await http.client.get(deployment.url.replace("/graphql", "/metrics"))
            assert hidden.status_code == 404
        own = deployment.url.removesuffix("/graphql")
        async with await GraphQLSocket.connect(deployment.url, origin=own):
            pass  # a page of our own may open a socket: the proxy hands on which host was asked


@pytest.mark.feature("S0.7")
async def test_the_older_paths_and_artefacts_pass_the_proxy(cluster: Cluster, fresh_folder: Path) -> None:
    deployment = Deployment(cluster, ports=(_port_of(cluster.a), _port_of(cluster.b)))
    place = f"http://127.0.0.1:{deployment.port}"
    headers = {"authorization": f"Bearer {(await cluster.person()).token}"}
    with proxied(deployment, fresh_folder):
        async with httpx2.AsyncClient(base_url=place, headers=headers, trust_env=False) as client:
            assert (await client.get("/health")).json() == {"status": "healthy"}
            assert (await client.get("/api/v1/booking/status")).json() == {"jobs": []}
            refused = await client.post("/api/v1/booking/stop", json={"job_id": "none"})
            assert (refused.status_code, refused.json()["field"]) == (404, "job_id")
            forged = await client.get("/artifacts/job/file.jpg?expires=1&signature=none")
            assert (forged.status_code, forged.headers["x-content-type-options"]) == (404, "nosniff")
        socket = place.replace("http", "ws") + "/ws/none"
        async with connect(socket, additional_headers=headers, proxy=None) as connection:
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 4404, "it came through, and there is no such job"


@pytest.mark.feature("S2.35")
async def test_the_proxy_takes_tls_alone_as_the_papers_say(cluster: Cluster, fresh_folder: Path) -> None:
    papers = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    lines = papers.partition("<!-- tls -->\n")[2].partition("```nginx\n")[2].partition("```")[0]
    deployment = Deployment(cluster, ports=(_port_of(cluster.a), _port_of(cluster.b)))
    certificate, key = self_signed(fresh_folder)
    text = nginx.placed(fresh_folder, deployment.port, deployment.ports)
    lines = lines.replace("listen 8443", f"listen 127.0.0.1:{deployment.port}")
    lines = lines.replace("/etc/nginx/tls/fullchain.pem", str(certificate))
    lines = lines.replace("/etc/nginx/tls/privkey.pem", str(key))
    trust = ssl.create_default_context(cafile=str(certificate))
    with nginx.running(fresh_folder, text.replace(f"listen 127.0.0.1:{deployment.port};", lines)):
        address = f"https://localhost:{deployment.port}/graphql"
        async with httpx2.AsyncClient(verify=trust, trust_env=False) as client:
            answer = await client.post(address, json={"query": documents.SERVER})
            assert answer.json()["data"]["server"]["version"]
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        async with await GraphQLSocket.connect(address, ssl=trust):
            pass


def _port_of(server: Holdfast) -> int:
    return int(server.address.rpartition(":")[2])
