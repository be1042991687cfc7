"""The older contract's socket, ``/ws/{job_id}``: a job's status and its login codes, as they change.

Who asks is said by an Authorization header on the upgrade, or by a first message
``{"type": "auth", "token": "..."}``; never in the URL. It closes with 1000 when the job is over, 4401 where nobody said
who asks, 4403 where they may not or their session or key ends, 4404 where they have no such job, 1008 and 1009 for too
many sockets, messages or bytes, 1013 where it is to be tried again later. Who does not read is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import Denial, NotFound, RateLimited, Unavailable
from domain.jobs import Job
from domain.throttle import network
from domain.viewer import Viewer
from holdfast.older import words
from holdfast.older.jobs import OlderJobs
from holdfast.transport.callers import Callers, caller_of
from holdfast.transport.exchange import Exchange
from holdfast.transport.operation import Gone
from holdfast.transport.protocol import CloseCode
from holdfast.transport.request import Malformed, abort_of, address_of, decode, request_id_of
from holdfast.transport.socket import may_come
from holdfast.transport.tenure import Tenure

NORMAL, NO_SUCH_JOB = 1000, 4404


_log = logging.getLogger(__name__)


class Over(Exception):
    """There is nothing more to tell; ``code`` and ``reason`` close the socket."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class OlderSocket:
    """The ASGI application."""

    def __init__(self, jobs: OlderJobs, exchange: Exchange, allowed_origins: Collection[str]) -> None:
        self._jobs = jobs
        self._exchange = exchange
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        headers = Headers(scope=scope)
        await receive()
        clear_contextvars()
        bind_contextvars(request_id=request_id_of(headers))
        if not may_come(headers, self._allowed_origins):
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        talk = Talk(self._jobs, self._exchange, scope, receive, send)
        try:
            await talk.run(headers)
        except Over as over:
            await talk.close(over)
        except Gone:
            return
        except Exception as error:
            _log.error("an older socket failed", exc_info=error, extra={"request_id": request_id_of(headers)})
            await talk.close(Over(CloseCode.BROKEN, "Internal error"))


class Talk:
    """One socket."""

    def __init__(
        self, jobs: OlderJobs, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._jobs = jobs
        self._exchange = exchange
        self._name: str = scope["path_params"]["job_id"]
        self._address = address_of(scope)
        self._receive = receive
        self._send = send
        self._abort = abort_of(scope)
        self._speaking = asyncio.Lock()
        self._second = self._messages = 0

    async def run(self, headers: Headers) -> None:
        """Tell until it is over. Raises Over."""
        ports = self._exchange.ports
        with _counted(self._exchange.sockets_by_address, network(self._address)):
            try:
                viewer = await self._viewer(headers)
                ports.admit(viewer)
                self._jobs.admit(viewer)
                with (
                    _counted(self._exchange.sockets_by_account, viewer.user_id),
                    _counted(self._exchange.subscriptions, caller_of(viewer)),
                ):
                    await self._follow(viewer, await self._jobs.find(viewer, self._name))
            except NotFound as none:
                raise Over(NO_SUCH_JOB, none.message) from None
            except (RateLimited, Unavailable) as denial:
                raise Over(CloseCode.TRY_AGAIN_LATER, denial.message) from None
            except Denial as denial:
                raise Over(CloseCode.FORBIDDEN, denial.message) from None
            except Malformed as malformed:
                raise Over(CloseCode.BAD_REQUEST, malformed.message) from None

    async def close(self, over: Over) -> None:
        """Say goodbye, to whom still listens."""
        reason = over.reason.encode()[:123].decode(errors="ignore")
        try:
            async with asyncio.timeout(self._exchange.ports.limits.close):
                await self._send({"type": "websocket.close", "code": over.code, "reason": reason})
        except TimeoutError:
            self._abort()
        except (OSError, RuntimeError):
            return  # the peer was quicker

    async def _viewer(self, headers: Headers) -> Viewer:
        """Who asks. Raises Over, and what ``identify`` does."""
        authorization = headers.get("authorization")
        if authorization is None:
            authorization = await self._first_message()
        return await self._exchange.ports.identify(authorization, self._address, request_id_of(headers))

    async def _first_message(self) -> str:
        try:
            async with asyncio.timeout(self._exchange.ports.limits.initialisation):
                message = decode(await self._next_text(), self._exchange.ports.limits.json_depth)
        except TimeoutError:
            raise Over(CloseCode.UNAUTHORIZED, "Nobody said who asks in time.") from None
        match message:
            case {"type": "auth", "token": str(token)}:
                return f"Bearer {token}"
        raise Over(CloseCode.UNAUTHORIZED, 'Send {"type": "auth", "token": "..."} first.')

    async def _follow(self, viewer: Viewer, job: Job) -> None:
        """Tell of a job until the peer goes. Raises Over when there is nothing more to tell, or nobody to tell it."""
        await self._say(words.status_update(job))
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end(denial: Denial) -> None:
            if not ended.done():
                ended.set_exception(Over(CloseCode.FORBIDDEN, denial.message))

        tenure = Tenure(viewer, self._exchange.ports.sessions, end)
        parts = (self._steps(viewer, job), self._codes(job), self._listen())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait((*tasks, ended), return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            tenure.close()
            ended.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _steps(self, viewer: Viewer, job: Job) -> None:
        """Each step of the job from here on. Raises Over with the last one."""
        with self._jobs.services.feed.watch_stream(job.id) as mailbox:
            while True:
                told, job = job.version, await self._jobs.again(viewer, job)
                if job.version != told:
                    await self._say(words.status_update(job))
                if job.over:
                    raise Over(NORMAL, "The job is over.")
                await mailbox.take()

    async def _codes(self, job: Job) -> None:
        """The newest code, then each as it appears."""
        services = self._jobs.services
        async with services.live.codes(job.id) as codes:
            async for code in codes:
                services.shown["code"] += 1
                await self._say(words.qr_update(job, code))

    async def _listen(self) -> None:
        """Pass over what the peer says, until it goes."""
        while True:
            await self._next_text()

    async def _next_text(self) -> str:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Gone
        limits, second = self._exchange.ports.limits, int(asyncio.get_running_loop().time())
        self._messages = 1 if second != self._second else self._messages + 1
        self._second = second
        if self._messages > limits.messages_per_second:
            raise Over(CloseCode.POLICY_VIOLATION, "Too many messages in a second.")
        text = event.get("text") or ""
        if len(text) > limits.message:
            raise Over(CloseCode.TOO_BIG, "Message too big.")
        return text

    async def _say(self, message: words.Told) -> None:
        """Send one message; a peer that takes none for too long is dropped. Raises Gone."""
        text = orjson.dumps(message).decode()
        async with self._speaking:
            try:
                await self._exchange.patience.within(
                    self._send({"type": "websocket.send", "text": text}), self._too_slow
                )
            except (OSError, RuntimeError):
                raise Gone from None  # the peer, or uvicorn, closed it meanwhile

    def _too_slow(self) -> None:
        self._exchange.figures.dropped += 1
        self._abort()


@contextmanager
def _counted(callers: Callers, caller: Hashable) -> Iterator[None]:
    """Count one more of a caller's while this lasts. Raises Over above the limit."""
    if not callers.enter(caller):
        raise Over(CloseCode.POLICY_VIOLATION, f"At most {callers.limit} at once; close one first.")
    try:
        yield
    finally:
        callers.leave(caller)
