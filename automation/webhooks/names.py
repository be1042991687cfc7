"""Looking names up, each in a thread of its own: one whose servers never answer keeps nobody else waiting.

The event loop's own threads are few, and read files, too. A lookup cannot be broken off, so its thread may outlive
whoever asked; none keeps the process from ending.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

MOST = 256
"""Lookups at once, those that nobody waits for any more among them."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class SystemResolver(AbstractResolver):
    """Asks the system, as the loop's own resolver does. Needs a running loop."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(MOST)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises OSError."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()

        def told(found: list[Any], error: OSError | None) -> None:
            self._room.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found, error = [], None
            try:
                found = socket.getaddrinfo(
                    host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except OSError as failure:
                error = failure
            except UnicodeError:  # a label that is too long
                error = OSError("no name")
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(told, found, error)

        try:
            Thread(target=look_up, name="lookup", daemon=True).start()
        except RuntimeError as failure:
            self._room.release()
            raise OSError("no thread") from failure
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=kind, proto=protocol, flags=_NUMERIC
            )
            for kind, _, protocol, _, place in await answer
        ]

    async def close(self) -> None:
        """Nothing to let go."""
