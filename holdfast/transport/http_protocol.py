"""uvicorn's HTTP/1.1 connection, with what ASGI cannot say, and bounds on peers that dawdle or flood."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds for a head and for a body to arrive, and their most bytes; a body may come in so many pieces."""

    head: float = 10
    body: float = 20
    head_bytes: int = 16 * 1024
    body_bytes: int = 256 * 1024
    pieces: int = 4_096

    @property
    def framed_bytes(self) -> int:
        """Of a body with the frames of its chunks, whose extensions count nowhere else (RFC 9112, 7.1.1)."""
        return self.body_bytes + 64 * 1024


class _Waiting(Enum):
    """For what of a request."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    NOBODY = auto()  # the connection has become a socket


class _TooMuch(Exception):
    """Stops the parser; why has been told."""


class HttpProtocol(HttpToolsProtocol):
    """Lets go of a connection whose peer does not read: to close it would be to wait for ever.

    A peer that takes too long to send, or sends too much, is told so and let go too.
    """

    limits = ConnectionLimits()
    refused: ClassVar[Counter[str]] = Counter()
    farewell = 20.0
    """Seconds that a peer has, after the keep-alive time, to take an answer."""

    _waiting = _Waiting.HEAD
    _received = 0
    _pieces = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._watch(self.limits.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._rest()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the socket, which has limits of its own."""
        self._rest()
        self._waiting = _Waiting.NOBODY
        super().handle_websocket_upgrade()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and soon drop one that is idle because nobody takes its answer."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.farewell, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether more is to come in time."""
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        match self._waiting:
            case _Waiting.HEAD:
                if self._received > self.limits.head_bytes:
                    self._head_too_large()
                self._watch(self.limits.head)
            case _Waiting.BODY:
                if self._received > self.limits.framed_bytes:
                    self._body_too_large()
                self._watch(self.limits.body)
            case _Waiting.NOTHING if self._idle():
                self._watch(self.limits.head)
            case _Waiting.NOTHING:
                self._rest()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {"holdfast.transport": {"abort": self.transport.abort}}
        self._waiting = _Waiting.HEAD

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is too large."""
        self._rest()
        self._waiting = _Waiting.BODY
        if self._received > self.limits.head_bytes and self._head_bytes() > self.limits.head_bytes:
            self._waiting = _Waiting.HEAD
            self._head_too_large()
            raise _TooMuch
        self._received = self._pieces = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._pieces += 1
        if self._pieces > self.limits.pieces:
            self._body_too_large()
            raise _TooMuch
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing until the answer is sent, or the next request begins."""
        self._waiting = _Waiting.NOTHING
        self._received = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", msg)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _idle(self) -> bool:
        """Whether something came that ended the keep-alive time and began no request: a lone line end."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.timeout_keep_alive_task is None

    def _watch(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.cycle is None and not self._received:
            self.transport.close()  # somebody who only looked whether we are there
            return
        in_body = self._waiting is _Waiting.BODY
        part, seconds = ("body", self.limits.body) if in_body else ("head", self.limits.head)
        message = f"The request's {part} did not arrive within {seconds:g} s: send it at once."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message)

    def _head_too_large(self) -> None:
        message = f"The request's head is longer than {self.limits.head_bytes} bytes: send fewer headers."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEAD_TOO_LARGE", message)

    def _body_too_large(self) -> None:
        limits = self.limits
        message = f"The body is longer than {limits.body_bytes} bytes, or comes in more than {limits.pieces} pieces."
        self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why, unless something is being said, and let go."""
        if self.transport.is_closing():
            return
        self.refused[code] += 1
        if self._silent():
            body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
        self.loop.call_later(self.farewell, self.transport.abort)

    def _silent(self) -> bool:
        """Whether nothing is being said and, but for the request that is judged, nobody waits for an answer."""
        if self.cycle is None:
            return True
        if self._waiting is _Waiting.BODY:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle.response_complete


def limited(limits: ConnectionLimits, refused: Counter[str]) -> type[HttpProtocol]:
    """The protocol with limits of one's own; ``refused`` counts who was refused, by code."""
    return type("LimitedHttpProtocol", (HttpProtocol,), {"limits": limits, "refused": refused})
