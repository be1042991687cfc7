"""GraphQL over sockets: the graphql-transport-ws protocol (PROTOCOL.md of graphql-ws), and nothing older.

Signing in: ``connection_init`` with the payload ``{"authorization": "Bearer <token>"}``, or the same header
on the upgrade request; without either the caller is a guest. A wrong token closes with 4403.

Our extension: a socket outlives no token. When the access token runs out, or its session ends, the socket
closes with 4403. A fresh token of the same user goes in the payload of a ``ping``,
``{"authorization": "Bearer <token>"}``, and is answered by the ``pong``; operations that are running go on. A
wrong token, or another user's, closes with 4403.

Each operation has a context of its own, and is a task until it can share what it is told with others
(``multicast``). It asks its source for the next event only when the last frame was taken by the connection, so
that a slow reader holds one frame an operation; one that takes nothing for ``Limits.send`` seconds is dropped.
A mutation runs to its end, whoever leaves.

A caller who has too many sockets, and a peer that sends too many messages in a second, are closed with 1008,
which clients do not answer by coming again. Each process counts its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import Denial, Forbidden, RateLimited, Unavailable
from domain.throttle import network
from domain.viewer import Viewer
from holdfast.transport.callers import weight_of
from holdfast.transport.exchange import Exchange
from holdfast.transport.operation import Gone, Operation
from holdfast.transport.protocol import (
    SUBPROTOCOL,
    CloseCode,
    Closing,
    authorization_of,
    failed,
    id_of,
    payload_of,
    too_many_operations,
    too_many_subscriptions,
)
from holdfast.transport.request import (
    Malformed,
    Parameters,
    abort_of,
    address_of,
    decode,
    encode,
    request_id_of,
)
from holdfast.transport.tenure import Tenure
from schema.documents import DocumentRejected
from schema.errors import WireError, denied

_log = logging.getLogger(__name__)


class SocketEndpoint:
    """The ASGI application behind the socket of ``/graphql``.

    A browser is let in from its own host and from ``allowed_origins`` ("https://example.org"); what sends no
    Origin is no browser.
    """

    def __init__(self, exchange: Exchange, allowed_origins: Collection[str]) -> None:
        self._exchange = exchange
        self._allowed_origins = frozenset(allowed_origins)
        self._open: set[Socket] = set()
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        headers = Headers(scope=scope)
        await receive()
        if not may_come(headers, self._allowed_origins):
            await send({"type": "websocket.close"})
            return
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            code = CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE
            await send({"type": "websocket.close", "code": code, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        address, sockets = network(address_of(scope)), self._exchange.sockets_by_address
        if not sockets.enter(address):
            self._exchange.ports.refused["TOO_MANY_SOCKETS"] += 1
            reason = f"At most {sockets.limit} sockets from one address; close one first"
            await send({"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION, "reason": reason})
            return
        try:
            socket = Socket(self._exchange, scope, headers, receive, send)
            scope["headers"].clear()  # they would be a tenth of what an idle socket keeps
            await self._serve(socket)
        finally:
            sockets.leave(address)

    async def drain(self) -> None:
        """Close every socket, and every later one, with 1001; clients resume elsewhere with their cursor."""
        self._draining = True
        for socket in self._open:
            socket.end(CloseCode.GOING_AWAY, "Going away")
        if self._open:
            await asyncio.wait({socket.reader for socket in self._open})

    async def _serve(self, socket: Socket) -> None:
        self._open.add(socket)
        self._exchange.figures.sockets += 1
        try:
            if self._draining:
                socket.end(CloseCode.GOING_AWAY, "Going away")
            await socket.run()
        finally:
            self._exchange.figures.sockets -= 1
            self._open.discard(socket)


def may_come(headers: Headers, allowed_origins: Collection[str]) -> bool:
    """Whether a page of that Origin may open a socket: one of our own host, or one that is allowed."""
    origin = headers.get("origin")
    return origin is None or origin in allowed_origins or origin.partition("://")[2] == headers.get("host")


class Socket:
    """One socket: a reader, and its operations. Made by the task that runs it."""

    __slots__ = (
        "_abort",
        "_account",
        "_address",
        "_authorization",
        "_closing",
        "_deadline",
        "_drained",
        "_leaving",
        "_messages",
        "_operations",
        "_receive",
        "_request_id",
        "_second",
        "_send",
        "_started",
        "_tasks",
        "_tenure",
        "exchange",
        "reader",
        "write",
    )

    def __init__(
        self, exchange: Exchange, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        self.exchange = exchange
        self._authorization = headers.get("authorization")
        self._address = address_of(scope)
        self._request_id = request_id_of(headers)
        self._receive = receive
        self._send = send
        self._abort = abort_of(scope)
        door = scope.get("extensions", {}).get("holdfast.transport", {})
        self.write: Callable[[bytes], bool] | None = door.get("write")
        """Hands the connection a frame; False where it takes none now. Only our own server has that door."""
        self._drained: Callable[[], Coroutine[Any, Any, None]] | None = door.get("drained")
        self.reader: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        self._deadline: asyncio.TimerHandle | None = None
        self._tenure: Tenure | None = None
        self._account: UUID | None = None
        self._operations: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = self._second = self._messages = 0
        self._closing: Closing | None = None
        self._leaving = False

    async def writable(self) -> None:
        """Wait until the connection takes frames; one that takes none for too long is dropped."""
        if self._drained is not None:
            await self.exchange.patience.within(self._drained(), self._too_slow)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until it is done or the socket ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def finish(self, operation: Operation) -> None:
        """Let an operation's id be used again; it is over, or all but its last frame."""
        if self._operations.get(operation.id) is operation:
            del self._operations[operation.id]
            if operation.is_subscription:
                self.exchange.figures.subscriptions -= 1
                self.exchange.subscriptions.leave(operation.caller, operation.weight)

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the socket soon, whatever it is doing."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            # Not at once: the caller may be the reader itself, and its next await that of its farewell.
            asyncio.get_running_loop().call_soon(self._interrupt)

    async def run(self) -> None:
        """Read until the peer goes or something closes the socket; then leave nothing running."""
        clear_contextvars()
        bind_contextvars(request_id=self._request_id)
        self._deadline = asyncio.get_running_loop().call_later(
            self.exchange.ports.limits.initialisation,
            self.end,
            CloseCode.INITIALISATION_TIMEOUT,
            "Connection initialisation timeout",
        )
        try:
            await self._read()
        except asyncio.CancelledError:
            if self._closing is None:
                raise
            self.reader.uncancel()
        finally:
            self._leaving = True
            await self._leave()

    def _interrupt(self) -> None:
        if not self._leaving:
            self.reader.cancel()

    async def _read(self) -> None:
        try:
            while (event := await self._receive())["type"] != "websocket.disconnect":
                self._count_message()
                await self._handle(self._message(event))
        except Gone:
            return
        except Closing as closing:
            self._closing = closing
        except Malformed as malformed:
            self._closing = Closing(CloseCode.BAD_REQUEST, malformed.message)
        except Exception as error:
            _log.error("a socket failed", exc_info=error, extra={"request_id": self._request_id})
            self._closing = Closing(CloseCode.BROKEN, "Internal error")

    async def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._tenure is not None:
            self._tenure.close()
        if self._account is not None:
            self.exchange.sockets_by_account.leave(self._account)
        for operation in list(self._operations.values()):
            self.finish(operation)
            operation.stop()
        for task in self._tasks:
            task.cancel()
        if self._closing is not None:
            await self._say_goodbye(self._closing)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _say_goodbye(self, closing: Closing) -> None:
        limits = self.exchange.ports.limits
        try:
            async with asyncio.timeout(limits.close):
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        except TimeoutError:
            self._abort()
        except (OSError, RuntimeError):
            return  # the peer was quicker
        else:
            asyncio.get_running_loop().call_later(limits.send, self._abort)

    def _count_message(self) -> None:
        second, limit = int(asyncio.get_running_loop().time()), self.exchange.ports.limits.messages_per_second
        if second != self._second:
            self._second, self._messages = second, 0
        self._messages += 1
        if self._messages > limit:
            raise Closing(CloseCode.POLICY_VIOLATION, f"More than {limit} messages in a second")

    def _message(self, event: Message) -> dict[str, Any]:
        text = event.get("text")
        if text is None:
            message = "Only text messages are expected."
            raise Malformed(message)
        if len(text) > self.exchange.ports.limits.message:
            raise Closing(CloseCode.TOO_BIG, "Message too big")
        value = decode(text, self.exchange.ports.limits.json_depth)
        if isinstance(value, dict):
            return value
        message = 'A message is a JSON object with a "type".'
        raise Malformed(message)

    async def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "connection_init":
                await self._initialise(payload_of(message))
            case "ping":
                await self._ping(payload_of(message))
            case "pong":
                payload_of(message)
            case "subscribe":
                await self._subscribe(id_of(message), message.get("payload"))
            case "complete":
                self._complete(id_of(message))
            case _:
                refusal = "Unknown message type."
                raise Malformed(refusal)

    async def _initialise(self, payload: dict[str, Any]) -> None:
        if self._deadline is None:
            raise Closing(CloseCode.TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
        self._deadline.cancel()
        self._deadline = None
        viewer = await self._viewer(authorization_of(payload) or self._authorization)
        self._count_account(viewer.user_id)
        self._tenure = Tenure(viewer, self.exchange.ports.sessions, self._tenure_ended)
        await self.say({"type": "connection_ack"})

    def _count_account(self, account: UUID | None) -> None:
        sockets = self.exchange.sockets_by_account
        if account is not None:
            if not sockets.enter(account):
                self.exchange.ports.refused["TOO_MANY_SOCKETS"] += 1
                reason = f"At most {sockets.limit} sockets for one account; close one first"
                raise Closing(CloseCode.POLICY_VIOLATION, reason)
            self._account = account

    async def _ping(self, payload: dict[str, Any]) -> None:
        authorization = authorization_of(payload)
        if authorization is not None:
            if self._tenure is None:
                raise Closing(CloseCode.UNAUTHORIZED, "Unauthorized")
            viewer = await self._viewer(authorization)
            try:
                self._tenure.renew(viewer)
            except Forbidden as forbidden:
                raise Closing(CloseCode.FORBIDDEN, forbidden.message) from None
        await self.say({"type": "pong"})

    async def _viewer(self, authorization: str | None) -> Viewer:
        try:
            return await self.exchange.ports.identify(authorization, self._address, self._request_id)
        except (RateLimited, Unavailable) as denial:
            raise Closing(CloseCode.TRY_AGAIN_LATER, denial.message) from None
        except Denial:
            raise Closing(CloseCode.FORBIDDEN, "Forbidden") from None

    def _tenure_ended(self, denial: Denial) -> None:
        self.end(CloseCode.FORBIDDEN, denial.message)

    async def _subscribe(self, id: str, payload: object) -> None:
        if self._tenure is None:
            raise Closing(CloseCode.UNAUTHORIZED, "Unauthorized")
        if id in self._operations:
            raise Closing(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {id} already exists")
        parameters = Parameters.of(payload)
        self._started += 1
        viewer = replace(self._tenure.viewer, request_id=f"{self._request_id}-{self._started}")
        refusal = self._admit(id, parameters, viewer)
        if refusal is not None:
            await self.say(failed(id, refusal))

    def _admit(self, id: str, parameters: Parameters, viewer: Viewer) -> list[WireError] | None:
        """Start an operation; or why not."""
        ports, running = self.exchange.ports, len(self._tasks)
        running += sum(operation.group is not None for operation in self._operations.values())
        if running >= ports.limits.operations_per_socket:
            ports.refused["TOO_MANY_OPERATIONS"] += 1
            return [too_many_operations(ports.limits.operations_per_socket)]
        try:
            ports.admit(viewer)
            prepared = ports.prepare(parameters, viewer)
        except RateLimited as denial:
            return [denied(denial)]
        except DocumentRejected as rejected:
            return rejected.errors
        operation = Operation(self, id, prepared, parameters.variables, viewer)
        if operation.is_subscription:
            operation.weight = weight_of(parameters)
            if not self.exchange.subscriptions.enter(operation.caller, operation.weight):
                ports.refused["TOO_MANY_SUBSCRIPTIONS"] += 1
                return [too_many_subscriptions(self.exchange.subscriptions.limit)]
            self.exchange.figures.subscriptions += 1
        self._operations[id] = operation
        operation.start()
        return None

    def _complete(self, id: str) -> None:
        operation = self._operations.get(id)
        if operation is not None:
            self.finish(operation)
            operation.stop()

    async def say(self, message: dict[str, Any]) -> None:
        """Send one frame; returns when the connection has taken it. Raises Gone."""
        if self._leaving:
            raise Gone
        text = encode(message, self._request_id).decode()
        try:
            await self.exchange.patience.within(
                self._send({"type": "websocket.send", "text": text}), self._too_slow
            )
        except (OSError, RuntimeError):
            # uvicorn raises RuntimeError when it closed the socket itself: a broken frame, a missed pong.
            raise Gone from None

    def _too_slow(self) -> None:
        self.exchange.figures.dropped += 1
        self.end(CloseCode.TRY_AGAIN_LATER, "Too slow")
