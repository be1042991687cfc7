"""Those who are told the same are told together: once executed, once written, nothing twice and nothing left out."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psutil
import pytest
import pytest_asyncio

from holdfast.transport import multicast
from holdfast.transport.figures import Figures
from holdfast.transport.multicast import Group, Message, Multicast
from schema.sharing import Shared
from tests.clients import Subscription
from tests.holdfast.transport.conftest import Site, serving
from tests.holdfast.transport.toy import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBER = 'subscription($size: Int, $of: String! = "all"){number(of: $of){value text(size: $size)}}'
WATCHERS = 40


@pytest_asyncio.fixture(loop_scope="module")
async def sockets() -> AsyncIterator[AsyncExitStack]:
    """Closed at the end of a test."""
    async with AsyncExitStack() as stack:
        yield stack


async def watching(site: Site, sockets: AsyncExitStack, **variables: Any) -> Subscription:
    """One more watcher on a socket of its own, who has been told the number as it is."""
    client = await sockets.enter_async_context(await site.socket())
    watch = await client.subscribe(NUMBER, variables)
    await watch.next()
    return watch


async def value(watch: Subscription) -> int:
    """What a watcher is told next."""
    return int((await watch.next())["data"]["number"]["value"])


async def grouped(site: Site, count: int, groups: int = 1) -> None:
    """Wait until so many watch, and all of them in groups: no task of theirs is left."""
    figures = site.transport.figures
    await until(lambda: (figures.subscriptions, figures.groups) == (count, groups))
    await until(lambda: site.house.counts["number closed"] == count - groups)


async def test_one_change_is_executed_once_for_all_who_watch(site: Site, sockets: AsyncExitStack) -> None:
    watches = [await watching(site, sockets) for _ in range(WATCHERS)]
    await grouped(site, WATCHERS)
    site.house.counts["number executed"] = 0
    for number in 1, 2, 3:
        await site.house.set(number)
        assert [await value(watch) for watch in watches] == [number] * WATCHERS
    assert site.house.counts["number executed"] == 3
    assert site.transport.figures.results >= 4 * WATCHERS


async def test_a_watcher_who_waits_is_no_task(site: Site, sockets: AsyncExitStack) -> None:
    client = await sockets.enter_async_context(await site.socket())
    await (await client.subscribe(NUMBER)).next()
    await grouped(site, 1)
    before = len(asyncio.all_tasks())
    for _ in range(4):
        await (await client.subscribe(NUMBER)).next()
    await grouped(site, 5)
    assert len(asyncio.all_tasks()) == before


async def test_another_selection_or_another_source_is_another_group(
    site: Site, sockets: AsyncExitStack
) -> None:
    asked: list[dict[str, Any]] = [{}, {"size": 5}, {"size": 5, "of": "few"}, {"size": 5}]
    watches = [await watching(site, sockets, **variables) for variables in asked]
    await grouped(site, 4, groups=3)
    await site.house.set(1)
    told = [(await watch.next())["data"]["number"]["text"] for watch in watches]
    assert told == ["x", "xxxxx", "xxxxx", "xxxxx"]


async def test_a_variable_of_the_root_field_alone_keeps_nobody_apart(
    site: Site, sockets: AsyncExitStack
) -> None:
    """A cursor, for instance: all who have caught up are told the same."""
    document = "subscription($since: Int!, $size: Int){number(since: $since){value text(size: $size)}}"
    client = await sockets.enter_async_context(await site.socket())
    for since in 1, 2, 3:
        await (await client.subscribe(document, {"since": since, "size": 1})).next()
    await grouped(site, 3)


class Listener:
    """A member that writes down what it takes, as long as it takes anything."""

    request_id = "-"
    group: Group | None = None
    place: Any = None

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.stepped_out_at: list[int] = []
        self.takes = True

    def take(self, message: Message) -> bool:
        if self.takes:
            self.heard.append(int(message.under("", lambda written, _: written)))
        return self.takes

    def step_out(self) -> None:
        self.stepped_out_at.append(self.place)


async def source(*places: int, closed: list[str], name: str = "") -> AsyncGenerator[Any, None]:
    """What tells each place as its own number."""
    try:
        for place in places:
            yield Shared("channel", place, place)
            await asyncio.sleep(0)
        yield {"data": "for one alone"}
    finally:
        closed.append(name)


async def test_who_stands_behind_is_not_let_in_and_who_stands_ahead_is_told_only_what_follows() -> None:
    groups, closed = Multicast(Figures()), list[str]()
    first, behind, ahead, level = (Listener() for _ in range(4))
    theirs = [source(closed=closed, name=name) for name in ("behind", "ahead", "level")]
    assert await groups.join(first, Shared("channel", 5), source(6, 7, 8, closed=closed, name="first"))
    assert not await groups.join(behind, Shared("channel", 4), theirs[0])
    assert await groups.join(ahead, Shared("channel", 7), theirs[1])
    assert await groups.join(level, Shared("channel", 5), theirs[2])
    assert closed == []  # neither has begun, so there was nothing to close
    await until(lambda: bool(first.stepped_out_at))
    assert (first.heard, ahead.heard, level.heard, behind.heard) == ([6, 7, 8], [8], [6, 7, 8], [])
    assert first.stepped_out_at == ahead.stepped_out_at == level.stepped_out_at == [8]
    assert closed == ["first"]
    assert behind.group is first.group is None
    await theirs[0].aclose()


async def test_who_takes_nothing_steps_out_where_it_stands_and_the_others_go_on() -> None:
    groups, closed = Multicast(Figures()), list[str]()
    quick, slow = Listener(), Listener()
    slow.takes = False
    assert await groups.join(quick, Shared("channel", 5), source(6, 7, closed=closed))
    assert await groups.join(slow, Shared("channel", 5), source(closed=closed))
    await until(lambda: bool(quick.stepped_out_at))
    assert (quick.heard, slow.heard) == ([6, 7], [])
    assert (quick.stepped_out_at, slow.stepped_out_at) == ([7], [5])


async def test_who_completes_is_told_no_more_and_the_last_one_ends_the_group(
    site: Site, sockets: AsyncExitStack
) -> None:
    client = await sockets.enter_async_context(await site.socket())
    first, second = [await client.subscribe(NUMBER) for _ in range(2)]
    for watch in first, second:
        await watch.next()
    await grouped(site, 2)
    await first.complete()
    await grouped_after_leaving(site, 1)
    await site.house.set(1)
    assert await value(second) == 1
    assert first.frames.empty()
    await second.complete()
    await until(lambda: site.transport.figures.groups == 0)
    await site.house.reached("number closed", times=2)


async def grouped_after_leaving(site: Site, count: int) -> None:
    await until(lambda: site.transport.figures.subscriptions == count)


async def test_a_socket_that_goes_takes_its_members_along(site: Site) -> None:
    async with AsyncExitStack() as sockets:
        for _ in range(3):
            await watching(site, sockets)
        await grouped(site, 3)
    await until(lambda: site.transport.figures.groups == 0)
    assert site.transport.figures.subscriptions == 0
    assert site.house.counts["number begun"] == site.house.counts["number closed"] == 3


async def test_what_is_not_for_everybody_each_finds_out_alone(site: Site, sockets: AsyncExitStack) -> None:
    watches = [await watching(site, sockets) for _ in range(5)]
    await grouped(site, 5)
    site.house.number_is_own = True
    await site.house.set(1)
    assert [await value(watch) for watch in watches] == [1] * 5
    site.house.number_is_own = False
    await until(lambda: site.house.counts["number begun"] - site.house.counts["number closed"] == 1)
    await site.house.set(2)
    assert [await value(watch) for watch in watches] == [2] * 5
    assert all(watch.frames.empty() for watch in watches)


async def test_who_comes_while_others_are_told_misses_nothing_and_hears_nothing_twice(
    site: Site, sockets: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multicast, "TURN", 1)
    client = await sockets.enter_async_context(await site.socket())
    heard: list[list[int]] = []

    async def watch() -> None:
        subscription = await client.subscribe(NUMBER)
        numbers: list[int] = []
        heard.append(numbers)
        while not numbers or numbers[-1] < 50:
            numbers.append(await value(subscription))
        await subscription.complete()

    async with asyncio.TaskGroup() as watchers:
        for number in range(1, 51):
            if number % 13 == 0:
                watchers.create_task(watch())
            await site.house.set(number)
            await asyncio.sleep(0)
        watchers.create_task(watch())
    assert all(numbers == sorted(set(numbers)) and numbers[-1] == 50 for numbers in heard), heard


async def connected(site: Site, size: int) -> socket.socket:
    """A watcher that has said what it wants, and never reads."""
    loop, peer = asyncio.get_running_loop(), socket.socket()
    peer.setblocking(False)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(peer, ("127.0.0.1", site.port))
    await loop.sock_sendall(
        peer,
        b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
    )
    await loop.sock_recv(peer, 1024)
    payload = {"query": NUMBER, "variables": {"size": size}}
    for message in {"type": "connection_init"}, {"id": "1", "type": "subscribe", "payload": payload}:
        text = json.dumps(message).encode()
        length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        await loop.sock_sendall(peer, b"\x81" + length + bytes(4) + text)
    return peer


async def test_who_does_not_keep_up_is_told_the_newest_when_it_reads_again(site: Site) -> None:
    await site.connections_gone()
    site.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    async with AsyncExitStack() as sockets:
        quick = await watching(site, sockets, size=4000)
        with await connected(site, 4000) as slow:
            await grouped(site, 2)
            for number in range(1, 31):
                await site.house.set(number)
                assert await value(quick) == number
            reader, writer = await asyncio.open_connection(sock=slow)
            received = b""
            while b'"value":30' not in received:
                async with asyncio.timeout(5):
                    received += await reader.read(65536)
            told = [int(part.split(b",")[0]) for part in received.split(b'"value":')[1:]]
            assert told == sorted(set(told))
            assert len(told) < 28
            await until(lambda: site.transport.figures.groups == 1)
            await site.house.set(31)
            while b'"value":31' not in received:
                async with asyncio.timeout(5):
                    received += await reader.read(65536)
            writer.close()


@pytest.mark.feature("S4.60")
async def test_five_hundred_who_never_read_take_no_memory_and_are_dropped() -> None:
    async with serving() as site, await site.socket() as client:
        site.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        quick = await client.subscribe(NUMBER, {"size": 8000})
        await quick.next()
        frozen = [await connected(site, 8000) for _ in range(500)]
        figures, process = site.transport.figures, psutil.Process()
        await until(lambda: figures.subscriptions == 501)
        before, number = process.memory_info().rss, 0
        while figures.dropped < 500:
            number += 1
            await site.house.set(number)
            assert await value(quick) == number
            unsent = [peer.transport.get_write_buffer_size() for peer in site.server.server_state.connections]
            assert max(unsent) < 30_000
        assert number > 10
        assert process.memory_info().rss - before < 30_000_000
        await until(lambda: figures.sockets == 1)
        for peer in frozen:
            peer.close()
