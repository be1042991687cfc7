"""Event streams in the "distinct connections" mode of graphql-sse's PROTOCOL.md: a request is a stream.

``event: next`` carries a result, ``event: complete`` is the end; a comment every few seconds keeps proxies
from closing a quiet stream. A stream outlives no token: when it runs out or its session ends, the last
``next`` says UNAUTHENTICATED. A client renews by opening another stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from domain.errors import Denial
from domain.viewer import Viewer
from holdfast.transport.callers import caller_of, weight_of
from holdfast.transport.exchange import Exchange
from holdfast.transport.protocol import too_many_subscriptions
from holdfast.transport.request import Parameters, abort_of, deliver, encode
from holdfast.transport.tenure import Tenure
from schema.errors import WireError, denied, internal
from schema.executor import Prepared
from schema.sharing import Shared

_log = logging.getLogger(__name__)

_HEARTBEAT = b":\n\n"
_COMPLETE = b"event: complete\ndata:\n\n"


class EventStreams:
    """Serves event streams, and ends them all when the server goes away."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._open: set[EventStream] = set()
        self._draining = False

    async def refuse(self, errors: list[WireError], request_id: str, send: Send) -> None:
        """Say in a stream why nothing runs: an EventSource cannot read anything else."""
        await _start(send, request_id)
        event = _next({"errors": errors}, request_id)
        await deliver(send, {"type": "http.response.body", "body": event + _COMPLETE})

    async def serve(
        self,
        prepared: Prepared,
        parameters: Parameters,
        viewer: Viewer,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run one operation until it is over, or its reader, its token or the server is."""
        subscriptions, figures = self._exchange.subscriptions, self._exchange.figures
        caller, weight = caller_of(viewer), weight_of(parameters)
        if not subscriptions.enter(caller, weight):
            self._exchange.ports.refused["TOO_MANY_SUBSCRIPTIONS"] += 1
            await self.refuse([too_many_subscriptions(subscriptions.limit)], viewer.request_id, send)
            return
        stream = EventStream(self._exchange, viewer, send, abort_of(scope))
        self._open.add(stream)
        figures.event_streams += 1
        figures.subscriptions += 1
        try:
            if self._draining:
                stream.end(None)
            await stream.run(prepared, parameters, receive)
        finally:
            stream.gone.set()
            self._open.discard(stream)
            figures.event_streams -= 1
            figures.subscriptions -= 1
            subscriptions.leave(caller, weight)

    async def drain(self) -> None:
        """End every stream and every later one; clients resume elsewhere with their cursor."""
        self._draining = True
        for stream in self._open:
            stream.end(None)
        await asyncio.gather(*(stream.gone.wait() for stream in self._open))


class EventStream:
    """One stream."""

    def __init__(self, exchange: Exchange, viewer: Viewer, send: Send, abort: Callable[[], None]) -> None:
        self._exchange = exchange
        self._ports = exchange.ports
        self._send = send
        self._abort = abort
        self._viewer = viewer
        self._ended: asyncio.Future[Denial | None] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()

    def end(self, denial: Denial | None) -> None:
        """End the stream soon; ``denial`` is its last word, if there is one."""
        if not self._ended.done():
            self._ended.set_result(denial)

    async def run(self, prepared: Prepared, parameters: Parameters, receive: Receive) -> None:
        """Pump results to the reader until something ends it."""
        await _start(self._send, self._viewer.request_id)
        tenure = Tenure(self._viewer, self._ports.sessions, self.end)
        pumping = asyncio.create_task(self._pump(prepared, parameters))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await self._beat_until_any_of(pumping, leaving)
            pumping.cancel()
            if not leaving.done():
                await self._say_goodbye()
        finally:
            tenure.close()
            leaving.cancel()
            await _stopped(pumping)

    async def _pump(self, prepared: Prepared, parameters: Parameters) -> None:
        request_id = self._viewer.request_id
        with suppress(ClientDisconnect):
            try:
                await self._pump_results(prepared, parameters)
            except ClientDisconnect:
                raise
            except Exception as error:
                _log.error("an event stream failed", exc_info=error, extra={"request_id": request_id})
                await self._write(_next({"errors": [internal(request_id)]}, request_id))

    async def _pump_results(self, prepared: Prepared, parameters: Parameters) -> None:
        async with aclosing(self._ports.results(prepared, parameters.variables, self._viewer)) as results:
            async for result in results:
                told = result.told if isinstance(result, Shared) else result
                if told is None:
                    continue
                await self._write(_next(told, self._viewer.request_id))
                self._exchange.figures.results += 1
                # uvicorn takes what is written to a reader who left, at once and silently: a source that
                # never waits would run on, and nobody would hear of the disconnect.
                await asyncio.sleep(0)

    async def _beat_until_any_of(self, *tasks: asyncio.Task[None]) -> None:
        ends: set[asyncio.Future[Any]] = {*tasks, self._ended}
        while True:
            done, _ = await asyncio.wait(
                ends,
                timeout=self._ports.limits.heartbeat,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return
            await self._write(_HEARTBEAT)

    async def _say_goodbye(self) -> None:
        body = _COMPLETE
        denial = self._ended.result() if self._ended.done() else None
        if denial is not None:
            body = _next({"errors": [denied(denial)]}, self._viewer.request_id) + body
        try:
            async with asyncio.timeout(self._ports.limits.close):
                await deliver(self._send, {"type": "http.response.body", "body": body})
        except TimeoutError:
            self._abort()

    async def _write(self, event: bytes) -> None:
        sending = deliver(self._send, {"type": "http.response.body", "body": event, "more_body": True})
        await self._exchange.patience.within(sending, self._too_slow)

    def _too_slow(self) -> None:
        self._exchange.figures.dropped += 1
        self._abort()


def _next(result: object, request_id: str) -> bytes:
    return b"event: next\ndata: %b\n\n" % encode(result, request_id)


async def _start(send: Send, request_id: str) -> None:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", request_id.encode()),
    ]
    await deliver(send, {"type": "http.response.start", "status": 200, "headers": headers})


async def _stopped(task: asyncio.Task[None]) -> None:
    if task.cancel():
        with suppress(asyncio.CancelledError):
            await task


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
