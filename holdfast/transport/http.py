"""GraphQL over HTTP: POST with JSON, GET for queries, one result or an event stream.

The rules are those of the GraphQL over HTTP draft (https://graphql.github.io/graphql-over-http/draft/). A
client that takes application/graphql-response+json gets a 4xx for a request that was not run; one that takes
application/json gets 200 with the same body, unless the request was no GraphQL request at all.

A POST must be application/json: no page elsewhere can make a browser send that without asking first (CSRF). A
GET runs queries alone, and nothing that a browser sends on its own says who asks, so it needs no more.

A query whose client goes away is soon cancelled; a mutation runs to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from graphql import OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import Denial
from domain.viewer import Viewer
from holdfast.transport.accept import EVENT_STREAM, GRAPHQL_RESPONSE, JSON, Accepted, accepted, is_json
from holdfast.transport.patience import Patience
from holdfast.transport.request import (
    Malformed,
    Parameters,
    Ports,
    address_of,
    decode,
    deliver,
    encode,
    request_id_of,
    status_of,
)
from holdfast.transport.sse import EventStreams
from schema.documents import DocumentRejected
from schema.errors import WireError, denied, internal
from schema.executor import Prepared, Result

Page = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Answer:
    """One result, and how it travels."""

    result: Result
    media: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One request on its way, before anybody knows what it asks for; of a header sent twice, the first counts."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    request_id: str
    accept: Accepted

    @classmethod
    def of(cls, scope: Scope, receive: Receive, send: Send) -> Call:
        """A request as ASGI tells it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"][::-1]}
        return cls(scope, receive, send, headers, request_id_of(headers), accepted(headers.get("accept")))

    @property
    def method(self) -> str:
        """As it was sent: "GET", "POST" ..."""
        method: str = self.scope["method"]
        return method

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises Malformed when it is longer than ``limit``, if possible before reading it."""
        if int(self.headers.get("content-length", "0")) > limit:
            raise _too_large(limit)
        body = bytearray()
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            more = message.get("more_body", False)
        return bytes(body)

    async def left(self) -> None:
        """Wait until the client is gone; all of the body has been taken."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class HttpEndpoint:
    """The ASGI application behind ``/graphql``; ``page`` is shown to a browser that asks for HTML."""

    def __init__(self, ports: Ports, streams: EventStreams, page: Page | None) -> None:
        self._ports = ports
        self._streams = streams
        self._page = page
        self._deadlines = Patience(ports.limits.operation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call.of(scope, receive, send)
        clear_contextvars()
        bind_contextvars(request_id=call.request_id)
        try:
            if self._page is not None and call.accept.page_preferred and call.method == "GET":
                await (await self._page(Request(scope, receive)))(scope, receive, send)
                return
            answer = await self._answer(call)
        except ClientDisconnect:
            return
        except Exception as error:
            if isinstance(error, Malformed):
                self._ports.refused[error.code] += 1
            answer = _refused(error, call.request_id, call.accept.single or JSON)
        if answer is not None:
            with suppress(ClientDisconnect):
                await _respond(send, answer, call.request_id)

    async def _answer(self, call: Call) -> Answer | None:
        viewer = await self._ports.identify(
            call.headers.get("authorization"), address_of(call.scope), call.request_id
        )
        self._ports.admit(viewer)
        parameters, accept = await self._parameters(call), call.accept
        if accept.single is None and not accept.stream:
            message = f"Answers are {GRAPHQL_RESPONSE}, {JSON} or {EVENT_STREAM}."
            raise Malformed(message, 406, "NOT_ACCEPTABLE")
        try:
            prepared = self._ports.prepare(parameters, viewer)
        except DocumentRejected as rejected:
            if accept.single is None:
                await self._streams.refuse(rejected.errors, call.request_id, call.send)
                return None
            return _not_run(rejected.errors, accept.single)
        _refuse_unsafe_get(call.method, prepared)
        if accept.single is None or accept.stream_preferred or prepared.kind is OperationType.SUBSCRIPTION:
            if not accept.stream:
                message = "A subscription needs Accept: text/event-stream, or a graphql-transport-ws socket."
                raise Malformed(message, 406, "NOT_ACCEPTABLE")
            await self._streams.serve(prepared, parameters, viewer, call.scope, call.receive, call.send)
            return None
        if prepared.kind is OperationType.MUTATION:
            return await self._mutate(prepared, parameters, viewer, accept.single, call.send)
        result = await self._ports.run_query(prepared, parameters.variables, viewer, call.left)
        return _told(result, prepared, accept.single)

    async def _parameters(self, call: Call) -> Parameters:
        if call.method == "GET":
            return _parameters_of_url(call.scope["query_string"], self._ports.limits.json_depth)
        if call.method != "POST":
            message = "Send a POST, or a GET for a query."
            raise Malformed(message, 405, "METHOD_NOT_ALLOWED", allow="GET, POST")
        if not is_json(call.headers.get("content-type")):
            message = "The body must be application/json in UTF-8."
            raise Malformed(message, 415, "UNSUPPORTED_MEDIA_TYPE")
        body = await call.body(self._ports.limits.body)
        return Parameters.of(decode(body, self._ports.limits.json_depth))

    async def _mutate(
        self, prepared: Prepared, parameters: Parameters, viewer: Viewer, media: str, send: Send
    ) -> Answer | None:
        """The answer of a mutation; None when it took so long that its caller was told so meanwhile."""
        late: list[asyncio.Task[None]] = []

        def tell_late() -> None:
            answer = _refused(self._ports.timed_out(prepared), viewer.request_id, media)
            late.append(asyncio.create_task(_respond(send, answer, viewer.request_id)))

        # Here, and not in a task of its own, which would cost a twentieth of a reservation.
        running = self._ports.executor.execute(
            prepared, parameters.variables, self._ports.make_context(viewer)
        )
        result = await self._deadlines.within(running, tell_late)
        for telling in late:
            await telling
        return None if late else _told(result, prepared, media)


def _refused(error: Exception, request_id: str, media: str) -> Answer:
    match error:
        case Malformed():
            return Answer({"errors": [error.wire()]}, media, error.status, error.headers)
        case Denial():
            answer = Answer({"errors": [denied(error)]}, media, status_of(error))
            if answer.status == 401:
                answer.headers["www-authenticate"] = 'Bearer error="invalid_token"'
            if "retryAfter" in error.extensions:
                answer.headers["retry-after"] = str(error.extensions["retryAfter"])
            return answer
    _log.error("a request failed", exc_info=error, extra={"request_id": request_id})
    return Answer({"errors": [internal(request_id)]}, media, 500)


def _told(result: Result, prepared: Prepared, media: str) -> Answer:
    result["extensions"] = prepared.extensions
    return Answer(result, media, 200 if "data" in result or media == JSON else 400)


def _not_run(errors: list[WireError], media: str) -> Answer:
    return Answer({"errors": errors}, media, 200 if media == JSON else 400)


async def _respond(send: Send, answer: Answer, request_id: str) -> None:
    body = encode(answer.result, request_id)
    headers = [
        (b"content-type", b"%b; charset=utf-8" % answer.media.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    await deliver(
        send,
        {"type": "http.response.start", "status": answer.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _refuse_unsafe_get(method: str, prepared: Prepared) -> None:
    if method == "GET" and prepared.kind is OperationType.MUTATION:
        message = "A mutation needs POST."
        raise Malformed(message, 405, "METHOD_NOT_ALLOWED", allow="POST")
    if method == "GET" and prepared.private:
        message = (
            "This query takes a token or an e-mail address, which must not stand in a URL: send it by POST."
        )
        raise Malformed(message, 405, "METHOD_NOT_ALLOWED", allow="POST")


def _parameters_of_url(query_string: bytes, depth: int) -> Parameters:
    try:
        given: dict[str, object] = dict(
            parse_qsl(
                query_string.decode("ascii"), errors="strict", keep_blank_values=True, max_num_fields=16
            )
        )
    except ValueError:
        message = "The URL's query is not URL-encoded UTF-8."
        raise Malformed(message) from None
    for name in ("variables", "extensions"):
        text = given.get(name)
        if isinstance(text, str):
            given[name] = decode(text, depth) if text else None
    given["operationName"] = given.get("operationName") or None
    return Parameters.of(given)


def _too_large(limit: int) -> Malformed:
    message = f"The body is longer than {limit} bytes."
    return Malformed(message, 413, "PAYLOAD_TOO_LARGE", connection="close")
