"""A URL given by a user leads to the public Internet or nowhere: every kind of address, and every way to one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from threading import Event, Semaphore
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from automation.addresses import Reachable
from automation.webhooks.posting import MOST_READ, Poster, new_poster
from domain.errors import InvalidInput
from domain.messages import Message
from domain.webhooks import Attempt, checked_url
from tests.automation.receiver import LOOPBACK, Answer, Got, Receiver, receiving
from tests.processes import eventually

FORBIDDEN = """
0.0.0.0               this network
0.1.2.3               this network
10.0.0.1              private
10.255.255.255        private
100.64.0.1            shared with carriers
100.127.255.254       shared with carriers
127.0.0.1             loopback
127.255.0.1           loopback
169.254.169.254       metadata of clouds
169.254.0.1           link local
172.16.0.1            private
172.31.255.255        private
192.0.0.1             protocol assignments
192.0.0.170           discovery of NAT64
192.0.2.1             documentation
192.31.196.1          AS112
192.52.193.1          AMT
192.88.99.1           relay of 6to4
192.168.0.1           private
192.175.48.1          AS112
198.18.0.1            benchmarks
198.19.255.255        benchmarks
198.51.100.1          documentation
203.0.113.1           documentation
224.0.0.1             multicast
239.255.255.255       multicast
240.0.0.1             reserved
255.255.255.255       broadcast
::                    unspecified
::1                   loopback
::7f00:1              IPv4 compatible, loopback
::ffff:127.0.0.1      IPv4 mapped, loopback
::ffff:10.0.0.1       IPv4 mapped, private
::ffff:8.8.8.8        IPv4 mapped, public: nobody needs it
::ffff:0:127.0.0.1    IPv4 translated
64:ff9b::7f00:1       NAT64, loopback
64:ff9b::808:808      NAT64, public
64:ff9b:1::1          NAT64 for local use
100::1                discard only
100:0:0:1::1          dummy prefix
2001::1               Teredo
2001:1::1             port control anycast
2001:2::1             benchmarks
2001:10::1            ORCHID
2001:20::1            ORCHID 2
2001:db8::1           documentation
2002:7f00:1::1        6to4, loopback
2002:808:808::1       6to4, public
2620:4f:8000::1       AS112
3fff::1               documentation
4000::1               not in use
5f00::1               segment routing
fc00::1               unique local
fd12:3456::1          unique local
fe80::1               link local
fe80::1%eth0          link local, of one link
2a00:1450::1%1        of one link
fec0::1               site local
ff02::1               multicast
ff0e::1               multicast, global
2a00:1450:4001::5efe:7f00:1       ISATAP, loopback
2a00:1450:4001:0:200:5efe:a00:1   ISATAP, private
2130706433            loopback as a number
0x7f.1                loopback in hexadecimal
127.1                 loopback, short
017700000001          loopback in octal
localhost             a name
"""

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450:4001:800::200e",
)

MESSAGE = Message(b"{}", {"content-type": "application/json"})


def kinds() -> Iterator[tuple[str, str]]:
    for line in FORBIDDEN.strip().splitlines():
        address, _, kind = line.partition(" ")
        yield address, kind.strip()


@pytest.mark.parametrize(("address", "kind"), list(kinds()))
def test_a_special_address_is_forbidden(address: str, kind: str) -> None:
    assert not Reachable()(address), kind


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address: str) -> None:
    assert Reachable()(address)


def test_a_network_may_be_allowed_by_name() -> None:
    assert Reachable(["127.0.0.0/8"])("127.0.0.1")
    assert not Reachable(["127.0.0.0/8"])("10.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https://user@hooks.example/",
        "https://user:word@hooks.example/",
        "https://hooks.example/#part",
        "https:///path",
        "https://",
        "//hooks.example/",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example:x/",
        "https://hooks.example\\@127.0.0.1/",
        "https://hooks.example /",
        "https://hooks.example/\r\nX-More: 1",
        "https://höoks.example/",
        "https://hooks_example;/",
        "https://[::1/",
        "https://%31%32%37.0.0.1/",
        "https://hooks.example/" + "x" * 2_048,
    ],
)
def test_what_is_no_plain_https_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        checked_url(url, http=False)


# ------------------------------------------------------------------ the connection that is made


class Names(AbstractResolver):
    """Answers each question about any name with the next of these addresses, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """Nothing to let go."""


def _result(name: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {"hostname": name, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver on loopback."""
    async with receiving() as made:
        yield made


@asynccontextmanager
async def posting(*allowed: str, names: Names | None = None) -> AsyncIterator[Poster]:
    poster = new_poster(Reachable(allowed), http=True, resolver=names)
    try:
        yield poster
    finally:
        await poster.close()


async def refused(url: str, *allowed: str, names: Names | None = None) -> str | None:
    async with posting(*allowed, names=names) as poster:
        attempt = await poster(url, MESSAGE)
    assert attempt.status_code is None
    return attempt.error


def port_of(receiver: Receiver) -> str:
    return receiver.url.rpartition(":")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_an_address_in_the_url_is_judged_although_nobody_looks_it_up(
    host: str, receiver: Receiver
) -> None:
    assert await refused(f"http://{host}:{port_of(receiver)}/") == "forbidden_address"
    assert receiver.got == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "017700000001"])
async def test_an_address_written_otherwise_leads_nowhere(host: str, receiver: Receiver) -> None:
    assert await refused(f"http://{host}:{port_of(receiver)}/") is not None
    assert receiver.got == []


async def test_a_name_is_judged_by_every_address_that_it_has(receiver: Receiver) -> None:
    for found in (["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]):
        url = f"http://hooks.example:{port_of(receiver)}/"
        assert await refused(url, names=Names(found)) == "forbidden_address"
    assert await refused(f"http://localhost:{port_of(receiver)}/") == "forbidden_address"
    one_is_good = Names(["127.0.0.1", "10.0.0.1"])
    url = f"http://hooks.example:{port_of(receiver)}/"
    assert await refused(url, *LOOPBACK, names=one_is_good) == "forbidden_address"
    assert receiver.got == []


async def test_a_name_that_resolves_otherwise_the_second_time_gains_nothing(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with posting("127.0.0.1/32", names=names) as poster:
        url = f"http://hooks.example:{port_of(receiver)}/"
        receiver.answers["/"] = _closing
        assert (await poster(url, MESSAGE)).status_code == 204
        assert (await poster(url, MESSAGE)).error == "forbidden_address"
    assert names.asked == 2
    assert len(receiver.got) == 1


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    async def elsewhere(_: Got) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": f"{receiver.url}/private"})

    receiver.answers["/"] = elsewhere
    async with posting(*LOOPBACK) as poster:
        attempt = await poster(f"{receiver.url}/", MESSAGE)
    assert (attempt.status_code, attempt.succeeded) == (307, False)
    assert [got.path for got in receiver.got] == ["/"]


async def test_no_proxy_of_the_environment_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url)
    monkeypatch.setenv("NO_PROXY", "")
    inside = Names(["10.0.0.1"])
    assert await refused("http://hooks.example/", *LOOPBACK, names=inside) == "forbidden_address"
    assert receiver.got == []


async def _closing(_: Got) -> web.StreamResponse:
    return web.Response(status=204, headers={"connection": "close"})


# ------------------------------------------------------------------ what a receiver may do to us


async def answered(receiver: Receiver, answer: Answer) -> Attempt:
    receiver.answers["/"] = answer
    async with posting(*LOOPBACK) as poster:
        return await poster(f"{receiver.url}/", MESSAGE)


async def test_an_endless_answer_costs_no_more_than_its_beginning(receiver: Receiver) -> None:
    written = 0

    async def endless(_: Got) -> web.StreamResponse:
        return web.Response(body=pieces())

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal written
        while written < 100_000_000:
            written += MOST_READ
            yield b"x" * MOST_READ

    attempt = await answered(receiver, endless)
    assert attempt.status_code == 200
    assert written < 10_000_000


async def test_an_answer_with_too_much_of_a_head_is_broken(receiver: Receiver) -> None:
    async def long(_: Got) -> web.StreamResponse:
        return web.Response(headers={"x-long": "x" * 20_000})

    async def many(_: Got) -> web.StreamResponse:
        return web.Response(headers={f"x-{number}": "x" for number in range(200)})

    assert (await answered(receiver, long)).error == "broken_answer"
    assert (await answered(receiver, many)).error == "broken_answer"


async def test_an_answer_that_does_not_come_is_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    monkeypatch.setattr("automation.webhooks.posting.TIME_OUT", 0.2)
    attempt = await answered(receiver, slow)
    over.set()
    assert (attempt.status_code, attempt.error) == (None, "timed_out")


@pytest.mark.parametrize(
    ("value", "expected"), [("120", 120), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("soon", None), ("-1", None)]
)
async def test_retry_after_is_understood_in_both_its_forms(
    receiver: Receiver, value: str, expected: int | None
) -> None:
    async def later(_: Got) -> web.StreamResponse:
        return web.Response(status=503, headers={"retry-after": value})

    attempt = await answered(receiver, later)
    assert attempt.status_code == 503
    assert attempt.retry_after == (None if expected is None else timedelta(seconds=expected))


async def test_names_that_nobody_answers_for_keep_no_other_waiting(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, looking, ask = Event(), Semaphore(0), socket.getaddrinfo

    def asked(host: str, *more: Any, **how: Any) -> Any:
        if host.endswith(".example"):
            looking.release()
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return ask(host, *more, **how)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    try:
        async with posting(*LOOPBACK, "::1/128") as poster:
            hanging = [asyncio.create_task(poster(f"http://hook{n}.example/", MESSAGE)) for n in range(100)]
            await eventually(lambda: looking._value == len(hanging))
            attempt = await poster(f"http://localhost:{port_of(receiver)}/", MESSAGE)
            assert await asyncio.to_thread(bool, True)
            assert attempt.status_code == 204
            over.set()
            assert {(await each).error for each in hanging} == {"unknown_host"}
    finally:
        over.set()


async def test_nobody_there_is_an_attempt_like_any_other() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with posting(*LOOPBACK) as poster:
        assert (await poster(f"http://127.0.0.1:{port}/", MESSAGE)).error == "not_connected"
