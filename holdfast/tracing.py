"""A span an operation for OpenTelemetry, where the standard variables say where spans go.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has the variables. One span an
operation, none a field: those would cost four times what the operation does. A caller's ``traceparent``
(https://www.w3.org/TR/trace-context/) makes its span the parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.terminal import say
from schema.executor import Prepared

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Begins spans, and takes the caller's context from the headers of a request."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("holdfast")

    def begin(self, prepared: Prepared) -> Callable[[str], None]:
        """Begin the span of one operation; what is returned ends it, with the outcome."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        kind = prepared.kind.value
        attributes = {"graphql.operation.type": kind, "graphql.operation.name": prepared.label}
        span = self._tracer.start_span(
            f"{kind} {prepared.label}", kind=SpanKind.SERVER, attributes=attributes
        )

        def end(outcome: str) -> None:
            span.set_attribute("holdfast.outcome", outcome)
            if outcome in ("INTERNAL", "UNAVAILABLE"):
                span.set_status(Status(StatusCode.ERROR, outcome))
            span.end()

        return end

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application whose requests and sockets know the span of their caller."""
        from opentelemetry.context import attach, detach
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        extract = TraceContextTextMapPropagator().extract

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            token = attach(extract(Headers(scope=scope)))
            try:
                await app(scope, receive, send)
            finally:
                detach(token)

        return traced

    def close(self) -> None:
        """Send what has not been sent yet. It blocks, for as long as the exporter's time-out."""
        self._provider.shutdown()


def tracing() -> Tracing | None:
    """What the environment asks for; None where it asks for nothing, or for more than is installed."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        say(
            f"{VARIABLES[0]} is set, but OpenTelemetry is not installed: pip install 'holdfast[opentelemetry]'"
        )
        return None
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "holdfast"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
