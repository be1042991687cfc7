"""A span an operation, sent as OpenTelemetry's protocol has it, and only where somebody asked for it."""

from __future__ import annotations

import asyncio
import builtins
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from holdfast.tracing import VARIABLES, tracing
from holdfast.web import make_web
from tests.holdfast.visiting import run, visiting
from tests.world import World

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RESERVE = """
mutation Anna($id: ID!, $labels: [String!]!) {
  reserve(input: {target: {seats: {scheduleId: $id, labels: $labels}}}) { __typename }
}
"""


class Receiver:
    """Takes spans over HTTP, as a collector does, and keeps them."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def service(self) -> str:
        (resource,) = {str(each.resource) for request in self.requests for each in request.resource_spans}
        return resource


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the environment names."""
    made = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


@pytest.mark.feature("S4.57")
async def test_each_operation_is_a_span_under_that_of_its_caller(world: World, receiver: Receiver) -> None:
    departure = await world.departure()
    web = make_web(world.app)
    async with visiting(web, "192.0.2.7") as client:
        client.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
        await run(client, RESERVE, id=departure.id, labels=["A1"])
        await run(client, RESERVE, id=departure.id, labels=["A1"])
        del client.headers["traceparent"]
        await run(client, "{ server { version now cursor } }")
    await web.watch.close()
    first, second, third = receiver.spans
    assert [span.name for span in receiver.spans] == ["mutation reserve", "mutation reserve", "query server"]
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert second.trace_id.hex() == TRACE
    assert third.trace_id.hex() != TRACE
    assert third.parent_span_id == b""
    assert attributes(second) == {
        "graphql.operation.type": "mutation",
        "graphql.operation.name": "reserve",
        "holdfast.outcome": "SEATS_UNAVAILABLE",
    }
    assert second.status.code == Status.STATUS_CODE_UNSET, "what is refused is no failure of ours"
    assert first.end_time_unix_nano > first.start_time_unix_nano
    assert 'string_value: "holdfast"' in receiver.service
    for private in ("anna", "192.0.2.7", departure.id):
        assert private not in str(receiver.requests).lower()


async def test_spans_of_requests_at_once_keep_to_their_own_callers(world: World, receiver: Receiver) -> None:
    web = make_web(world.app)
    traces = [f"{number:032x}" for number in range(1, 21)]

    async def ask(trace: str) -> None:
        async with visiting(web) as client:
            client.headers["traceparent"] = f"00-{trace}-{PARENT}-01"
            await run(client, "{ server { now } }")

    await asyncio.gather(*map(ask, traces))
    await web.watch.close()
    assert sorted(span.trace_id.hex() for span in receiver.spans) == traces


async def test_a_failure_of_ours_is_an_error_of_the_span(world: World, receiver: Receiver) -> None:
    web = make_web(world.app)
    await world.tables.execute("ALTER TABLE organization RENAME TO elsewhere")
    async with visiting(web) as client:
        await run(client, "{ organizations(first: 1) { nodes { id } } }")
    await web.watch.close()
    (span,) = receiver.spans
    assert (attributes(span)["holdfast.outcome"], span.status.code) == ("INTERNAL", Status.STATUS_CODE_ERROR)


def test_without_the_variable_nothing_is_traced_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    assert tracing() is None
    assert {name for name in sys.modules if name.startswith("opentelemetry.sdk")} <= before


def test_a_variable_without_the_packages_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = builtins.__import__

    def missing(name: str, *more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return load(name, *more)

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(builtins, "__import__", missing)
    assert tracing() is None
    assert "pip install 'holdfast[opentelemetry]'" in capsys.readouterr().err
