"""The servers that are measured, each a process of its own as its operator would start it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.cluster import Cluster
from bench.cpu import used_by_family
from bench.data import Buyers
from bench.documents import FIRST
from bench.wire import answer_length, post

HOUSE = Path(__file__).parents[1]
PEERS = HOUSE / "bench/peers"
SOCKETS = 20_000
PATIENCE = 30.0
SETTINGS = {
    "environment": "production",
    "secret": "a secret of the bench, of no use elsewhere",
    "requests_per_minute": 0,
    "requests_per_minute_per_address": 0,
    "max_active_reservations": 1_000_000,
    "max_active_reservations_per_address": 1_000_000,
}
"""Of a server in production; the limits of a single caller are raised, for here one machine is all callers."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Program:
    """How to start one kind of server on one database: arguments and environment, the port among them."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: bytes = post(FIRST, {})
    """What it answers as soon as it is ready."""


class Server:
    """A running server."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.name = program.name
        self.address = ("127.0.0.1", _free_port())
        port = str(self.address[1])
        self.log = folder / f"{program.name.replace(' ', '')}-{next(_numbers)}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                program.arguments,
                cwd=HOUSE,
                env=os.environ | program.environment | {"PORT": port, "HOLDFAST_PORT": port},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @cached_property
    def _seen(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def answer(self, request: bytes) -> bytes:
        """Ask once, over a connection of its own. Raises OSError."""
        with socket.create_connection(self.address, PATIENCE) as sock:
            sock.sendall(request)
            data = b""
            while (length := answer_length(data)) is None or len(data) < length:
                more = sock.recv(262_144)
                if not more:
                    raise ConnectionError(f"{self.name} hung up: {data!r}")
                data += more
            return data

    def data(self, request: bytes) -> Any:
        """The ``data`` of one answer. Raises RuntimeError for another."""
        answer = self.answer(request)
        try:
            told = orjson.loads(answer[answer.index(b"\r\n\r\n") :])
        except ValueError:
            told = {}
        if "errors" in told or not told.get("data"):
            raise RuntimeError(f"{self.name}: {answer[-1000:].decode()}\n{self.words}")
        return told["data"]

    @property
    def words(self) -> str:
        """What it said last."""
        return self.log.read_text(errors="replace")[-2000:]

    def first_answer(self, request: bytes, pause: float = 0.01) -> bytes:
        """Ask until it answers. Raises RuntimeError where it ends instead, with its last words."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                return self.answer(request)
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > ends:
                    raise RuntimeError(f"{self.name} does not answer: {error}\n{self.words}") from None
                time.sleep(pause)

    def cpu(self) -> float:
        """Seconds of CPU, its children's among them."""
        return used_by_family(self._process.pid)

    def rss(self) -> int:
        """Bytes of memory that are its own or shared, its children's among them."""
        family = [self._seen, *self._seen.children(recursive=True)]
        return sum(process.memory_info().rss for process in family)

    def pss(self) -> int:
        """Bytes of memory, what is shared by its share; its children's among them."""
        family = [self._seen, *self._seen.children(recursive=True)]
        return sum(process.memory_full_info().pss for process in family)

    def stop(self) -> None:
        """End it, the hard way if it takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass(frozen=True)
class Stable:
    """Knows how to start each server on a database of the cluster."""

    cluster: Cluster
    buyers: Buyers

    def holdfast(self, database: str, **settings: object) -> Program:
        """Holdfast, of one process, with the worker inside as it is without Redis."""
        given = SETTINGS | {
            "database_url": self.cluster.serving(database),
            "data_dir": self.cluster.folder / "holdfast",
            "jwt_private_key": self.buyers.private_key,
        } | settings  # fmt: skip
        return Program(
            "holdfast",
            (sys.executable, "-m", "holdfast", "serve"),
            {f"HOLDFAST_{name.upper()}": str(value) for name, value in given.items()},
        )

    def bare(self, name: str, database: str, probe: bytes) -> Program:
        """A baseline of ``bench/bare``."""
        return Program(name, (sys.executable, "-m", f"bench.bare.{name}"), self._database(database), probe)

    def peer(self, name: str, database: str, *arguments: str) -> Program:
        """A server of ``bench/peers``, on Node."""
        environment = self._database(database) | {
            "NODE_ENV": "production",
            "PUBLIC_KEY": str(self.buyers.public_key),
        }
        command = ("node", str(PEERS / f"{name}.mjs"), *arguments)
        return Program(" ".join((name, *arguments)), command, environment)

    def _database(self, name: str) -> dict[str, str]:
        return self.cluster.environment(name) | {"DSN": self.cluster.whole(name)}

    @contextmanager
    def running(self, *programs: Program) -> Iterator[list[Server]]:
        """Start them, wait for their first answers, and stop them on the way out."""
        servers: list[Server] = []
        try:
            for program in programs:
                servers.append(Server(program, self.cluster.folder))
                servers[-1].first_answer(program.probe)
            yield servers
        finally:
            for server in servers:
                server.stop()


def node_missing() -> str:
    """Why the peers on Node cannot run; empty where they can."""
    if shutil.which("node") is None:
        return "no Node here"
    if not (PEERS / "node_modules/mercurius").is_dir():
        return "no peers here: run npm ci in bench/peers"
    return ""


def _free_port() -> int:
    """A port that nobody listens on, out of those that no client is given for its own end."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
