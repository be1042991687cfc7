"""What a server process and the one that started it say to each other, over a socket pair.

The server says a byte when it serves, and again each second while it does. It is told ``l``, tell callers that you
are about to leave, or ``r``, retire, your successor serves. The end of the line tells it to stop: nobody is there any
more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

BEAT = 1.0
ALIVE, LEAVE, RETIRE = b".", b"l", b"r"


class Part(NamedTuple):
    """What a server process is started with: its number, and the descriptors of its socket and its line."""

    number: int
    listening: int
    line: int


class Line:
    """A server process' end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, number: int) -> Line:
        """The line at a file descriptor that we were started with."""
        return cls(*await asyncio.open_unix_connection(sock=socket.socket(fileno=number)))

    async def beat(self) -> None:
        """Say that we serve, until cancelled."""
        while True:
            self._writer.write(ALIVE)
            await asyncio.sleep(BEAT)

    async def obey(
        self, leave: Callable[[], None], retire: Callable[[], None], stop: Callable[[], None]
    ) -> None:
        """Wait for what is said to us, or for the end of the one who would say it."""
        word = b""
        with suppress(OSError):  # who ends without having heard all that we said resets the line
            while (word := await self._reader.read(1)) == LEAVE:
                leave()
        (retire if word == RETIRE else stop)()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
