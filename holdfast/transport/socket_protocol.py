"""uvicorn's socket, with what ASGI cannot say."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request


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


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
