"""Several server processes on one port: started, watched, replaced one by one, and stopped.

SIGTERM or SIGINT stops them all, and a second one at once. SIGHUP starts a successor to each, one after the other,
as soon as all serve, and lets a process go when its successor serves. A process that ends by itself, or says nothing
for a while, is replaced, the later the more often that happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from holdfast.line import LEAVE, RETIRE
from holdfast.listening import IN_THE_DOOR, turn_newcomers_away
from holdfast.terminal import CommandFailed

Command = Callable[[int, int, int], Sequence[str]]
"""The program of a server: its number, and the file descriptors of its listening socket and of its line to us."""

LAST_LINE = 5.0
"""Seconds that a process which does not serve gets to say why."""

log = structlog.get_logger("holdfast.supervisor")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds."""

    start: float = 60.0
    silence: float = 20.0
    farewell: float = 30.0
    backoff: tuple[float, ...] = (0.5, 1, 2, 5, 10, 30)
    steady: float = 60.0
    """After so long a life a process begins anew with the first backoff."""


class NotStarted(Exception):
    """A server process did not come so far as to serve."""


@dataclass
class ServerProcess:
    """One server process, as its parent knows it."""

    number: int
    process: Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(
        cls, number: int, listening: socket.socket, command: Command, patience: Patience
    ) -> ServerProcess:
        """Start one and wait until it serves. Raises NotStarted."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            descriptors = listening.fileno(), theirs.fileno()
            try:
                process = await asyncio.create_subprocess_exec(
                    *command(number, *descriptors),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=descriptors,
                    start_new_session=True,  # the terminal's Ctrl-C is for us alone, who tell them in our own order
                )
            except BaseException:
                writer.close()
                raise
        started = cls(number, process, reader, writer)
        serves = False
        try:
            serves = await started._says_something(patience.start)
        finally:
            if not serves:
                # What has hung up is saying why it ends; anything else is told to.
                await (started.end if started.reader.at_eof() else started.stop)(LAST_LINE)
        if not serves:
            raise NotStarted
        log.info("server.serves", number=number, process=process.pid)
        return started

    async def gone(self, patience: Patience) -> None:
        """Wait until it ends, or has said nothing for too long; then it is ended."""
        while await self._says_something(patience.silence):
            pass
        await self.end(patience.farewell if self.reader.at_eof() else 0)

    async def _says_something(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return bool(await self.reader.read(1024))
        except TimeoutError:
            return False
        except OSError:  # it hung up without having heard all that we said
            self.reader.feed_eof()
            return False

    async def retire(self, seconds: float) -> None:
        """Let it end as nobody notices."""
        self.writer.write(RETIRE)
        await self.end(seconds)

    async def stop(self, seconds: float) -> None:
        """Let it end soon."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        await self.end(seconds)

    async def end(self, seconds: float) -> None:
        """Wait for its end, which is brought about after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        finally:
            self.writer.close()


@dataclass
class Post:
    """A place for one server process, that is to be filled at all times."""

    number: int
    listening: socket.socket
    command: Command
    patience: Patience
    server: ServerProcess | None = None
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fill(self) -> None:
        """Start a process here. Raises NotStarted."""
        async with self._alone:
            self.server = await ServerProcess.start(self.number, self.listening, self.command, self.patience)

    async def keep(self) -> None:
        """Replace whatever ends here, until cancelled."""
        failures, loop = 0, asyncio.get_running_loop()
        while True:
            server, began = self.server, loop.time()
            if server is not None:
                await server.gone(self.patience)
                if server is not self.server:
                    continue
                self.server = None
                failures = 0 if loop.time() - began > self.patience.steady else failures
            pause = self.patience.backoff[min(failures, len(self.patience.backoff) - 1)]
            code = None if server is None else server.process.returncode
            log.error("server.ended", number=self.number, code=code, next_in=pause)
            failures += 1
            await asyncio.sleep(pause)
            with suppress(NotStarted):
                await self.fill()

    async def renew(self) -> None:
        """Put a successor here, then let the process of before go. Raises NotStarted, with nothing changed."""
        before = self.server
        await self.fill()
        if before is not None:
            await before.retire(self.patience.farewell)


async def supervise(
    sockets: Sequence[socket.socket],
    command: Command,
    started: Callable[[], None],
    patience: Patience | None = None,
    leave: float = 0,
) -> None:
    """Run a process for each socket until SIGINT or SIGTERM; ``started`` is called when all serve. Before it
    stops, ``leave`` seconds pass in which the processes say that they are about to.

    Raises:
        CommandFailed: one did not come so far at the first start; it has said why.

    """
    patience = patience or Patience()
    posts = [Post(number, each, command, patience) for number, each in enumerate(sockets, start=1)]
    told, signals, loop = asyncio.Event(), (signal.SIGINT, signal.SIGTERM), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, told.set)
    work = asyncio.create_task(_work(posts, started, told))
    for number in signals:
        loop.add_signal_handler(number, work.cancel)
    try:
        await asyncio.wait([work])
    finally:
        for number in signals:
            loop.add_signal_handler(number, _kill, posts)
        await _leave(posts, leave)
        turn_newcomers_away(sockets)
        await asyncio.sleep(IN_THE_DOOR)
        await asyncio.gather(*(post.server.stop(patience.farewell) for post in posts if post.server))
    if not work.cancelled():
        work.result()


async def _work(posts: Sequence[Post], started: Callable[[], None], told: asyncio.Event) -> None:
    outcomes = await asyncio.gather(*(post.fill() for post in posts), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, NotStarted):
            raise CommandFailed("A server process ended before it served; see above.")
        if outcome is not None:
            raise outcome
    started()
    async with asyncio.TaskGroup() as keeping:
        for post in posts:
            keeping.create_task(post.keep())
        keeping.create_task(_renew_when_told(posts, told))


async def _renew_when_told(posts: Sequence[Post], told: asyncio.Event) -> None:
    while True:
        await told.wait()
        told.clear()
        log.info("restart.begun", processes=len(posts))
        try:
            for post in posts:
                await post.renew()
        except NotStarted:
            log.error("restart.given_up", number=post.number)
        else:
            log.info("restart.done")


async def _leave(posts: Sequence[Post], seconds: float) -> None:
    for post in posts:
        if post.server is not None:
            post.server.writer.write(LEAVE)
    await asyncio.sleep(seconds)


def _kill(posts: Sequence[Post]) -> None:
    for post in posts:
        if post.server is not None:
            with suppress(ProcessLookupError):
                os.kill(post.server.process.pid, signal.SIGKILL)
