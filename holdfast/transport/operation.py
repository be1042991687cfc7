"""One operation of a socket: a task of its own, or a member of a group while there is nothing to tell it alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from graphql import OperationType
from structlog.contextvars import bind_contextvars

from domain.viewer import Viewer
from holdfast.transport.callers import caller_of
from holdfast.transport.multicast import Group, Message, Results
from holdfast.transport.protocol import failed
from holdfast.transport.socket_protocol import text_frame
from schema.errors import internal
from schema.executor import Prepared, Result, Variables
from schema.sharing import Shared

if TYPE_CHECKING:
    from holdfast.transport.socket import Socket

_log = logging.getLogger(__name__)

_TURN = 32
"""Frames that a source which never waits may send before others get their turn: about a millisecond."""


class Gone(Exception):
    """The peer is not there any more."""


class Operation:
    """What one ``subscribe`` message started."""

    __slots__ = (
        "_prepared",
        "_socket",
        "_variables",
        "_viewer",
        "_write",
        "group",
        "id",
        "place",
        "task",
        "weight",
    )

    def __init__(
        self, socket: Socket, id: str, prepared: Prepared, variables: Variables, viewer: Viewer
    ) -> None:
        self.id = id
        self.weight = 1
        self.group: Group | None = None
        self.place: Any = None
        self.task: asyncio.Task[None] | None = None
        self._socket = socket
        self._write = socket.write  # a step less for each of thousands
        self._prepared = prepared
        self._variables = variables
        self._viewer = viewer

    @property
    def is_subscription(self) -> bool:
        """Whether there may be more than one result."""
        return self._prepared.kind is OperationType.SUBSCRIPTION

    @property
    def caller(self) -> Hashable:
        """Whom limits count."""
        return caller_of(self._viewer)

    @property
    def request_id(self) -> str:
        """What logs and masked errors call it."""
        return self._viewer.request_id

    def start(self) -> None:
        """Run it in a task of its own, from ``place`` if it has one."""
        self.task = self._socket.spawn(self._run())

    def stop(self) -> None:
        """Let it tell no more."""
        if self.group is not None:
            self.group.remove(self)
        elif self.task is not None:
            self.task.cancel()

    def take(self, message: Message) -> bool:
        """Hand a result to the connection; False where it takes none now."""
        return self._write is not None and self._write(message.under(self.id, _framed))

    def step_out(self) -> None:
        """Go on alone from ``place``, as soon as the connection takes something."""
        self.start()

    async def _run(self) -> None:
        bind_contextvars(request_id=self.request_id)
        try:
            if self.place is not None:
                await self._socket.writable()
            last = await self._tell()
            if last is not None:
                self._socket.finish(self)
                await self._socket.say(last)
        except Gone:
            return
        except Exception as error:
            _log.error("an operation failed", exc_info=error, extra={"request_id": self.request_id})
            self._socket.finish(self)
            with suppress(Gone):
                await self._socket.say(failed(self.id, [internal(self.request_id)]))

    async def _tell(self) -> dict[str, Any] | None:
        """Send results; the message that ends the operation, or None where it is a member of a group by now."""
        results = self._socket.exchange.ports.results(
            self._prepared, self._variables, self._viewer, self.place
        )
        sent = 0
        try:
            async for result in results:
                if isinstance(result, Shared):
                    if result.told is not None:
                        await self._next(result.told)
                    if await self._joined(result, results):
                        return None
                elif "data" in result:
                    await self._next(result)
                else:
                    return failed(self.id, result["errors"])
                sent += 1
                if not sent % _TURN:
                    await asyncio.sleep(0)
        finally:
            if self.group is None:
                await results.aclose()
        return {"id": self.id, "type": "complete"}

    async def _joined(self, shared: Shared[Result], results: Results) -> bool:
        if self._write is None or not await self._socket.exchange.multicast.join(self, shared, results):
            return False
        self.task = None
        return True

    async def _next(self, result: Result) -> None:
        await self._socket.say({"id": self.id, "type": "next", "payload": result})
        if self.is_subscription:
            self._socket.exchange.figures.results += 1


def _framed(result: bytes, id: str) -> bytes:
    return text_frame(b'{"id":%b,"type":"next","payload":%b}' % (orjson.dumps(id), result))
