"""Broadcasting by hand: sockets on uvloop, one text for all, written to each transport, and nothing else.

It takes a reservation over HTTP, makes it durable with the same statement as everybody, and tells it to all its
watchers. It believes its clients: no limits, no queues, no closing handshake.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar, cast
from uuid import UUID

import asyncpg
import orjson
import uvloop

from bench.data import bench_id, labels
from bench.wire import PING, PONG, TEXT, answer_length, frames, unmasked
from schema.ids import decode, encode

RESERVE = (Path(__file__).parents[1] / "sql/reserve_once.sql").read_text()
SEATS = {label: index for index, label in enumerate(labels())}
BUYER = bench_id(2, 0)
ACCEPTED = base64.b64encode(
    hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()
UPGRADED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {ACCEPTED}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
).encode()
ACK = unmasked(TEXT, b'{"type":"connection_ack"}')


class Peer(asyncio.Protocol):
    """One connection, which says what it is by what it sends."""

    watching: ClassVar[set[asyncio.Transport]] = set()
    pool: ClassVar[asyncpg.Pool]

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def connection_lost(self, error: Exception | None) -> None:
        self.watching.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._upgraded:
            self._told()
        elif b"Upgrade: websocket" in self._buffer and self._buffer.endswith(b"\r\n\r\n"):
            self._buffer.clear()
            self._upgraded = True
            self._transport.write(UPGRADED)
        else:
            whole = bytes(self._buffer)
            length = answer_length(whole)
            if length is not None and len(whole) >= length:
                self._buffer.clear()
                self._task = asyncio.create_task(self._reserve(whole[whole.index(b"\r\n\r\n") :]))

    def _told(self) -> None:
        for frame in frames(self._buffer):
            if frame.opcode == PING:
                self._transport.write(unmasked(PONG, frame.payload))
            elif b'"connection_init"' in frame.payload:
                self._transport.write(ACK)
            elif b'"subscribe"' in frame.payload:
                self.watching.add(self._transport)

    async def _reserve(self, body: bytes) -> None:
        variables = orjson.loads(body)["variables"]
        if "labels" in variables:
            schedule = variables["schedule"]
            wanted = variables["labels"]
            seats = [SEATS[label] for label in wanted]
            uuid = decode(schedule, "Schedule")[1]
            made = await self.pool.fetchrow(RESERVE, UUID(bytes=os.urandom(16)), uuid, seats, wanted, BUYER)
            self._broadcast(schedule, made)
        answer = b'{"data":{"reserve":{"__typename":"Reservation"}}}'
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    def _broadcast(self, schedule: str, made: Any) -> None:
        delta = {
            "__typename": "SeatDelta",
            "cursor": encode("Place", UUID(int=made["version"])),
            "at": made["at"],
            "scheduleId": schedule,
            "version": made["version"],
            **orjson.loads(made["data"]),
        }
        message = {"id": "1", "type": "next", "payload": {"data": {"seatChanges": delta}}}
        frame = unmasked(TEXT, orjson.dumps(message, option=orjson.OPT_UTC_Z))
        for transport in self.watching:
            transport.write(frame)


async def main() -> None:
    """Serve on PORT."""
    Peer.pool = await asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=4)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", int(os.environ["PORT"]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
