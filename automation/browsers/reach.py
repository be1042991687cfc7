"""What a browser's context may reach: the origins of its portal, and nothing else.

Every connection of a context goes through a SOCKS5 server of its own (RFC 1928) in the worker. A context names hosts
and never looks them up itself; the server judges the name and the port, then every address of that name, and connects
to an address that it has judged. A name that resolves to something else the second time gains nothing by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from automation.addresses import Reachable

VERSION = 5
NO_AUTHENTICATION = 0
CONNECT = 1
IPV4 = 1
GRANTED, REFUSED, UNREACHABLE = 0, 2, 4
HANDSHAKE = 10.0
CONNECTING = 10.0
PIECE = 65_536

_public = Reachable()

log = structlog.get_logger("holdfast.reach")

Place = tuple[str, int]
"""A host, as a page names it, and a port."""


def place_of(origin: str) -> Place:
    """The host and port of an origin such as ``https://portal.example``."""
    parts = urlsplit(origin)
    if not parts.hostname:
        raise ValueError(f"{origin} is no origin")
    return parts.hostname.lower(), parts.port or (443 if parts.scheme in ("https", "wss") else 80)


@dataclass(slots=True)
class Reach:
    """The server of one context. ``inside`` are places that may have an address which is not on the public Internet."""

    places: Collection[Place] = ()
    inside: Collection[Place] = ()
    refused: int = field(default=0, init=False)
    port: int = field(default=0, init=False)

    @property
    def proxy(self) -> str:
        """What the browser is told."""
        return f"socks5://127.0.0.1:{self.port}"

    def admit(self, origins: Iterable[str], inside: Iterable[str] = ()) -> None:
        """Let the context reach these origins, and no others."""
        self.places, self.inside = frozenset(map(place_of, origins)), frozenset(map(place_of, inside))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the browser."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, UnicodeError):
            try:
                async with asyncio.timeout(HANDSHAKE):
                    place = await _asked(reader, writer)
                await self._connect(place, reader, writer)
            finally:
                writer.close()

    async def _connect(
        self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        addresses = await self._judged(place)
        if not addresses:
            self.refused += 1
            log.info("reach.refused", port=place[1])
            await _answer(writer, REFUSED)
            return
        there = await _first(addresses, place[1])
        if there is None:
            await _answer(writer, UNREACHABLE)
            return
        await _answer(writer, GRANTED)
        try:
            await _between((reader, writer), there)
        finally:
            there[1].close()

    async def _judged(self, place: Place) -> list[str]:
        """The addresses of a place, if it and all of them may be reached."""
        if place not in self.places:
            return []
        found = await _addresses(place)
        if place in self.inside or all(map(_public, found)):
            return found
        return []


@asynccontextmanager
async def open_reach(origins: Iterable[str] = (), inside: Iterable[str] = ()) -> AsyncIterator[Reach]:
    """Serve one context, on a free port of this machine, as long as it lives."""
    reach = Reach()
    reach.admit(origins, inside)
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(reach.serve(reader, writer))
        connections[task] = writer
        task.add_done_callback(connections.pop)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    reach.port = server.sockets[0].getsockname()[1]
    try:
        yield reach
    finally:
        server.close()
        for task, writer in connections.items():
            task.cancel()
            writer.transport.abort()  # a task that has not begun closes nothing
        await asyncio.gather(*connections, return_exceptions=True)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Place:
    """Greet, and read where the browser wants to go."""
    version, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    if version != VERSION:
        raise OSError("not SOCKS5")
    writer.write(bytes([VERSION, NO_AUTHENTICATION]))
    _, command, _, kind = await reader.readexactly(4)
    if command != CONNECT:
        raise OSError("only connections")
    match kind:
        case 1:
            host = str(ipaddress.IPv4Address(await reader.readexactly(4)))
        case 4:
            host = str(ipaddress.IPv6Address(await reader.readexactly(16)))
        case 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii").lower()
        case _:
            raise OSError("no address")
    return host, int.from_bytes(await reader.readexactly(2), "big")


async def _answer(writer: asyncio.StreamWriter, answer: int) -> None:
    writer.write(bytes([VERSION, answer, 0, IPV4, 0, 0, 0, 0, 0, 0]))
    await writer.drain()


async def _addresses(place: Place) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(*place, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _first(
    addresses: Iterable[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect to the first of these that answers."""
    for address in addresses:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECTING):
                return await asyncio.open_connection(address, port)
    return None


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _between(here: Ends, there: Ends) -> None:
    """Carry bytes both ways until both ends are through."""
    await asyncio.gather(_carry(here[0], there[1]), _carry(there[0], here[1]))


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry what one says to the other; the end of the one is told to the other."""
    try:
        while piece := await source.read(PIECE):
            sink.write(piece)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()
