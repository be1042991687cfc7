"""uvicorn's server, which says goodbye before it stops, and leaves nobody unanswered who has begun to ask."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from socket import socket

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from holdfast.listening import IN_THE_DOOR, turn_newcomers_away

LAST_WORDS = 10.0
"""Seconds that connections get to bring their last request: longer than uvicorn keeps an idle one."""


class Server(uvicorn.Server):
    """A server that lets ``drain`` say goodbye to streams before uvicorn waits for its connections to end.

    ``alone`` means that nobody else accepts from its sockets, now or later. ``leave`` comes before anything is closed.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        *,
        alone: bool = True,
        leave: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._leave = leave
        self._alone = alone
        self._replaced = False

    def retire(self) -> None:
        """Stop because another process has taken over the same sockets: nobody is to notice.

        Each connection is closed with its next answer, or when it has been idle for as long as ever: one that is
        closed earlier may just be bringing a request.
        """
        self._replaced = True
        self.should_exit = True

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
        if self._leave is not None:
            await self._leave()
        if self._alone:
            turn_newcomers_away(sockets or [])
            await asyncio.sleep(IN_THE_DOOR)
        for server in self.servers:
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._drain()
        if self._replaced:
            await self._last_words()
        await super().shutdown(sockets)

    async def _last_words(self) -> None:
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                while state.connections:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.05)
