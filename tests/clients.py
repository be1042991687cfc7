"""Clients for tests over HTTP, event streams and sockets; none of them can miss a message."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

Json = dict[str, Any]


class Completed(Exception):
    """The server completed the operation: there is no next result."""


class Failed(Exception):
    """The server answered an operation with errors alone."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors

    @property
    def code(self) -> str:
        return str(self.errors[0]["extensions"]["code"])


class Closed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Subscription:
    """One operation on a socket. Every frame since it was sent is kept until it is asked for."""

    def __init__(self, socket: GraphQLSocket, id: str) -> None:
        self.id = id
        self.frames: asyncio.Queue[Json | Exception] = asyncio.Queue()
        self._socket = socket

    async def next(self, seconds: float = 5) -> Json:
        """The next ``{"data", "errors"?}``. Raises Completed, Failed, Closed, TimeoutError."""
        async with asyncio.timeout(seconds):
            frame = await self.frames.get()
        if isinstance(frame, Exception):
            self.frames.put_nowait(frame)
            raise frame
        return frame

    async def complete(self) -> None:
        """Tell the server to stop."""
        await self._socket.send({"id": self.id, "type": "complete"})


class GraphQLSocket:
    """A graphql-transport-ws client. ``async with await GraphQLSocket.connect(url, token) as socket: ...``"""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.control: asyncio.Queue[Json] = asyncio.Queue()
        self._subscriptions: dict[str, Subscription] = {}
        self._ids = itertools.count(1)
        self._closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        origin: str | None = None,
        subprotocol: str | None = "graphql-transport-ws",
        **options: Any,
    ) -> Self:
        """A socket that has said nothing yet."""
        return cls(
            await connect(
                url.replace("http", "ws", 1),
                subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
                additional_headers=headers,
                origin=Origin(origin) if origin else None,
                compression=None,
                proxy=None,
                max_size=None,
                **options,
            )
        )

    @classmethod
    async def connect(cls, url: str, token: str | None = None, **options: Any) -> Self:
        """A socket that was let in. Raises Closed if it was not."""
        socket = await cls.open(url, **options)
        await socket.initialise(token)
        return socket

    async def initialise(self, token: str | None = None) -> None:
        await self.send({"type": "connection_init"} | _authorized(token))
        assert (await self.answer())["type"] == "connection_ack"

    async def renew(self, token: str) -> None:
        """Hand in a fresh token. Raises Closed if it is not accepted."""
        await self.send({"type": "ping"} | _authorized(token))
        assert (await self.answer())["type"] == "pong"

    async def subscribe(
        self, document: str, variables: Json | None = None, *, operation_name: str | None = None
    ) -> Subscription:
        """Send any operation."""
        subscription = Subscription(self, str(next(self._ids)))
        self._subscriptions[subscription.id] = subscription
        payload: Json = {"query": document, "variables": variables, "operationName": operation_name}
        await self.send({"id": subscription.id, "type": "subscribe", "payload": payload})
        return subscription

    async def run(self, document: str, variables: Json | None = None) -> Json:
        """The one result of a query or a mutation."""
        operation = await self.subscribe(document, variables)
        return await operation.next()

    async def send(self, message: Json | str | bytes) -> None:
        try:
            await self.connection.send(json.dumps(message) if isinstance(message, dict) else message)
        except ConnectionClosed:
            raise await self.closed() from None

    async def answer(self, seconds: float = 5) -> Json:
        """The next message that belongs to no operation. Raises Closed, TimeoutError."""
        waiting = asyncio.ensure_future(self.control.get())
        try:
            async with asyncio.timeout(seconds):
                either: set[asyncio.Future[Any]] = {waiting, self._closed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            raise self._closed.result()
        finally:
            waiting.cancel()

    async def closed(self, seconds: float = 5) -> Closed:
        """How the server closed the socket; waits for it."""
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._closed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.connection.close()
        await self._reader

    async def _read(self) -> None:
        try:
            async for text in self.connection:
                self._route(json.loads(text))
        except ConnectionClosed:
            pass
        closed = Closed(self.connection.close_code or 1006, self.connection.close_reason or "")
        self._closed.set_result(closed)
        for subscription in self._subscriptions.values():
            subscription.frames.put_nowait(closed)

    def _route(self, message: Json) -> None:
        subscription = self._subscriptions.get(message.get("id", ""))
        if subscription is None:
            self.control.put_nowait(message)
            return
        match message["type"]:
            case "next":
                subscription.frames.put_nowait(message["payload"])
            case "error":
                subscription.frames.put_nowait(Failed(message["payload"]))
            case "complete":
                subscription.frames.put_nowait(Completed())


class EventStream:
    """The results of one event stream, in order."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.heartbeats = 0
        self._lines = response.aiter_lines()

    async def next(self, seconds: float = 5) -> Json:
        """The next ``{"data", "errors"?}``. Raises Completed, TimeoutError, EOFError when cut off."""
        async with asyncio.timeout(seconds):
            event = ""
            async for line in self._lines:
                if line.startswith(":"):
                    self.heartbeats += 1
                elif line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data:") and event == "complete":
                    raise Completed
                elif line.startswith("data:"):
                    result: Json = json.loads(line.removeprefix("data:"))
                    return result
        raise EOFError


class GraphQLHttp:
    """Operations by POST and by event stream. ``async with GraphQLHttp(url) as http: ...``"""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx2.AsyncClient(trust_env=False, timeout=10)

    async def post(
        self,
        document: str,
        variables: Json | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        return await self.client.post(
            self.url,
            json={"query": document, "variables": variables},
            headers=_headers(token) | (headers or {}),
        )

    async def run(self, document: str, variables: Json | None = None, token: str | None = None) -> Json:
        """The whole response: ``{"data", "errors"?}``."""
        result: Json = (await self.post(document, variables, token)).json()
        return result

    @asynccontextmanager
    async def stream(
        self, document: str, variables: Json | None = None, token: str | None = None
    ) -> AsyncIterator[EventStream]:
        async with self.client.stream(
            "POST",
            self.url,
            json={"query": document, "variables": variables},
            headers=_headers(token) | {"accept": "text/event-stream"},
        ) as response:
            yield EventStream(response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _authorized(token: str | None) -> Json:
    return {"payload": _headers(token)} if token else {}
