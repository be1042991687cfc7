"""A thousand watchers of one thing, each as cheap as can be: a real client apiece would be the bottleneck."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

_HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def masked(message: Json) -> bytes:
    """A text frame as a client sends it, under a mask of zeros (RFC 6455, 5.3)."""
    text = json.dumps(message).encode()
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + text


class Onlooker(asyncio.Protocol):
    """One socket with one subscription; keeps the payloads of its results."""

    def __init__(self, opening: bytes) -> None:
        self.results: list[Json] = []
        self._opening = opening
        self._received = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(_HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._upgraded:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded, self._received = True, rest
            self.transport.write(self._opening)
        while (frame := self._frame()) is not None:
            message = json.loads(frame) if frame.startswith(b"{") else {}
            if message.get("type") == "next":
                self.results.append(message["payload"])
            assert message.get("type") != "error", message

    def _frame(self) -> bytes | None:
        head, received = 2, self._received
        if len(received) < 4:
            return None
        length = received[1]
        if length == 126:
            head, length = 4, int.from_bytes(received[2:4], "big")
        elif length == 127:
            head, length = 10, int.from_bytes(received[2:10], "big")
        if len(received) < head + length:
            return None
        self._received = received[head + length :]
        return received[head : head + length]


async def crowd(port: int, count: int, document: str, variables: Json) -> Sequence[Onlooker]:
    """So many at once, each with a connection of its own."""
    payload = {"query": document, "variables": variables}
    opening = masked({"type": "connection_init"})
    opening += masked({"id": "1", "type": "subscribe", "payload": payload})
    loop = asyncio.get_running_loop()

    async def one() -> Onlooker:
        return (await loop.create_connection(lambda: Onlooker(opening), "127.0.0.1", port))[1]

    return await asyncio.gather(*(one() for _ in range(count)))
