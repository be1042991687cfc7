"""uvicorn, with the three things that ASGI cannot say."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from socket import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import HANDLED_SIGNALS
from websockets.http11 import Request


class HttpProtocol(HttpToolsProtocol):
    """Lets go of a connection whose peer does not read: to close it would be to wait for ever."""

    farewell = 20.0
    """Seconds that a peer has, after the keep-alive time, to take an answer."""

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and soon drop one that is idle because nobody takes its answer."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.farewell, self.transport.abort)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {"holdfast.transport": {"abort": self.transport.abort}}


class SocketProtocol(WebSocketsSansIOProtocol):
    """The same for sockets; and text that is not UTF-8 is a close code (RFC 6455, 8.1), not a traceback."""

    def handle_connect(self, event: Request) -> None:
        """Open the handshake."""
        super().handle_connect(event)
        if not self.handshake_complete:
            self.scope["extensions"]["holdfast.transport"] = {"abort": self.transport.abort}

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message to the application."""
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer pings, but none of a peer that does not take the answers (RFC 6455, 5.5.3, leaves that open)."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """Drop a peer that does not answer pings, after a second in which it may take the close frame."""
        super().keepalive_timeout()
        self.loop.call_later(1, self.transport.abort)


class Server(uvicorn.Server):
    """A server that lets ``drain`` say goodbye to streams before uvicorn waits for its connections to end."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal; unlike uvicorn, do not raise it again afterwards: our caller has things to close."""
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting, end the streams, then shut down as uvicorn does."""
        for server in self.servers:
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._drain()
        await super().shutdown(sockets)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
