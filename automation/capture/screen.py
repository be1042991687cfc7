"""The live view: pictures of a visit's page, taken only while somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final
from uuid import UUID

import structlog

from domain.live import MOST_PICTURES, Audience, Live
from domain.portals import Visit, VisitFailed

PATIENCE: Final = 5.0
"""Seconds that a picture may take."""

log = structlog.get_logger("holdfast.screen")


@asynccontextmanager
async def live_view(live: Live, job_id: UUID, visit: Visit) -> AsyncIterator[None]:
    """Show pictures of a visit, while it lasts, to whoever watches its job."""
    showing = asyncio.create_task(serve_pictures(live, job_id, visit), name=f"screen of {job_id}")
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait([showing])
        if not showing.cancelled() and (error := showing.exception()) is not None:
            log.error("screen.broke", job=str(job_id), error=type(error).__name__)


async def serve_pictures(live: Live, job_id: UUID, visit: Visit) -> None:
    """Show pictures whenever somebody watches, as often as they ask for, until cancelled.

    A page that gives none, because it is being left or does not come to rest, is asked again.
    """
    async with live.watched(job_id) as audiences:
        audience = await anext(audiences)
        while True:
            began = monotonic()
            if audience:
                await _show(live, job_id, visit, audience)
            try:
                async with asyncio.timeout(_left(began, audience.per_second) if audience else None):
                    audience = await anext(audiences)
            except TimeoutError:
                continue
            # Whoever comes and goes makes the others' pictures no more frequent.
            await asyncio.sleep(_left(began, MOST_PICTURES))


async def _show(live: Live, job_id: UUID, visit: Visit, audience: Audience) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            own = await visit.picture(with_code=True) if audience.own else None
            masked = await visit.picture(with_code=False) if audience.masked else None
            await live.show_picture(job_id, own, masked)
    except (VisitFailed, TimeoutError) as failure:
        log.debug("screen.none", job=str(job_id), error=type(failure).__name__)


def _left(began: float, per_second: float) -> float:
    """Seconds until the next picture of so many a second."""
    return max(0.0, began + 1 / per_second - monotonic())
