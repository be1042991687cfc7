"""uvicorn's socket, with what ASGI cannot say, and bounds on what uvicorn lets a peer pile up."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

_PORTION = 4096
"""Bytes that are parsed at a time: what a flood of tiny frames costs before it is noticed, some milliseconds."""

_UNTAKEN = 16 * 1024
"""Bytes that may wait for a peer to take them before it counts as taking none."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """The same for sockets; and text that is not UTF-8 is a close code (RFC 6455, 8.1), not a traceback.

    Through the scope's extension ``holdfast.transport`` the application gets ``abort``, ``write`` and ``drained``.
    """

    frames_per_second = 1_000
    fragments = 128
    """Frames that one message may come in; uvicorn bounds its bytes, but not how many are empty."""

    _second = 0
    _frames = 0
    _congested = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.queue, self.writable = Inbox(), Gate()  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        """Begin to ping; the handshake is over, and what it was about is half of what an idle socket would keep."""
        super().start_keepalive()
        self.request.headers.clear()
        self.response.headers.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what came, in portions."""
        for start in range(0, len(data), _PORTION):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _PORTION])

    def handle_events(self) -> None:
        """Handle what was parsed, unless there is too much of it."""
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._frames = second, 0
        self._frames += len(self.conn.events)
        if self._frames > self.frames_per_second:
            self.conn.events_received()
            self._fail(1008, f"More than {self.frames_per_second} frames in a second")
        else:
            super().handle_events()

    def handle_connect(self, event: Request) -> None:
        """Open the handshake."""
        super().handle_connect(event)
        if not self.handshake_complete:
            self.transport.set_write_buffer_limits(_UNTAKEN)
            self.scope["extensions"]["holdfast.transport"] = {
                "abort": self.transport.abort,
                "write": self.write,
                "drained": self.writable.wait,
            }

    def write(self, frame: bytes) -> bool:
        """Hand a whole frame, past ASGI, to the connection; False where it takes none now, or never again."""
        if self._congested or self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def pause_writing(self) -> None:
        """Note that the peer takes too little."""
        super().pause_writing()
        self._congested = True

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        super().resume_writing()
        self._congested = False

    def handle_cont(self, event: Frame) -> None:
        """Take another frame of a message."""
        if len(self.frames) >= self.fragments:
            self.frames = []
            self._fail(1008, f"More than {self.fragments} frames in a message")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message to the application."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self._fail(1007)
        else:
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

    def _fail(self, code: int, reason: str = "") -> None:
        """Close at once (RFC 6455, 7.1.7), after a second in which the peer may take the close frame."""
        if self.transport.is_closing():
            return
        self.conn.fail(code, reason)
        if self.conn.close_sent is None:
            self.transport.abort()
            return
        self.handle_parser_exception()
        self.loop.call_later(1, self.transport.abort)


class Gate(asyncio.Event):
    """An event that is set, and takes no room for those who wait until somebody does."""

    def __init__(self) -> None:
        self._value = True
        self._waiters: list[asyncio.Future[bool]] = []  # type: ignore[assignment]


class Inbox:
    """A queue for one reader that takes no room while it is empty: asyncio's takes two kilobytes."""

    __slots__ = ("_messages", "_waiting")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing has come."""
        return not self._messages

    def put_nowait(self, message: Any) -> None:
        """Add a message, and wake the reader."""
        self._messages.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Any:
        """The oldest message, waiting for one."""
        if not self._messages:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._messages.pop(0)


def text_frame(text: bytes) -> bytes:
    """A whole message of UTF-8 text, as a server sends it (RFC 6455, 5.2)."""
    length = len(text)
    if length < 126:
        return b"\x81%c%b" % (length, text)
    if length < 1 << 16:
        return b"\x81\x7e%b%b" % (length.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (length.to_bytes(8, "big"), text)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
