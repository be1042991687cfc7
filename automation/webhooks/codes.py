"""Login codes to webhooks that asked for them: live, never repeated, the newest in place of what waits.

It stands between the worker that shows a job's codes and those who watch them, so a code is sent by that worker alone.
Nothing of a code is kept: no delivery, no attempt, and of the process no log line.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Self
from uuid import UUID

from domain.endpoints import Post
from domain.errors import Unavailable
from domain.live import Audience, Live, LoginCode, Picture
from domain.messages import Messages
from domain.portals import CapturedCode
from domain.ports import Begin
from domain.webhooks import Endpoint, OlderJob

KNOWN = 5.0
"""Seconds after which it is asked again who wants a job's codes."""


Wanting = Sequence[tuple[Endpoint, OlderJob]]


@dataclass(slots=True)
class Showing:
    """A job that shows codes: who wants them, as of when, the newest for each, and to whom one is under way."""

    wanting: Wanting = ()
    asked: float = -KNOWN
    newest: dict[UUID, LoginCode] = field(default_factory=dict)
    sending: set[UUID] = field(default_factory=set)


class CodesToWebhooks:
    """``Live`` of a worker, which also sends what it shows. Leaving the context ends what is under way."""

    def __init__(self, live: Live, begin: Begin, messages: Messages, post: Post) -> None:
        self._live = live
        self._begin = begin
        self._messages = messages
        self._post = post
        self._showing: dict[UUID, Showing] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: Counter[bool] = Counter()
        """How many were sent, by whether they came through."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def show_code(self, job_id: UUID, code: CapturedCode) -> LoginCode:
        """Show a code, and let it be sent to whom it may concern, which nobody waits for."""
        shown = await self._live.show_code(job_id, code)
        self._begun(self._hand_on(self._showing.setdefault(job_id, Showing()), shown))
        return shown

    async def hide_code(self, job_id: UUID) -> None:
        """No code is valid any more: none that waits is sent."""
        if showing := self._showing.pop(job_id, None):
            showing.newest.clear()
            showing.wanting = ()
        await self._live.hide_code(job_id)

    async def code(self, job_id: UUID) -> LoginCode | None:
        """The newest code, while it is valid."""
        return await self._live.code(job_id)

    def codes(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[LoginCode]]:
        """The codes from now on."""
        return self._live.codes(job_id)

    async def show_picture(self, job_id: UUID, own: bytes | None, masked: bytes | None) -> None:
        """Show a picture of the page."""
        await self._live.show_picture(job_id, own, masked)

    def pictures(
        self, job_id: UUID, *, own: bool, per_second: float = 1.0
    ) -> AbstractAsyncContextManager[AsyncIterator[Picture]]:
        """Pictures from now on."""
        return self._live.pictures(job_id, own=own, per_second=per_second)

    def watched(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[Audience]]:
        """Who watches the job's pictures."""
        return self._live.watched(job_id)

    async def _hand_on(self, showing: Showing, code: LoginCode) -> None:
        if monotonic() - showing.asked >= KNOWN:
            showing.asked = monotonic()
            try:
                async with self._begin(None) as tx:
                    wanting = await tx.webhooks.code_endpoints(code.job_id)
            except Unavailable:
                return
            if self._showing.get(code.job_id) is not showing:
                return  # hidden meanwhile
            showing.wanting = wanting
        for endpoint, job in showing.wanting:
            waiting = showing.newest.get(endpoint.id)
            if waiting is None or waiting.frame < code.frame:
                showing.newest[endpoint.id] = code
            if endpoint.id not in showing.sending:
                showing.sending.add(endpoint.id)
                self._begun(self._send(showing, endpoint, job))

    async def _send(self, showing: Showing, endpoint: Endpoint, job: OlderJob) -> None:
        """Send the newest code, then the one that is the newest by then, until none has come meanwhile."""
        try:
            while code := showing.newest.pop(endpoint.id, None):
                now = datetime.now(UTC)
                if now < code.expires_at:
                    attempt = await self._post(endpoint.url, self._messages.of_code(endpoint, code, job, now))
                    self.sent[attempt.succeeded] += 1
        finally:
            showing.sending.discard(endpoint.id)

    def _begun(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
