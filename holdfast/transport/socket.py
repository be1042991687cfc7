"""GraphQL over sockets: the graphql-transport-ws protocol (PROTOCOL.md of graphql-ws), and nothing older.

Signing in: ``connection_init`` with the payload ``{"authorization": "Bearer <token>"}``, or the same header
on the upgrade request; without either the caller is a guest. A wrong token closes with 4403.

Our extension: a socket outlives no token. When the access token runs out, or its session ends, the socket
closes with 4403. A fresh token of the same user goes in the payload of a ``ping``,
``{"authorization": "Bearer <token>"}``, and is answered by the ``pong``; operations that are running go on. A
wrong token, or another user's, closes with 4403.

Each operation is a task with a context of its own. It asks its source for the next event only when the last
frame was taken by the connection, so that a slow reader holds one frame an operation; one that takes nothing
for ``Limits.send`` seconds is dropped. A mutation runs to its end, whoever leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import Denial, Forbidden, RateLimited, Unavailable
from domain.viewer import Viewer
from holdfast.transport.patience import Patience
from holdfast.transport.protocol import (
    SUBPROTOCOL,
    CloseCode,
    Closing,
    authorization_of,
    failed,
    id_of,
    payload_of,
    too_many_operations,
)
from holdfast.transport.request import (
    Malformed,
    Parameters,
    Ports,
    abort_of,
    address_of,
    decode,
    encode,
    request_id_of,
)
from holdfast.transport.tenure import Tenure
from schema.documents import DocumentRejected
from schema.errors import denied, internal
from schema.executor import Prepared

_log = logging.getLogger(__name__)

_TURN = 32
"""Frames that a source which never waits may send before others get their turn: about a millisecond."""


class Gone(Exception):
    """The peer is not there any more."""


class SocketEndpoint:
    """The ASGI application behind the socket of ``/graphql``.

    A browser is let in from its own host and from ``allowed_origins`` ("https://example.org"); what sends no
    Origin is no browser.
    """

    def __init__(self, ports: Ports, patience: Patience, allowed_origins: Collection[str]) -> None:
        self._ports = ports
        self._patience = patience
        self._allowed_origins = frozenset(allowed_origins)
        self._open: set[Socket] = set()
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        headers = Headers(scope=scope)
        await receive()
        if not self._may_come(headers):
            await send({"type": "websocket.close"})
            return
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            code = CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE
            await send({"type": "websocket.close", "code": code, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        socket = Socket(self._ports, self._patience, scope, headers, receive, send)
        self._open.add(socket)
        try:
            if self._draining:
                socket.end(CloseCode.GOING_AWAY, "Going away")
            await socket.run()
        finally:
            self._open.discard(socket)

    async def drain(self) -> None:
        """Close every socket, and every later one, with 1001; clients resume elsewhere with their cursor."""
        self._draining = True
        for socket in self._open:
            socket.end(CloseCode.GOING_AWAY, "Going away")
        await asyncio.gather(*(socket.gone.wait() for socket in self._open))

    def _may_come(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return (
            origin is None
            or origin in self._allowed_origins
            or origin.partition("://")[2] == headers.get("host")
        )


class Socket:
    """One socket: a reader, and a task an operation. Made by the task that runs it."""

    __slots__ = (
        "_abort",
        "_address",
        "_authorization",
        "_closing",
        "_deadline",
        "_leaving",
        "_operations",
        "_patience",
        "_ports",
        "_reader",
        "_receive",
        "_request_id",
        "_send",
        "_started",
        "_tasks",
        "_tenure",
        "gone",
    )

    def __init__(
        self, ports: Ports, patience: Patience, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        self._ports = ports
        self._patience = patience
        self._authorization = headers.get("authorization")
        self._address = address_of(scope)
        self._request_id = request_id_of(headers)
        self._receive = receive
        self._send = send
        self._abort = abort_of(scope)
        self._reader = asyncio.current_task()
        self._deadline: asyncio.TimerHandle | None = None
        self._tenure: Tenure | None = None
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0
        self._closing: Closing | None = None
        self._leaving = False
        self.gone = asyncio.Event()

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
            self._ports.limits.initialisation,
            self.end,
            CloseCode.INITIALISATION_TIMEOUT,
            "Connection initialisation timeout",
        )
        try:
            await self._read()
        except asyncio.CancelledError:
            if self._closing is None or self._reader is None:
                raise
            self._reader.uncancel()
        finally:
            self._leaving = True
            await self._leave()
            self.gone.set()

    def _interrupt(self) -> None:
        if not self._leaving and self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        try:
            while (event := await self._receive())["type"] != "websocket.disconnect":
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
        for task in self._tasks:
            task.cancel()
        if self._closing is not None:
            await self._say_goodbye(self._closing)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _say_goodbye(self, closing: Closing) -> None:
        limits = self._ports.limits
        try:
            async with asyncio.timeout(limits.close):
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        except TimeoutError:
            self._abort()
        except (OSError, RuntimeError):
            return  # the peer was quicker
        else:
            asyncio.get_running_loop().call_later(limits.send, self._abort)

    def _message(self, event: Message) -> dict[str, Any]:
        text = event.get("text")
        if text is None:
            message = "Only text messages are expected."
            raise Malformed(message)
        if len(text) > self._ports.limits.message:
            raise Closing(CloseCode.TOO_BIG, "Message too big")
        value = decode(text, self._ports.limits.json_depth)
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
        self._tenure = Tenure(viewer, self._ports.sessions, self._tenure_ended)
        await self._say({"type": "connection_ack"})

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
        await self._say({"type": "pong"})

    async def _viewer(self, authorization: str | None) -> Viewer:
        try:
            return await self._ports.identify(authorization, self._address, self._request_id)
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
        limit = self._ports.limits.operations_per_socket
        if len(self._tasks) >= limit:
            await self._say(failed(id, [too_many_operations(limit)]))
            return
        self._started += 1
        viewer = replace(self._tenure.viewer, request_id=f"{self._request_id}-{self._started}")
        try:
            self._ports.admit(viewer)
            prepared = self._ports.prepare(parameters, viewer)
        except RateLimited as denial:
            await self._say(failed(id, [denied(denial)]))
            return
        except DocumentRejected as rejected:
            await self._say(failed(id, rejected.errors))
            return
        task = asyncio.create_task(self._operate(id, prepared, parameters, viewer))
        self._operations[id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _complete(self, id: str) -> None:
        task = self._operations.pop(id, None)
        if task is not None:
            task.cancel()

    async def _operate(self, id: str, prepared: Prepared, parameters: Parameters, viewer: Viewer) -> None:
        bind_contextvars(request_id=viewer.request_id)
        try:
            async with aclosing(self._ports.results(prepared, parameters, viewer)) as results:
                sent = 0
                async for result in results:
                    if "data" not in result:
                        self._operations.pop(id, None)
                        await self._say(failed(id, result["errors"]))
                        return
                    await self._say({"id": id, "type": "next", "payload": result})
                    sent += 1
                    if not sent % _TURN:
                        await asyncio.sleep(0)
            self._operations.pop(id, None)
            await self._say({"id": id, "type": "complete"})
        except Gone:
            return
        except Exception as error:
            _log.error("an operation failed", exc_info=error, extra={"request_id": viewer.request_id})
            self._operations.pop(id, None)
            with suppress(Gone):
                await self._say(failed(id, [internal(viewer.request_id)]))

    async def _say(self, message: dict[str, Any]) -> None:
        """Send one frame; returns when the connection has taken it. Raises Gone."""
        if self._leaving:
            raise Gone
        text = encode(message, self._request_id).decode()
        try:
            await self._patience.within(self._send({"type": "websocket.send", "text": text}), self._too_slow)
        except (OSError, RuntimeError):
            # uvicorn raises RuntimeError when it closed the socket itself: a broken frame, a missed pong.
            raise Gone from None

    def _too_slow(self) -> None:
        self.end(CloseCode.TRY_AGAIN_LATER, "Too slow")
