"""uvicorn's HTTP/1.1 connection, with what ASGI cannot say."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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
