"""Hostile requests to a running server: each is refused cleanly, cheaply and quietly, and the server goes on."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.acceptance.conftest import RunningServer
from tests.clients import GraphQLHttp

pytestmark = pytest.mark.asyncio(loop_scope="module")

CPU = 0.05
JSON = b"content-type: application/json\r\n"


@dataclass(frozen=True)
class Case:
    """A body, or with ``raw`` a whole request, and what it is answered with."""

    body: bytes = b""
    code: str = "TOO_COMPLEX"
    status: int = 400
    raw: bytes | None = None

    @property
    def request(self) -> bytes:
        if self.raw is not None:
            return self.raw
        accept = b"accept: application/graphql-response+json\r\n"
        length = b"content-length: %d\r\n" % len(self.body)
        return b"POST /graphql HTTP/1.1\r\nhost: x\r\n" + JSON + accept + length + b"\r\n" + self.body


def document(text: str, **more: Any) -> bytes:
    return json.dumps({"query": text, **more}).encode()


def chunked(*chunks: bytes) -> bytes:
    return (
        b"POST /graphql HTTP/1.1\r\nhost: x\r\n"
        + JSON
        + b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(chunks)
    )


SEATS = "schedules(first: 100, search: {}) {nodes {seats {status seat {label}}}}"
LABELS = "mutation($l: [String!]!){blockSeats(input: {scheduleId: 1, blocked: true, labels: $l}){__typename}}"
WIDE = "query($s: ScheduleSearch!){schedules(first: 1, search: $s){nodes{id}}}"
MALFORMED, INVALID, PARSE, INPUT = (
    "BAD_REQUEST",
    "GRAPHQL_VALIDATION_FAILED",
    "GRAPHQL_PARSE_FAILED",
    "BAD_USER_INPUT",
)

CASES = {
    "twenty megabytes": Case(b" " * 20_000_000, "PAYLOAD_TOO_LARGE", 413),
    "twenty megabytes in chunks": Case(
        code="PAYLOAD_TOO_LARGE", status=413, raw=chunked(*[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 300)
    ),
    "a quarter of a megabyte, a byte a chunk": Case(
        code="PAYLOAD_TOO_LARGE", status=413, raw=chunked(*[b"1\r\n \r\n"] * 40_000)
    ),
    "not UTF-8": Case(b'{"query": "\xff\xfe"}', MALFORMED),
    "half a character": Case(b'{"query": "{hello(name: \\"\\ud83d\\")}"}', MALFORMED),
    "deep lists": Case(b"[" * 200_000, MALFORMED),
    "deep lists that end": Case(b"[" * 900 + b"]" * 900, MALFORMED),
    "deep objects": Case(
        b'{"query": "{a}", "variables": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}", MALFORMED
    ),
    "many lists": Case(b'{"query": "{a}", "variables": {"a": [' + b"[]," * 80_000 + b"[]]}}", MALFORMED),
    "five thousand digits": Case(b'{"query": "{a}", "variables": {"a": ' + b"9" * 5_000 + b"}}", MALFORMED),
    "five thousand digits in a document": Case(document("{a(b: " + "9" * 5_000 + ")}")),
    "a number out of range": Case(document("{schedules(first: 1e999, search: {}){nodes{id}}}"), INVALID),
    "a batch": Case(json.dumps([{"query": "{viewer{id}}"}] * 5_000).encode(), MALFORMED),
    "a text": Case(b'"x"', MALFORMED),
    "an empty list": Case(b"[]", MALFORMED),
    "nothing": Case(b"", MALFORMED),
    "no document": Case(b"{}", MALFORMED),
    "an empty document": Case(document(""), PARSE),
    "a type": Case(document("type A{b: Int}"), INVALID),
    "alias flood": Case(document("{" + " ".join(f"a{n}: server{{version}}" for n in range(400)) + "}")),
    "dear aliases": Case(document("{" + " ".join(f"a{n}: {SEATS}" for n in range(30)) + "}")),
    "sixty dear aliases": Case(document("{" + " ".join(f"a{n}: {SEATS}" for n in range(60)) + "}")),
    "one name again and again": Case(document("{server{" + "version " * 2_900 + "}}")),
    "directives": Case(document("{server{version " + "@include(if: true)" * 400 + "}}")),
    "circular fragments": Case(
        document("{...A} fragment A on Query{...B} fragment B on Query{...A}"), INVALID
    ),
    "doubling fragments": Case(
        document(
            "{server{...F0}}"
            + "".join(f"fragment F{n} on ServerInfo{{...F{n + 1} ...F{n + 1}}}" for n in range(99))
        ),
        INVALID,
    ),
    "many fragments": Case(
        document(
            "{server{"
            + " ".join(f"...F{n}" for n in range(400))
            + "}}"
            + " ".join(f"fragment F{n} on ServerInfo{{version}}" for n in range(300))
        )
    ),
    "deep fields": Case(document("{" + "viewer{" * 150 + "id" + "}" * 151)),
    "deep literals": Case(
        document("{schedules(first: 1, search: " + "{a: " * 300 + "1" + "}" * 300 + "){nodes{id}}}"), PARSE
    ),
    "logins by the dozen": Case(
        document(
            "mutation{"
            + " ".join(
                f'a{n}: login(input: {{email: "a@b.example", password: "{n}"}}){{__typename}}'
                for n in range(30)
            )
            + "}"
        )
    ),
    "a name without end": Case(document("{" + "x" * 60_000 + "}")),
    "a document without end": Case(document("{viewer{id}}" + " " * 100_000)),
    "comments": Case(document("#\n" * 30_000 + "{viewer{id}}"), PARSE),
    "sixty thousand labels": Case(document(LABELS, variables={"l": [1] * 60_000}), MALFORMED),
    "four thousand wrong labels": Case(document(LABELS, variables={"l": [1] * 4_000}), INPUT),
    "unknown parts": Case(document(WIDE, variables={"s": {f"x{n}": n for n in range(3_000)}}), INPUT),
    "many operations": Case(document(" ".join(f"query A{n}{{viewer{{id}}}}" for n in range(700)))),
    "an operation nobody knows": Case(
        document("{viewer{id}}", operationName="x" * 200_000), "OPERATION_RESOLUTION_FAILURE"
    ),
    "a large page of everything": Case(
        document(
            "query($n: Int!){schedules(first: $n, search: {}){nodes{seats{seat{label} status price{amount}}}}}",
            variables={"n": 100},
        )
    ),
    "a wrong length": Case(
        code=MALFORMED, raw=b"POST /graphql HTTP/1.1\r\nhost: x\r\n" + JSON + b"content-length: -5\r\n\r\n{}"
    ),
    "two lengths": Case(
        code=MALFORMED,
        raw=b"POST /graphql HTTP/1.1\r\nhost: x\r\n"
        + JSON
        + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}",
    ),
    "a length and chunks": Case(
        code=MALFORMED,
        raw=b"POST /graphql HTTP/1.1\r\nhost: x\r\n"
        + JSON
        + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "a chunk without end": Case(code=MALFORMED, raw=chunked(b"f" * 40 + b"\r\n")),
    "no HTTP": Case(code=MALFORMED, raw=b"\x16\x03\x01\x00\xa5\x01\x00\x00"),
    "a head without end": Case(
        code="HEAD_TOO_LARGE", status=431, raw=b"GET /graphql HTTP/1.1\r\n" + b"x: y\r\n" * 20_000
    ),
    "a URL that is no text": Case(code=MALFORMED, raw=b"GET /graphql?query=%ff HTTP/1.1\r\nhost: x\r\n\r\n"),
    "a page of parts": Case(
        code=MALFORMED,
        raw=b"GET /graphql?" + b"&".join(b"a=%d" % n for n in range(500)) + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ),
}


async def answer_to(server: RunningServer, request: bytes) -> tuple[int, str]:
    """Status and code. What was answered before everything was sent counts too."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def send() -> None:
        writer.write(request)
        with suppress(ConnectionError):  # the server has heard enough
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            (length,) = (
                int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length")
            )
            body = json.loads(await reader.readexactly(length))
    finally:
        sending.cancel()
        writer.close()
    return int(head.split()[1]), body["errors"][0]["extensions"]["code"]


def spent(process: psutil.Process) -> float:
    """Seconds of CPU."""
    times = process.cpu_times()
    return float(times.user + times.system)


@pytest.mark.feature("S4.52")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_hostile_is_refused_cheaply_and_quietly(
    running_server: RunningServer, case: Case
) -> None:
    process = psutil.Process(running_server.process.pid)
    said, costs = len(running_server.process.said), []
    for _ in range(2):  # the collector of garbage may fall into one
        before = spent(process)
        assert await answer_to(running_server, case.request) == (case.status, case.code)
        costs.append(spent(process) - before)
    assert min(costs) <= CPU
    news = running_server.process.said[said:]
    assert "Traceback" not in news
    assert "[error" not in news
    async with GraphQLHttp(running_server.graphql) as http:
        assert (await http.run("{server{version}}"))["data"]
