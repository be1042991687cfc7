"""The whole house behind a port: no way to guess passwords faster, and who leaves takes nothing along."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvicorn

from holdfast.transport.http_protocol import ConnectionLimits, limited
from holdfast.transport.server import Server
from holdfast.transport.socket_protocol import SocketProtocol
from holdfast.web import make_web
from tests.clients import GraphQLHttp, GraphQLSocket
from tests.processes import eventually
from tests.world import World

EMAIL, PASSWORD = "ada@example.org", "a heron flies over the lake"
REGISTER = "mutation($input: RegisterInput!){register(input: $input){__typename}}"
LOGIN = "mutation($input: LoginInput!){login(input: $input){__typename}}"
SLOW = "query($id: ID!){schedule(id: $id){id counts{available} seats{seat{label} status}}}"
TRIES = 6
"""Five that cost nothing, and the one after which the account is blocked."""


@dataclass
class House:
    """One process' parts, served."""

    world: World
    url: str
    server: Server


@asynccontextmanager
async def served(world: World, **settings: Any) -> AsyncIterator[House]:
    web = make_web(replace(world.app, settings=world.app.settings.model_copy(update=settings)))
    config = uvicorn.Config(
        web.asgi,
        port=0,
        http=limited(ConnectionLimits(), web.transport.refused),
        ws=SocketProtocol,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    server = Server(config, web.transport.drain)
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield House(world, f"http://127.0.0.1:{port}/graphql", server)
    finally:
        server.should_exit = True
        await running
        await web.watch.close()


@pytest.fixture
async def house(world: World) -> AsyncIterator[House]:
    async with served(world) as house:
        yield house


@pytest.fixture
def compared(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were looked at."""
    hasher, seen = world.app.identity.hasher, list[str]()
    verify = hasher.verify

    async def counted(password_hash: str | None, password: str) -> bool:
        seen.append(password)
        return await verify(password_hash, password)

    monkeypatch.setattr(hasher, "verify", counted)
    return seen


def guess(number: int) -> dict[str, Any]:
    return {"input": {"email": EMAIL, "password": f"guess {number}"}}


@pytest.mark.feature("S3.51")
async def test_requests_at_once_look_at_no_more_passwords_than_one_after_the_other(
    house: House, compared: list[str]
) -> None:
    async with GraphQLHttp(house.url) as http:
        await http.run(REGISTER, {"input": {"email": EMAIL, "password": PASSWORD}})
        results = await asyncio.gather(*(http.run(LOGIN, guess(number)) for number in range(60)))
    assert len(compared) == TRIES
    codes = Counter(result["errors"][0]["extensions"]["code"] for result in results if "errors" in result)
    assert codes == {"RATE_LIMITED": 60 - TRIES}


async def test_aliases_look_at_no_more_passwords_than_requests(house: House, compared: list[str]) -> None:
    def aliases(count: int) -> str:
        one = 'g%d: login(input: {email: "%s", password: "guess %d"}) {__typename}'
        return "mutation {" + " ".join(one % (number, EMAIL, number) for number in range(count)) + "}"

    async with GraphQLHttp(house.url) as http:
        await http.run(REGISTER, {"input": {"email": EMAIL, "password": PASSWORD}})
        refused = await http.run(aliases(30))
        assert refused["errors"][0]["extensions"]["code"] == "TOO_COMPLEX"
        assert not compared
        for _ in range(10):
            await http.run(aliases(4))
    assert len(compared) == TRIES


async def test_a_batch_looks_at_no_password(house: House, compared: list[str]) -> None:
    async with GraphQLHttp(house.url) as http:
        batch = [{"query": LOGIN, "variables": guess(number)} for number in range(20)]
        response = await http.client.post(house.url, json=batch)
    assert response.status_code == 400
    assert not compared


async def test_a_socket_looks_at_no_more_passwords_than_requests(house: House, compared: list[str]) -> None:
    async with GraphQLHttp(house.url) as http:
        await http.run(REGISTER, {"input": {"email": EMAIL, "password": PASSWORD}})
    async with await GraphQLSocket.connect(house.url) as socket:
        operations = [await socket.subscribe(LOGIN, guess(number)) for number in range(40)]
        await asyncio.gather(*(operation.next() for operation in operations))
    assert len(compared) == TRIES


async def test_who_leaves_in_the_middle_costs_no_connection_and_gives_nobody_their_answer(
    house: House,
) -> None:
    world, pool = house.world, house.world.app.pool
    departures = [await world.departure() for _ in range(4)]
    body = [
        json.dumps({"query": SLOW, "variables": {"id": departure.id}}).encode() for departure in departures
    ]
    _, port = house.url.removeprefix("http://").removesuffix("/graphql").split(":")

    async def leave(number: int) -> None:
        """Ask, and go before the answer is there, a little later each time."""
        _, writer = await asyncio.open_connection("127.0.0.1", int(port))
        head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body[number % 4]) + body[number % 4])
        await writer.drain()
        for _ in range(number % 12):
            await asyncio.sleep(0)
        writer.transport.abort()

    async def stay(http: GraphQLHttp, number: int) -> None:
        mine = departures[number % 4].id
        assert (await http.run(SLOW, {"id": mine}))["data"]["schedule"]["id"] == mine

    async with GraphQLHttp(house.url) as http:
        for turn in range(8):
            await asyncio.gather(
                *(leave(turn * 40 + number) for number in range(40)),
                *(stay(http, number) for number in range(10)),
            )
        await eventually(lambda: len(house.server.server_state.tasks) == 0)
        await eventually(lambda: pool.get_idle_size() == pool.get_size())
        most = pool.get_max_size()
        held = [await asyncio.wait_for(pool.acquire(), 5) for _ in range(most)]
        assert len({id(connection) for connection in held}) == most
        for connection in held:
            await pool.release(connection)
        await asyncio.gather(*(stay(http, number) for number in range(20)))


async def test_a_query_that_takes_too_long_gives_its_connection_back(world: World) -> None:
    departure = await world.departure()
    async with served(world, operation_seconds=0.3) as house, GraphQLHttp(house.url) as http:
        async with world.tables.acquire() as locker, locker.transaction():
            await locker.execute("LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE")
            results = await asyncio.gather(*(http.post(SLOW, {"id": departure.id}) for _ in range(5)))
            await eventually(lambda: world.app.pool.get_idle_size() == world.app.pool.get_size())
        assert [response.status_code for response in results] == [504] * 5
        assert {response.json()["errors"][0]["extensions"]["code"] for response in results} == {"TIMED_OUT"}
        assert (await http.run(SLOW, {"id": departure.id}))["data"]["schedule"]["id"] == departure.id


async def test_in_production_a_stranger_learns_nothing_of_the_schema(world: World) -> None:
    asked = "{__schema{queryType{name}}}"
    async with served(world, environment="production") as house, GraphQLHttp(house.url) as http:
        assert (await http.run(asked))["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "Did you mean" not in (await http.post("{viewr{id}}")).text
        await http.run(REGISTER, {"input": {"email": EMAIL, "password": PASSWORD}})
        login = "mutation($input: LoginInput!){login(input: $input){... on Session{accessToken}}}"
        session = await http.run(login, {"input": {"email": EMAIL, "password": PASSWORD}})
        token = session["data"]["login"]["accessToken"]
        assert (await http.run(asked, token=token))["data"] == {"__schema": {"queryType": {"name": "Query"}}}
        assert "Did you mean" not in (await http.post("{viewr{id}}", token=token)).text
    async with served(world) as house, GraphQLHttp(house.url) as http:
        assert "data" in await http.run(asked)
        assert "Did you mean" in (await http.post("{viewr{id}}")).text
