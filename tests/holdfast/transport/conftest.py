"""The toy house behind a real uvicorn on a loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from domain.rates import Rates
from domain.viewer import Viewer
from holdfast.transport import Limits, Transport, TrustedDocuments
from holdfast.transport.http_protocol import ConnectionLimits, limited
from holdfast.transport.server import Server
from holdfast.transport.socket_protocol import SocketProtocol
from schema.executor import Executor
from tests.clients import GraphQLHttp, GraphQLSocket
from tests.holdfast.transport.toy import Context, House, Sessions, Tokens, toy_schema, until

LIMITS = Limits(initialisation=0.3, send=0.4, close=0.2, heartbeat=0.2, operations_per_socket=5)


@dataclass
class Site:
    """A running server and everything behind it."""

    url: str
    house: House
    sessions: Sessions
    tokens: Tokens
    transport: Transport
    server: Server

    @property
    def port(self) -> int:
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    async def socket(self, token: str | None = None) -> GraphQLSocket:
        return await GraphQLSocket.connect(self.url, token)

    async def connections_gone(self) -> None:
        await until(lambda: not self.server.server_state.connections)


async def _page(_: Request) -> Response:
    return HTMLResponse("<title>GraphiQL</title>")


def _signed_in(viewer: Viewer) -> bool:
    return viewer.signed_in


@asynccontextmanager
async def serving(
    may_introspect: Callable[[Viewer], bool] = _signed_in,
    *,
    limits: Limits = LIMITS,
    rates: Rates | None = None,
    connection: ConnectionLimits | None = None,
    trusted: TrustedDocuments | None = None,
) -> AsyncIterator[Site]:
    house, sessions, tokens = House(), Sessions(), Tokens()
    transport = Transport(
        Executor(toy_schema()),
        tokens.authenticate,
        lambda viewer: Context(viewer, house),
        sessions,
        may_introspect=may_introspect,
        allowed_origins=["https://friend.example"],
        page=_page,
        limits=limits,
        rates=rates,
        trusted=trusted,
    )
    config = uvicorn.Config(
        Starlette(routes=transport.routes()),
        port=0,
        http=limited(connection or ConnectionLimits(), transport.refused),
        ws=SocketProtocol,
        ws_per_message_deflate=False,
        ws_max_size=LIMITS.message,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=1,
    )
    server = Server(config, transport.drain)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.wait({running}, timeout=0.01)
        assert not running.done(), running
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Site(f"http://127.0.0.1:{port}/graphql", house, sessions, tokens, transport, server)
    finally:
        house.gate.set()
        server.should_exit = True
        await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def site(shared_site: Site) -> Site:
    """One server a module; each test begins with nothing counted and the gate shut."""
    shared_site.house.forget()
    shared_site.tokens.failure = None
    return shared_site


@pytest_asyncio.fixture(loop_scope="module")
async def http(site: Site) -> AsyncIterator[GraphQLHttp]:
    async with GraphQLHttp(site.url) as client:
        yield client
