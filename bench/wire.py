"""HTTP/1.1 and WebSocket (RFC 6455) as bytes: only as much as a load client needs, and nothing that costs time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
UNMASKED = bytes(4)
"""A masking key of zeros: what it masks stays as it is, so that a client need not touch each byte."""


class Frame(NamedTuple):
    """One WebSocket message, which no server here splits."""

    opcode: int
    payload: bytes


def head(token: str | None = None) -> bytes:
    """A POST to /graphql up to the number of its Content-Length."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: application/graphql-response+json, application/json\r\n{authorization}Content-Length: "
    ).encode()


def post(document: str, variables: dict[str, Any], token: str | None = None) -> bytes:
    """A request, whole."""
    body = orjson.dumps({"query": document, "variables": variables})
    return b"%b%d\r\n\r\n%b" % (head(token), len(body), body)


def answer_length(data: bytes) -> int | None:
    """How long the answer that ``data`` begins with is, in bytes; None where that is not to be told yet.

    Raises ValueError for an answer without a Content-Length, which is more than this reader knows.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    place = data.lower().find(b"\r\ncontent-length:", 0, end + 2)
    if place < 0:
        raise ValueError(f"no Content-Length: {data[:end]!r}")
    return end + 4 + int(data[place + 17 : data.index(b"\r\n", place + 17)])


def handshake(path: str = "/graphql") -> bytes:
    """The request that opens a WebSocket for graphql-transport-ws."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    ).encode()


def framed(message: Any) -> bytes:
    """A JSON message as a client's text frame."""
    return masked(TEXT, orjson.dumps(message))


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame."""
    return bytes((0x80 | opcode,)) + _length(len(payload), 0x80) + UNMASKED + payload


def unmasked(opcode: int, payload: bytes) -> bytes:
    """A server's frame."""
    return bytes((0x80 | opcode,)) + _length(len(payload), 0) + payload


def frames(buffer: bytearray) -> Iterator[Frame]:
    """Take the whole frames off the front of the buffer."""
    while len(buffer) >= 2:
        length, start = buffer[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(buffer[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(buffer[2:10], "big"), 10
        key = buffer[start : start + 4] if buffer[1] & 0x80 else b""
        start += len(key)
        if len(buffer) < start + length or (buffer[1] & 0x80 and len(key) < 4):
            return
        payload = bytes(buffer[start : start + length])
        if any(key):
            payload = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
        opcode = buffer[0] & 0xF
        del buffer[: start + length]
        yield Frame(opcode, payload)


def _length(length: int, mask: int) -> bytes:
    if length < 126:
        return bytes((mask | length,))
    if length < 65536:
        return bytes((mask | 126,)) + length.to_bytes(2, "big")
    return bytes((mask | 127,)) + length.to_bytes(8, "big")
