"""What one caller and one peer may have on sockets: at the limit all is well, one above it is refused and told why."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from domain.viewer import Viewer
from holdfast.transport.callers import Callers, caller_of
from holdfast.transport.socket_protocol import SocketProtocol
from tests.clients import Closed, Completed, Failed, GraphQLHttp, GraphQLSocket
from tests.holdfast.transport.conftest import LIMITS, Site, serving
from tests.holdfast.transport.test_socket import QUIET, subscribe
from tests.holdfast.transport.toy import until

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
PING = b"\x89\x80" + bytes(4)
FIRST, MORE, LAST = (bytes([head, 0x80]) + bytes(4) for head in (0x01, 0x00, 0x80))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def at_the_beginning_of_a_second() -> None:
    """What is counted by the second is counted in one."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1 - loop.time() % 1 if loop.time() % 1 > 0.5 else 0)


async def refused(opening: Callable[[], Any]) -> Closed:
    """How the server closes a socket that it does not want."""
    with pytest.raises(Closed) as closed:
        async with await opening() as socket:
            raise await socket.closed()
    return closed.value


@pytest.mark.feature("S3.43", "S4.52")
async def test_one_socket_above_the_limit_of_an_address_is_refused() -> None:
    async with serving(limits=replace(LIMITS, sockets_per_address=3)) as site:
        async with AsyncExitStack() as sockets:
            for _ in range(3):
                await sockets.enter_async_context(await site.socket())
            closed = await refused(site.socket)
            assert closed.code == 1008
            assert closed.reason == "At most 3 sockets from one address; close one first"
        await site.connections_gone()
        async with await site.socket() as socket:
            assert "data" in await socket.run("{hello}")
        assert site.transport.refused["TOO_MANY_SOCKETS"] == 1


@pytest.mark.feature("S3.43")
async def test_one_socket_above_the_limit_of_an_account_is_refused_and_others_are_not() -> None:
    async with serving(limits=replace(LIMITS, sockets_per_account=2)) as site:
        ada, bob = site.tokens.new(site.tokens.ada), site.tokens.new(site.tokens.bob)
        async with await site.socket(ada) as first, await site.socket(ada):
            closed = await refused(lambda: site.socket(ada))
            assert closed.code == 1008
            assert closed.reason == "At most 2 sockets for one account; close one first"
            async with await site.socket(bob), await site.socket():
                pass
            await first.connection.close()
            await until(lambda: site.transport.figures.sockets == 1)
            async with await site.socket(ada):
                pass


@pytest.mark.feature("S3.43")
async def test_one_subscription_above_the_limit_of_a_caller_is_refused_over_all_connections() -> None:
    async with (
        serving(limits=replace(LIMITS, subscriptions_per_caller=3)) as site,
        await site.socket() as one,
        await site.socket() as another,
        await site.socket(site.tokens.new(site.tokens.ada)) as somebody_else,
        GraphQLHttp(site.url) as http,
    ):
        number = await one.subscribe("subscription{number{value}}")
        async with http.stream(QUIET) as stream:
            assert await stream.next()
            assert await (await another.subscribe(QUIET)).next()
            for socket in one, another:
                with pytest.raises(Failed) as failed:
                    await (await socket.subscribe(QUIET)).next()
                assert failed.value.errors[0] == {
                    "message": "At most 3 subscriptions at a time for one caller, of which a long one is several: "
                    "complete one.",
                    "extensions": {"code": "TOO_MANY_SUBSCRIPTIONS", "limit": 3},
                }
            async with http.stream(QUIET) as other:
                assert (await other.next())["errors"][0]["extensions"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
                with pytest.raises(Completed):
                    await other.next()
            assert "data" in await one.run("{hello}")
            assert await (await somebody_else.subscribe(QUIET)).next()
        await until(lambda: site.transport.figures.subscriptions == 3)
        assert await (await one.subscribe(QUIET)).next()
        await number.complete()
        await until(lambda: site.transport.figures.subscriptions == 3)
        assert await (await one.subscribe(QUIET)).next()


async def test_a_long_subscription_counts_as_several() -> None:
    async with (
        serving(limits=replace(LIMITS, subscriptions_per_caller=5)) as site,
        await site.socket() as socket,
        GraphQLHttp(site.url) as http,
    ):
        long = await socket.subscribe(QUIET, {"unasked for": "x" * 3_000})
        assert await long.next()
        with pytest.raises(Failed):
            await (await socket.subscribe(QUIET + "#" * 3_000)).next()
        async with http.stream(QUIET, {"unasked for": "x" * 3_000}) as stream:
            assert (await stream.next())["errors"][0]["extensions"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
        await long.complete()
        await until(lambda: not site.transport.figures.subscriptions)
        assert await (await socket.subscribe(QUIET + "#" * 3_000)).next()


async def test_a_count_ends_with_what_is_counted() -> None:
    callers = Callers(2)
    assert [callers.enter("one") for _ in range(3)] == [True, True, False]
    assert callers.enter("other")
    callers.leave("one")
    assert callers.enter("one")
    for caller in "one", "one", "other":
        callers.leave(caller)
    assert not callers._having


async def test_guests_of_one_network_are_one_caller_and_an_account_is_one_anywhere() -> None:
    site_of = {
        address: caller_of(Viewer(address, "-")) for address in ("192.0.2.1", "2001:db8::1", "2001:db8::2")
    }
    assert site_of["2001:db8::1"] == site_of["2001:db8::2"] != site_of["192.0.2.1"]


@pytest.mark.feature("S4.52")
async def test_one_message_a_second_above_the_limit_closes_the_socket() -> None:
    async with serving(limits=replace(LIMITS, messages_per_second=10)) as site:
        async with await GraphQLSocket.open(site.url) as socket:
            for _ in range(10):
                await socket.send({"type": "ping"})
            for _ in range(10):
                assert await socket.answer() == {"type": "pong"}
            await socket.send({"type": "ping"})
            closed = await socket.closed()
        assert (closed.code, closed.reason) == (1008, "More than 10 messages in a second")


async def frames(site: Site, sent: bytes) -> bytes:
    """What the server answers to frames on a fresh socket, up to its close frame if there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:  # it was closed with much of ours unread
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.feature("S4.52")
async def test_one_frame_a_second_above_the_limit_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SocketProtocol, "frames_per_second", 50)
    async with serving() as site:
        answers = await frames(site, PING * 49)
        assert answers.startswith(b"\x8a\x00" * 49)
        assert b"\x03\xf0" not in answers[98:102]  # not 1008, but 4408: nobody initialised
        answers = await frames(site, PING * 60)
        assert answers.endswith(b"\x03\xf0More than 50 frames in a second")


@pytest.mark.feature("S4.52")
async def test_a_flood_of_tiny_frames_costs_milliseconds(site: Site) -> None:
    spent = []
    for _ in range(3):
        begun = time.process_time()
        answers = await frames(site, PING * 100_000)
        assert b"More than 1000 frames in a second" in answers or answers == b""
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.02


@pytest.mark.feature("S4.52")
async def test_one_fragment_above_the_limit_closes_the_socket(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.connection.send(itertools.chain(['{"type": "ping"}'], [""] * 126))
        assert await socket.answer() == {"type": "pong"}
    answers = await frames(site, FIRST + MORE * 128 + LAST)
    assert answers.endswith(b"\x03\xf0More than 128 frames in a message")


@pytest.mark.parametrize(
    "message",
    [
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"type": "ping", "payload": ' + "9" * 5_000 + "}",
        '{"type": "subscribe", "id": "1", "payload": {"query": "' + "{a" * 30_000 + '"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "' + "a" * 60_000 + '"}}',
        subscribe(payload={"query": "{" + " ".join(f"a{n}: hello" for n in range(3_000)) + "}"}),
        subscribe(payload={"query": "{...a} fragment a on Query{...b} fragment b on Query{...a}"}),
        b"\x00" * 60_000,
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_a_hostile_message_costs_is_bounded(
    site: Site, caplog: pytest.LogCaptureFixture, message: Any
) -> None:
    """An answer or a close in under 50 ms of processor time, and no traceback."""
    spent = []
    for _ in range(3):  # the collector of garbage may come by in one of them
        async with await site.socket() as socket:
            begun = time.process_time()
            await socket.send(message)
            spent.append(await answered(socket) - begun)
    assert min(spent) < 0.05
    assert not [record for record in caplog.records if record.exc_info]


async def answered(socket: GraphQLSocket) -> float:
    """The processor time at which a socket is closed, or an operation refused."""
    refusal = asyncio.ensure_future(socket.control.get())
    closed = asyncio.ensure_future(socket.closed())
    await asyncio.wait({refusal, closed}, return_when=asyncio.FIRST_COMPLETED)
    now = time.process_time()
    assert closed.done() or refusal.result()["type"] == "error"
    for waiting in refusal, closed:
        waiting.cancel()
    return now
