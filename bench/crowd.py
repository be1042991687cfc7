"""Thousands of watchers on graphql-transport-ws, in a process of their own, and the change they wait for.

The process goes on reading while nobody asks it anything, so that pings are answered. Watchers come from several
loopback addresses, a thousand from each: as many people do not share one.
"""

from __future__ import annotations

import gc
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.wire import CLOSE, PING, PONG, TEXT, answer_length, framed, frames, handshake, masked

AN_ADDRESS = 1_000
AT_ONCE = 128
PATIENCE = 60.0
INIT = framed({"type": "connection_init"})
NEXT = b'"type":"next"'


@dataclass(frozen=True, slots=True)
class Watching:
    """What each watcher asks for; ``snapshot`` says that something comes before there is a change."""

    address: tuple[str, int]
    document: str
    variables: dict[str, Any]
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Told:
    """One change: Unix times of asking for it, its answer, the first and the last watcher's frame; who did not hear."""

    asked: float
    answered: float
    first: float
    last: float
    missed: int
    length: int


class Watcher:
    """One socket."""

    __slots__ = ("buffer", "heard", "sock", "state")

    def __init__(self, address: tuple[str, int], source: str) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.bind((source, 0))
        with suppress(BlockingIOError):
            self.sock.connect(address)
        self.buffer = bytearray()
        self.state = "connecting"
        self.heard = 0


class Crowd:
    """The watchers of one server."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._subscribe = framed(
            {
                "id": "1",
                "type": "subscribe",
                "payload": {"query": watching.document, "variables": watching.variables},
            }
        )
        self._selector = selectors.DefaultSelector()
        self._watchers: list[Watcher] = []
        self._coming = 0
        self._round = 0
        self._waiting = 0
        self._first = self._last = 0.0
        self._length = 0
        self.ends: Counter[str] = Counter()

    def come(self, count: int) -> float:
        """Let so many more watch, and wait until they do; seconds it took. Raises RuntimeError where some cannot."""
        began, wanted = time.perf_counter(), len(self._watchers) + count
        while len(self._watchers) < wanted or self._coming:
            while self._coming < AT_ONCE and len(self._watchers) < wanted:
                source = f"127.0.0.{2 + len(self._watchers) // AN_ADDRESS}"
                watcher = Watcher(self._watching.address, source)
                self._watchers.append(watcher)
                self._coming += 1
                self._selector.register(watcher.sock, selectors.EVENT_WRITE, watcher)
            if not self._turn(PATIENCE) or self.ends:
                raise RuntimeError(f"{self._coming} do not get through: {dict(self.ends)}")
        return time.perf_counter() - began

    def change(self, request: bytes, patience: float = PATIENCE) -> Told:
        """Ask for a change, and wait until everybody has heard of it, ``patience`` seconds at most."""
        self._round += 1
        self._waiting, self._first, self._last = len(self._watchers), 0.0, 0.0
        with socket.create_connection(self._watching.address, PATIENCE) as asking:
            time.sleep(0.02)
            self._selector.register(asking, selectors.EVENT_READ)
            gc.disable()
            asked, answer, answered = time.time(), b"", 0.0
            asking.sendall(request)
            ends = asked + patience
            while (self._waiting or not answered) and (left := ends - time.time()) > 0:
                for key, _ in self._selector.select(left):
                    if key.data is not None:
                        self._read(key.data)
                        continue
                    answer += asking.recv(65536)
                    if (length := answer_length(answer)) is not None and len(answer) >= length:
                        answered = time.time()
                        self._selector.unregister(asking)
            gc.enable()
        if b'"Reservation"' not in answer:
            raise RuntimeError(f"no change: {answer[:2000]!r}")
        return Told(asked, answered, self._first, self._last, self._waiting, self._length)

    def alive(self) -> int:
        """How many are still connected."""
        return len(self._watchers) - self.ends.total()

    def rest(self, control: Connection) -> None:
        """Go on reading until somebody asks."""
        self._selector.register(control, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fileobj is control:
                        return
                    self._read(key.data)
        finally:
            self._selector.unregister(control)

    def _turn(self, patience: float) -> bool:
        ready = self._selector.select(patience)
        for key, _ in ready:
            if key.data.state == "connecting":
                self._knock(key.data)
            else:
                self._read(key.data)
        return bool(ready)

    def _knock(self, watcher: Watcher) -> None:
        refused = watcher.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refused:
            self._gone(watcher, f"connect: {refused}")
            return
        watcher.sock.sendall(handshake())
        watcher.state = "upgrading"
        self._selector.modify(watcher.sock, selectors.EVENT_READ, watcher)

    def _read(self, watcher: Watcher) -> None:
        try:
            data = watcher.sock.recv(65536)
        except OSError as error:
            data, reason = b"", type(error).__name__
        else:
            reason = "hung up"
        if not data:
            self._gone(watcher, reason)
            return
        # One whole short frame is what nearly always comes.
        if (
            not watcher.buffer
            and data[0] == 0x81
            and data[1] == 126
            and len(data) == 4 + (data[2] << 8 | data[3])
        ):
            self._text(watcher, data)
            return
        watcher.buffer += data
        if watcher.state == "upgrading" and not self._upgraded(watcher):
            return
        for frame in frames(watcher.buffer):
            if frame.opcode == TEXT:
                self._text(watcher, frame.payload)
            elif frame.opcode == PING:
                watcher.sock.sendall(masked(PONG, frame.payload))
            elif frame.opcode == CLOSE:
                self._gone(watcher, f"closed: {frame.payload!r}")
                return

    def _upgraded(self, watcher: Watcher) -> bool:
        end = watcher.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not watcher.buffer.startswith(b"HTTP/1.1 101"):
            self._gone(watcher, f"refused: {bytes(watcher.buffer[:200])!r}")
            return False
        del watcher.buffer[: end + 4]
        watcher.state = "greeting"
        watcher.sock.sendall(INIT)
        return True

    def _text(self, watcher: Watcher, payload: bytes) -> None:
        if NEXT in payload:
            if watcher.state == "subscribing":
                self._watches(watcher)
            elif watcher.heard < self._round:
                watcher.heard = self._round
                self._last = time.time()
                self._first = self._first or self._last
                self._waiting -= 1
                self._length = len(payload)
        elif watcher.state == "greeting" and b'"connection_ack"' in payload:
            watcher.state = "subscribing"
            watcher.sock.sendall(self._subscribe)
            if not self._watching.snapshot:
                self._watches(watcher)
        elif b'"type":"error"' in payload or b'"type":"complete"' in payload:
            self._gone(watcher, f"ended: {payload[:300]!r}")

    def _watches(self, watcher: Watcher) -> None:
        watcher.state = "watching"
        self._coming -= 1

    def _gone(self, watcher: Watcher, why: str) -> None:
        self.ends[why] += 1
        if watcher.state != "watching":
            self._coming -= 1
        self._selector.unregister(watcher.sock)
        watcher.sock.close()


class Watchers:
    """The same from here: each call is answered by the other process. Raises RuntimeError with its words."""

    def __init__(self, control: Connection) -> None:
        self._control = control

    def come(self, count: int) -> float:
        return float(self._ask("come", count))

    def change(self, request: bytes, patience: float = PATIENCE) -> Told:
        told: Told = self._ask("change", request, patience)
        return told

    def alive(self) -> int:
        return int(self._ask("alive"))

    def _ask(self, what: str, *values: object) -> Any:
        self._control.send((what, values))
        worked, value = self._control.recv()
        if not worked:
            raise RuntimeError(value)
        return value


@contextmanager
def watchers(watching: Watching) -> Iterator[Watchers]:
    """Start the process; it ends, and its sockets with it, on the way out."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from bench.crowd import serve; serve({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],
        )
        theirs.close()
        control = Connection(ours.detach())
        try:
            control.send(watching)
            yield Watchers(control)
        finally:
            control.close()
            process.terminate()
            process.wait()


def serve(handle: int) -> None:
    """Do what is asked through this socket until nobody is there to ask."""
    control = Connection(handle)
    with suppress(EOFError):
        crowd = Crowd(control.recv())
        while True:
            crowd.rest(control)
            what, values = control.recv()
            try:
                control.send((True, getattr(crowd, what)(*values)))
            except Exception as error:
                control.send((False, f"{type(error).__name__}: {error}"))
