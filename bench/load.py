"""A closed loop over HTTP in a process of its own: so many connections, each asks again when it is answered.

There is one client for all that is measured, and it does next to nothing: it shares two cores with what it measures.
"""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

import orjson

from bench.client import apart
from bench.wire import answer_length, head

READ = 262_144
PATIENCE = 30.0


class Requests(Protocol):
    """What is asked, one request after the other."""

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Same:
    """The same request every time."""

    request: bytes

    def __iter__(self) -> Iterator[bytes]:
        return repeat(self.request)


@dataclass(frozen=True, slots=True)
class Reserving:
    """Two seats each time that nobody has asked for, on one schedule after the other, by one buyer after the other.

    Request ``k`` takes pair ``k // width`` of schedule ``k % width``; when all pairs are gone it goes on with the next
    ``width`` schedules.
    """

    document: str
    schedules: list[str]
    pairs: list[tuple[str, str]]
    tokens: list[str]
    width: int
    first: int = 0

    def __iter__(self) -> Iterator[bytes]:
        heads = [head(token) for token in self.tokens]
        opening = orjson.dumps({"query": self.document})[:-1] + b',"variables":{"schedule":"'
        pairs = [orjson.dumps(pair) for pair in self.pairs]
        schedules = [f'{gid}","labels":'.encode() for gid in self.schedules]
        fixed, width, round_of = len(opening) + 2, self.width, self.width * len(pairs)
        number = self.first
        while True:
            lap, place = divmod(number, round_of)
            schedule, pair = schedules[lap * width + place % width], pairs[place // width]
            yield b"%b%d\r\n\r\n%b%b%b}}" % (
                heads[number % len(heads)], fixed + len(schedule) + len(pair), opening, schedule, pair
            )  # fmt: skip
            number += 1


@dataclass(frozen=True, slots=True)
class Job:
    """What to do. ``good`` is in each answer that is as it should be."""

    address: tuple[str, int]
    connections: int
    seconds: float
    requests: Requests
    good: bytes


@dataclass(slots=True)
class Outcome:
    """What came of it: latencies in seconds, the client's own CPU, and the first answers that were wrong."""

    seconds: float = 0.0
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0
    wrongs: list[bytes] = field(default_factory=list)
    length: int = 0

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def run(job: Job) -> Outcome:
    """Do the job in a process of its own. Raises RuntimeError where it fails or more than a hundredth goes wrong."""
    outcome = apart(loop, job)
    if not outcome.count or outcome.wrong > outcome.count // 100:
        raise RuntimeError(f"{outcome.wrong} of {outcome.count} wrong, such as {outcome.wrongs[:1]}")
    return outcome


class Caller:
    """One connection and its one request under way."""

    __slots__ = ("_asked_at", "_got", "_lacks", "sock")

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self._lacks = 0
        self._asked_at = 0.0

    def ask(self, request: bytes) -> None:
        self._asked_at = time.perf_counter()
        self.sock.sendall(request)

    def read(self) -> tuple[bytes, float] | None:
        """The answer and how long it took, when all of it is there."""
        data = self.sock.recv(READ)
        if not data:
            raise ConnectionError("the server hung up")
        if self._got:
            data = self._got + data
        length = self._lacks or answer_length(data)
        if length is None or len(data) < length:
            self._got, self._lacks = data, length or 0
            return None
        self._got, self._lacks = b"", 0
        return data, time.perf_counter() - self._asked_at


def loop(job: Job) -> Outcome:
    """Ask until the time is over, then wait for the last answers."""
    outcome, requests = Outcome(), iter(job.requests)
    callers = [Caller(job.address) for _ in range(job.connections)]
    selector = selectors.DefaultSelector()
    for caller in callers:
        selector.register(caller.sock, selectors.EVENT_READ, caller)
    gc.disable()
    took, good, cpu = outcome.latencies.append, job.good, time.process_time()
    began = time.perf_counter()
    ends, busy = began + job.seconds, len(callers)
    for caller in callers:
        caller.ask(next(requests))
    while busy:
        ready = selector.select(PATIENCE)
        if not ready:
            raise TimeoutError("no answer")
        goes_on = time.perf_counter() < ends
        for key, _ in ready:
            answered = key.data.read()
            if answered is None:
                continue
            answer, latency = answered
            took(latency)
            if good not in answer or b'"errors":' in answer:
                outcome.wrong += 1
                outcome.wrongs.append(answer[:2000])
                del outcome.wrongs[3:]
            if goes_on:
                key.data.ask(next(requests))
            else:
                busy -= 1
    outcome.seconds = time.perf_counter() - began
    outcome.cpu = time.process_time() - cpu
    outcome.length = len(answer)
    return outcome
