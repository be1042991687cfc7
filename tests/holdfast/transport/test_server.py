"""A server that stops answers everybody who had come in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from holdfast.listening import listening
from holdfast.settings import Settings
from holdfast.transport.http_protocol import HttpProtocol
from holdfast.transport.server import Server
from tests.processes import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class Stop:
    """A server in this process, whose stop can be watched."""

    def __init__(self, listens: socket.socket, *, alone: bool) -> None:
        config = uvicorn.Config(
            PlainTextResponse("hello"),
            http=HttpProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=2,
        )
        self.server = Server(config, self._drained, alone=alone)
        self.listens = listens
        self.running = asyncio.create_task(self.server.serve(sockets=[listens]))
        self.drained = asyncio.Event()

    async def _drained(self) -> None:
        self.drained.set()

    def connect(self, stack: ExitStack) -> socket.socket:
        """Connect behind the loop's back: nobody accepts before we await something."""
        return stack.enter_context(socket.create_connection(self.listens.getsockname()))


@asynccontextmanager
async def served(*, alone: bool) -> AsyncIterator[Stop]:
    with listening(Settings(port=0), 1) as (listens,):
        stop = Stop(listens, alone=alone)
        await eventually(lambda: stop.server.started)
        yield stop
        await asyncio.wait([stop.running], timeout=5)
        assert stop.running.done()


async def answer(client: socket.socket) -> bytes:
    """The head of what it is told; empty when the server has hung up."""
    client.setblocking(False)
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(client, 4096)


async def test_who_waits_to_be_accepted_when_a_server_stops_is_answered() -> None:
    async with served(alone=True) as stop:
        with ExitStack() as stack:
            clients = [stop.connect(stack) for _ in range(20)]
            for client in clients:
                client.sendall(REQUEST)
            stop.running.cancel()
            stopping = asyncio.create_task(stop.server.shutdown([stop.listens]))
            answers = [await answer(client) for client in clients]
            await stopping
    assert all(each.startswith(b"HTTP/1.1 200") for each in answers)


async def test_a_server_that_is_replaced_answers_a_last_request_of_each_connection() -> None:
    async with served(alone=False) as stop:
        with ExitStack() as stack:
            busy, idle = stop.connect(stack), stop.connect(stack)
            for client in (busy, idle):
                client.sendall(REQUEST)
                assert b"connection: close" not in await answer(client)
            stop.server.retire()
            await stop.drained.wait()
            await asyncio.sleep(0)
            busy.sendall(REQUEST)
            last = await answer(busy)
            assert last.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in last
            assert await answer(busy) == b""
            assert await answer(idle) == b"", "it was idle for as long as a connection may"


@pytest.mark.parametrize("alone", [True, False])
async def test_a_stop_waits_for_no_idle_connection(*, alone: bool) -> None:
    async with served(alone=alone) as stop:
        with ExitStack() as stack:
            idle = stop.connect(stack)
            idle.sendall(REQUEST)
            await answer(idle)
            stop.server.should_exit = True
            async with asyncio.timeout(1):
                assert await answer(idle) == b""
