"""Peers that dawdle, flood or garble: told so where that can be said, let go, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import pytest
import pytest_asyncio

from holdfast.transport.http_protocol import ConnectionLimits
from tests.clients import GraphQLHttp, GraphQLSocket
from tests.holdfast.transport.conftest import Site, serving
from tests.holdfast.transport.toy import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = ConnectionLimits(head=0.4, body=0.4, head_bytes=2_048, body_bytes=256 * 1024, pieces=50)
HEAD = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"query": "{hello}"}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict() -> AsyncIterator[Site]:
    async with serving(connection=LIMITS) as site:
        yield site


class Peer:
    """A connection whose bytes are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, site: Site) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", site.port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, Any]:
        """Status and body of the next answer; (0, None) where there is none."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            (length,) = (int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def code(self) -> tuple[int, str]:
        status, body = await self.answer()
        return status, body["errors"][0]["extensions"]["code"]

    async def closed(self) -> bytes:
        """What still comes until the server closes; it must."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()


async def test_a_head_that_does_not_come_in_time_is_refused(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(HEAD)
        assert await peer.code() == (408, "REQUEST_TIMEOUT")
        assert await peer.closed() == b""
    assert strict.transport.refused["REQUEST_TIMEOUT"]


async def test_a_head_a_byte_at_a_time_gains_no_time(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        answering = asyncio.create_task(peer.code())
        for byte in WHOLE:
            peer.send(bytes([byte]))
            await asyncio.wait({answering}, timeout=0.02)
            if answering.done():
                break
        assert await answering == (408, "REQUEST_TIMEOUT")


async def test_who_says_nothing_is_let_go_without_a_word(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        assert await peer.closed() == b""


async def test_a_body_that_does_not_come_in_time_is_refused(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(HEAD + b"content-length: 100\r\n\r\n{")
        assert await peer.code() == (408, "REQUEST_TIMEOUT")
        assert await peer.closed() == b""


async def test_line_ends_keep_no_connection_open(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(WHOLE)
        assert (await peer.answer())[0] == 200
        closed = asyncio.create_task(peer.closed())
        async with asyncio.timeout(3):
            while not closed.done():
                peer.send(b"\r\n")
                await asyncio.wait({closed}, timeout=0.05)


async def test_the_second_request_of_a_connection_has_its_own_time(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        for _ in range(3):
            peer.send(WHOLE)
            assert (await peer.answer())[0] == 200
        peer.send(HEAD)
        assert await peer.code() == (408, "REQUEST_TIMEOUT")


async def test_a_slow_answer_is_no_slow_request(strict: Site) -> None:
    slow = b'{"query": "{slow}"}'
    strict.house.forget()
    async with await Peer.to(strict) as peer:
        peer.send(HEAD + b"content-length: %d\r\n\r\n" % len(slow) + slow)
        await strict.house.reached("slow started")
        async with await Peer.to(strict) as other:
            assert await other.closed() == b""  # so the time for a head is over
        strict.house.gate.set()
        assert (await peer.answer())[1]["data"] == {"slow": "done"}


async def test_a_socket_outlives_the_time_of_a_head(strict: Site) -> None:
    async with await GraphQLSocket.connect(strict.url) as socket:
        async with await Peer.to(strict) as other:
            assert await other.closed() == b""
        assert (await socket.run("{hello}"))["data"]


async def test_a_head_may_be_as_long_as_the_limit_and_no_longer(strict: Site) -> None:
    def request(length: int) -> bytes:
        lines = [
            (b"host", b"x"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(BODY)),
        ]
        left = length - len(b"/graphql") - sum(len(name) + len(value) + 4 for name, value in lines) - 5
        head = b"".join(b"%b: %b\r\n" % line for line in (*lines, (b"x", b"y" * left)))
        return b"POST /graphql HTTP/1.1\r\n" + head + b"\r\n" + BODY

    async with await Peer.to(strict) as peer:
        peer.send(request(LIMITS.head_bytes))
        assert (await peer.answer())[0] == 200
        peer.send(request(LIMITS.head_bytes + 1))
        assert await peer.code() == (431, "HEAD_TOO_LARGE")
        assert await peer.closed() == b""


@pytest.mark.parametrize(
    "head", [b"GET /" + b"x" * 70_000, HEAD + b"x: " + b"y" * 70_000, HEAD + b"x: y\r\n" * 9_000]
)
async def test_a_head_without_end_is_cut_off(strict: Site, head: bytes) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(head)
        assert await peer.code() == (431, "HEAD_TOO_LARGE")


async def test_a_body_may_come_in_so_many_pieces_and_no_more(strict: Site) -> None:
    def chunked(pieces: int) -> bytes:
        chunks = b"".join(b"1\r\n \r\n" for _ in range(pieces - 1))
        return (
            HEAD
            + b"transfer-encoding: chunked\r\n\r\n"
            + chunks
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
        )

    async with await Peer.to(strict) as peer:
        peer.send(chunked(LIMITS.pieces))
        assert (await peer.answer())[0] == 200
        peer.send(chunked(LIMITS.pieces + 1))
        assert await peer.code() == (413, "PAYLOAD_TOO_LARGE")


async def test_the_frames_of_chunks_count_too(strict: Site) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(HEAD + b"transfer-encoding: chunked\r\n\r\n1;x=" + b"y" * 800_000)
        assert await peer.code() == (413, "PAYLOAD_TOO_LARGE")


async def test_what_follows_an_answer_that_came_early_is_not_read_for_ever(strict: Site) -> None:
    """A caller who is turned away before the body has come is not answered twice, and not listened to for long."""
    strict.tokens.failure = None
    async with await Peer.to(strict) as peer:
        peer.send(HEAD + b"authorization: Bearer nonsense\r\ncontent-length: 1000\r\n\r\n")
        assert (await peer.code()) == (401, "UNAUTHENTICATED")
        assert await peer.closed() == b""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: x\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: " + b"9" * 1_500 + b"\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: nonsense\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\n",
        HEAD + b"a b: c\r\n\r\n",
        HEAD + b"\x00: c\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\n\r\n",
        b"POST /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_clean_refusal(
    strict: Site, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with await Peer.to(strict) as peer:
        peer.send(garbage)
        status, _ = await peer.answer()
        assert 400 <= status < 500
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.feature("S4.52")
async def test_fifteen_hundred_slow_connections_are_noticed_by_nobody() -> None:
    async with (
        AsyncExitStack() as stack,
        serving(connection=ConnectionLimits(head=3)) as site,
        GraphQLHttp(site.url) as http,
    ):
        peers = [await stack.enter_async_context(await Peer.to(site)) for _ in range(1_500)]
        for peer in peers:
            peer.send(HEAD[:20])
        await until(lambda: len(site.server.server_state.connections) >= 1_500)
        costs = []
        for number in range(30):
            for peer in peers:
                peer.send(HEAD[20 + number : 21 + number])
            begun = time.process_time()
            assert (await http.run("{hello}"))["data"] == {"hello": "hello world"}
            costs.append(time.process_time() - begun)
        assert median(costs) < 0.15  # most of it our own: 1,500 bytes sent and received
        await until(lambda: len(site.server.server_state.connections) <= 1)
