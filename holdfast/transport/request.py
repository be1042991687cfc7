"""What POST, GET, event streams and sockets share: the ports, the limits, and the form of a request."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any, Protocol
from uuid import UUID

import orjson
from graphql import OperationType
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope, Send

from domain.errors import Denial, RateLimited, TimedOut, Unauthenticated
from domain.rates import Rates
from domain.viewer import Viewer
from holdfast.transport.ending import Ending
from holdfast.transport.patience import Patience
from holdfast.transport.trusted import TrustedDocuments
from schema.documents import DocumentRejected
from schema.errors import WireError, denied, internal
from schema.executor import Executor, OperationContext, Prepared, Result, Variables
from schema.sharing import Shared

MOST_COMMAS = 10_000
"""In one JSON text: there are at most as many values, and to check one as an argument takes some microseconds."""

AT_ONCE = 0.2
"""Seconds that a query may take before anybody looks whether its reader is still there."""

_log = logging.getLogger(__name__)


class Authenticate(Protocol):
    """Tells who asks."""

    def __call__(self, authorization: str | None, address: str, request_id: str) -> Awaitable[Viewer]:
        """Judge an Authorization value as it came, scheme and all; None is a guest.

        Raises a Denial: Unauthenticated when the token is malformed, forged or expired, or its session ended.
        """


class SessionWatch(Protocol):
    """Tells at once when a session ends: signed out, revoked, or its family burnt."""

    def watch(self, session_id: UUID, ended: Callable[[], None]) -> Callable[[], None]:
        """Call ``ended`` once, on the event loop's thread, when the session ends; return what stops it.

        A session that has ended already is told too, so that none slips through between sign-in and watch.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body: int = 256 * 1024
    operation: float = 10
    message: int = 256 * 1024
    json_depth: int = 64
    operations_per_socket: int = 100
    messages_per_second: int = 200
    sockets_per_address: int = 2_000
    sockets_per_account: int = 100
    subscriptions_per_caller: int = 5_000
    initialisation: float = 10
    send: float = 20
    close: float = 0.5
    heartbeat: float = 12


class Malformed(Exception):
    """A request that is none: refused with an HTTP status, on a socket with a close code."""

    def __init__(self, message: str, status: int = 400, code: str = "BAD_REQUEST", **headers: str) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def wire(self) -> WireError:
        """The error as the client reads it."""
        return {"message": self.message, "extensions": {"code": self.code}}


@dataclass(frozen=True, slots=True)
class Parameters:
    """A GraphQL request, as GraphQL over HTTP names its parts ("Request Parameters")."""

    query: str | None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None
    document_id: str | None = None

    @classmethod
    def of(cls, value: object) -> Parameters:
        """The request in a decoded JSON value. Raises Malformed."""
        match value:
            case list():
                message = "Batches are not accepted: send one operation in a request."
                raise Malformed(message)
            case dict():
                document_id = _part(value, "documentId", str)
                return cls(
                    _part(value, "query", str, required=document_id is None),
                    _part(value, "operationName", str),
                    _part(value, "variables", dict),
                    _part(value, "extensions", dict),
                    document_id,
                )
        message = 'A request is a JSON object with a "query" or a "documentId".'
        raise Malformed(message)


@dataclass(slots=True)
class Ports:
    """What the transport needs of the house, and how it runs an operation with it.

    ``refused`` counts what was turned away, by code.
    """

    executor: Executor
    authenticate: Authenticate
    make_context: Callable[[Viewer], OperationContext]
    sessions: SessionWatch
    limits: Limits
    may_introspect: Callable[[Viewer], bool]
    rates: Rates | None = None
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)
    refused: Counter[str] = field(default_factory=Counter)
    _mutations: set[asyncio.Task[Result]] = field(default_factory=set)
    _at_once: Patience = field(default_factory=lambda: Patience(AT_ONCE))
    _deadlines: Patience = field(init=False)

    def __post_init__(self) -> None:
        self._deadlines = Patience(self.limits.operation)

    async def identify(self, authorization: str | None, address: str, request_id: str) -> Viewer:
        """Who asks. Raises a Denial; one who fails at it is counted by the address."""
        try:
            return await self.authenticate(authorization, address, request_id)
        except Denial as denial:
            self.refused[denial.code] += 1
            if self.rates is not None and isinstance(denial, Unauthenticated):
                self.rates.admit_address(address)
            raise

    def admit(self, viewer: Viewer) -> None:
        """Count one operation of this caller, before it is prepared. Raises RateLimited."""
        if self.rates is None:
            return
        try:
            self.rates.admit(viewer)
        except RateLimited as denial:
            self.refused[denial.code] += 1
            raise

    def prepare(self, parameters: Parameters, viewer: Viewer) -> Prepared:
        """Parse, validate and pick the operation. Raises DocumentRejected."""
        try:
            return self.executor.prepare(
                self.trusted.text(parameters.query, parameters.document_id),
                parameters.operation_name,
                variables=parameters.variables,
                allow_introspection=self.may_introspect(viewer),
            )
        except DocumentRejected as rejected:
            self.refused[rejected.errors[0]["extensions"]["code"]] += 1
            raise

    def results(
        self, prepared: Prepared, variables: Variables, viewer: Viewer, place: Any = None
    ) -> AsyncGenerator[Result | Shared[Result], None]:
        """The results of any operation, in a context of its own; one for a query or a mutation.

        ``place`` is where a subscription goes on that has been told a ``Shared`` already. A mutation whose reader goes
        away runs to its end all the same.
        """
        if prepared.kind is OperationType.SUBSCRIPTION:
            context = self.make_context(viewer)
            context.place = place
            return self.executor.follow(prepared, variables, context)
        return self._result(prepared, variables, viewer)

    async def mutations_finished(self) -> None:
        """Wait for the mutations that outlived their reader."""
        while self._mutations:
            await asyncio.wait(self._mutations)

    async def run_query(
        self,
        prepared: Prepared,
        variables: Variables,
        viewer: Viewer,
        left: Callable[[], Awaitable[None]] | None = None,
    ) -> Result:
        """The result of a query, which runs in the caller's task and ends when that is cancelled.

        Raises TimedOut, and ClientDisconnect when ``left`` is done before: it is asked of what does not end at once.
        """
        ending = Ending()
        running = self.executor.execute(prepared, variables, self.make_context(viewer))
        if left is not None:
            running = self._at_once.within(running, lambda: ending.after(left, ClientDisconnect()))
        overdue = self._deadlines.within(running, lambda: ending.now(self.timed_out(prepared)))
        return await ending.of(overdue)

    def timed_out(self, prepared: Prepared) -> TimedOut:
        """What a caller is told whose operation took too long."""
        self.refused[TimedOut.code] += 1
        took = f"This {prepared.kind.value} took longer than {self.limits.operation:g} s"
        if prepared.kind is OperationType.MUTATION:
            return TimedOut(
                f"{took} and goes on: send it again with the same idempotencyKey to learn what became of it."
            )
        return TimedOut(f"{took} and was ended: ask for less, or again later.")

    async def _result(
        self, prepared: Prepared, variables: Variables, viewer: Viewer
    ) -> AsyncGenerator[Result | Shared[Result], None]:
        try:
            if prepared.kind is OperationType.MUTATION:
                result = await self._run_mutation(prepared, variables, viewer)
            else:
                result = await self.run_query(prepared, variables, viewer)
        except TimedOut as late:
            yield {"errors": [denied(late)]}
        else:
            result["extensions"] = prepared.extensions
            yield result

    async def _run_mutation(self, prepared: Prepared, variables: Variables, viewer: Viewer) -> Result:
        """The result of a mutation, which runs to its end whether anybody waits for it or not. Raises TimedOut."""
        work = asyncio.create_task(self.executor.execute(prepared, variables, self.make_context(viewer)))
        self._mutations.add(work)
        work.add_done_callback(self._mutations.discard)
        await asyncio.wait({work}, timeout=self.limits.operation)
        if work.done():
            return work.result()
        raise self.timed_out(prepared)


def decode(text: bytes | str, depth: int) -> object:
    """The value of a JSON text nested at most ``depth`` deep, with at most MOST_COMMAS. Raises Malformed.

    orjson itself refuses what is not UTF-8, numbers out of range and lone surrogates (RFC 8259, 7 and 8.1).
    """
    signs = text.encode(errors="replace") if isinstance(text, str) else text
    if signs.count(b",") > MOST_COMMAS:
        message = f"The JSON has more than {MOST_COMMAS} commas, so too many values: send several requests."
        raise Malformed(message)
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        message = f"Not a JSON text: {error.msg}."
        raise Malformed(message) from None
    if signs.count(b"[") + signs.count(b"{") > depth and _deeper_than(value, depth):
        message = f"The JSON is nested more than {depth} deep: give a flatter value."
        raise Malformed(message)
    return value


def encode(value: object, request_id: str) -> bytes:
    """The JSON text of a result or message; what JSON cannot say becomes an INTERNAL error in its place."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        _log.error("a result is not JSON", exc_info=error, extra={"request_id": request_id})
        broken = {"errors": [internal(request_id)]}
        if isinstance(value, dict) and "payload" in value:
            return orjson.dumps({**value, "payload": broken})
        return orjson.dumps(broken)


async def deliver(send: Send, *messages: Message) -> None:
    """Send to a client who may have left. Raises ClientDisconnect."""
    try:
        for message in messages:
            await send(message)
    except (OSError, RuntimeError):
        # uvloop raises RuntimeError when the connection closed in this turn; uvicorn hears of it in the next.
        await asyncio.sleep(0)
        raise ClientDisconnect from None


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's X-Request-Id if it is a plain token of at most 64 characters, or a new one."""
    given = headers.get("x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def address_of(scope: Scope) -> str:
    """The caller's network address as text, or "" on a UNIX socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def abort_of(scope: Scope) -> Callable[[], None]:
    """What drops the connection at once, unsent bytes and all; see ``holdfast.transport.http_protocol``."""
    abort: Callable[[], None] = (
        scope.get("extensions", {}).get("holdfast.transport", {}).get("abort", _nothing)
    )
    return abort


def status_of(denial: Denial) -> int:
    """The HTTP status of a denial that stops a whole request."""
    return _STATUS.get(denial.code, 400)


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATUS = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "RATE_LIMITED": 429,
    "UNAVAILABLE": 503,
    "TIMED_OUT": 504,
}


def _nothing() -> None:
    """Stand in where the server has no such door."""


def _part(value: dict[str, Any], name: str, kind: type, *, required: bool = False) -> Any:
    part = value.get(name)
    if isinstance(part, kind) or (part is None and not required):
        return part
    message = f'"{name}" must be {"a string" if kind is str else "an object"}.'
    raise Malformed(message)


def _deeper_than(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)
