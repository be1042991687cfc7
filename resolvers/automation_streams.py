"""Subscriptions of a job: how it gets on, its login codes, its page. What is shown live is in no log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from strawberry import ID

from domain.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from domain.feed import Feed
from domain.jobs import FINAL, AutomationStatus, Job
from domain.live import MOST_PICTURES
from resolvers.resuming import states
from resolvers.visibility import owns_job, sees_job
from schema.context import Context, Info
from schema.scalars import Cursor
from schema.types.automation import AutomationJob
from schema.types.codes import QrCode, ScreenPicture
from schema.types.ids import known_id
from schema.types.streams import AutomationJobChanged, AutomationJobMessage, Resync

LEAST_PICTURES: Final = 0.2
"""A second."""

BEFORE_SIGN_IN = frozenset(
    {
        AutomationStatus.QUEUED,
        AutomationStatus.STARTING,
        AutomationStatus.NAVIGATING,
        AutomationStatus.LOGIN,
        AutomationStatus.BANKID,
        AutomationStatus.QR_WAITING,
        AutomationStatus.RECONCILING,
    }
)
"""Where a code is shown or may be soon: one whose worker died begins again, and RECONCILING signs in again."""

UNDER_WAY = frozenset(AutomationStatus) - FINAL

Shown = TypeVar("Shown")


async def automation_job(
    info: Info, id: ID, after: Cursor | None = None
) -> AsyncGenerator[AutomationJobMessage, None]:
    """One job as it gets on, for its owner and staff of the portal's organization."""
    context, feed = info.context, info.context.follow()
    job_id = (await _visible(context, id, ("id",))).id
    steps = states(feed, job_id, after, partial(_still_visible, context, job_id))
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Resync):
                yield step
                continue
            cursor, job = step
            told = AutomationJob.of(job, own=owns_job(context, job))
            yield AutomationJobChanged(cursor=cursor, at=job.now or datetime.now(UTC), job=told)


async def qr_codes(info: Info, job_id: ID) -> AsyncGenerator[QrCode, None]:
    """The newest code first, then each as it appears; ends when the job has left QR_WAITING. Only the job's owner."""
    context, feed = info.context, info.context.follow()
    job = await _visible(context, job_id, ("jobId",))
    if not owns_job(context, job):
        raise _nothing(("jobId",))
    if job.status not in BEFORE_SIGN_IN:
        return  # a code may be there for a moment yet
    async with (
        context.services.live.codes(job.id) as codes,
        aclosing(_until(codes, _left(context, feed, job.id, BEFORE_SIGN_IN))) as shown,
    ):
        async for code in shown:
            _must_be_signed_in(context)
            context.services.shown["code"] += 1
            yield QrCode.of(code)


async def automation_screen(
    info: Info, job_id: ID, per_second: float = 1.0
) -> AsyncGenerator[ScreenPicture, None]:
    """The job's page while it is watched, 0.2 to 5 times a second, for its owner and staff of the organization."""
    if not LEAST_PICTURES <= per_second <= MOST_PICTURES:
        raise BadRequest(f"`perSecond` is {LEAST_PICTURES:g} to {MOST_PICTURES:g}.")
    context, feed = info.context, info.context.follow()
    job = await _visible(context, job_id, ("jobId",))
    own = owns_job(context, job)
    async with (
        context.services.live.pictures(job.id, own=own, per_second=per_second) as pictures,
        aclosing(_at_most(per_second, pictures)) as paced,
        aclosing(_until(paced, _left(context, feed, job.id, UNDER_WAY))) as shown,
    ):
        async for picture in shown:
            _must_be_signed_in(context)
            if not own:
                await _still_visible(context, job.id)
            context.services.shown["picture"] += 1
            yield ScreenPicture.of(picture)


async def _left(context: Context, feed: Feed, job_id: UUID, statuses: Collection[AutomationStatus]) -> None:
    """Wait until the job is in none of these: a statement for each of its steps, and none for what is shown."""
    with feed.watch_stream(job_id) as mailbox:
        while (await _still_visible(context, job_id)).status in statuses:
            await mailbox.take()


async def _until(shown: AsyncIterator[Shown], over: Coroutine[Any, Any, None]) -> AsyncGenerator[Shown, None]:
    """What is shown, until ``over`` is."""
    end, coming = asyncio.ensure_future(over), asyncio.ensure_future(anext(shown))
    try:
        while True:
            await asyncio.wait((coming, end), return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                end.result()
                return
            yield coming.result()
            coming = asyncio.ensure_future(anext(shown))
    finally:
        end.cancel()
        coming.cancel()
        await asyncio.gather(end, coming, return_exceptions=True)


async def _at_most(per_second: float, shown: AsyncIterator[Shown]) -> AsyncGenerator[Shown, None]:
    """The newest so often: somebody else may watch the same more often."""
    async for each in shown:
        yield each
        await asyncio.sleep(1 / per_second)


async def _visible(context: Context, gid: str, path: Sequence[str]) -> Job:
    """The job. Raises NotFound, in the same words whether there is none or it is somebody else's."""
    known = known_id(gid, "AutomationJob")
    job = await context.load.job.load(known) if known else None
    if job is None or not await sees_job(context, job):
        raise _nothing(path)
    return job


async def _still_visible(context: Context, job_id: UUID) -> Job:
    context.forget()
    job = await context.load.job.load(job_id)
    if job is None or not await sees_job(context, job):
        raise Forbidden("You may no longer see this job.")
    return job


def _must_be_signed_in(context: Context) -> None:
    """Raise Unauthenticated where the caller's session has ended; what it takes to know that is in memory."""
    session_id = context.viewer.session_id
    if session_id is None or session_id in context.accounts.ended:
        raise Unauthenticated("The session has ended.")


def _nothing(path: Sequence[str]) -> NotFound:
    return NotFound("No such job, or it is not yours.", path)
