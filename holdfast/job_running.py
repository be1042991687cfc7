"""What runs jobs at portals: there where a browser is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from automation.browsers.program import find_browser
from automation.capture.artifacts import Artifacts
from automation.jobs import Runner
from domain.automation import Automation
from domain.live import Live
from domain.portals import Visits
from holdfast.settings import Settings

HOURLY = 3600.0

log = structlog.get_logger("holdfast.jobs")


def why_off(settings: Settings, portals: Collection[str]) -> str | None:
    """Why no job can run in a worker of these settings; None if one can."""
    if settings.automation is False:
        return "HOLDFAST_AUTOMATION is false"
    if not settings.reaches_all_watchers:
        return "login codes reach watchers of other processes through Redis alone (HOLDFAST_REDIS_URL)"
    if not portals:
        return "no portal is switched on (HOLDFAST_PORTALS, HOLDFAST_DEMO_PORTAL_URL)"
    if find_browser(settings.browser) is None:
        return "no Chromium was found; `holdfast doctor` says what to install"
    return None


def runner_of(settings: Settings, automation: Automation, live: Live, secret: bytes) -> Runner | None:
    """What runs jobs in a worker of these settings; None where nothing can, or is to."""
    program = find_browser(settings.browser)
    if program is None or why_off(settings, automation.portals) is not None:
        return None

    @asynccontextmanager
    async def visits() -> AsyncIterator[Visits]:
        from automation.browsers.visits import open_visits  # playwright costs a third of a second to import
        from automation.portals import visit_of

        demo = automation.portals.get("demo")
        artifacts, keep = Artifacts(settings.artifacts), timedelta(hours=settings.artifact_hours)
        forgetting = asyncio.create_task(_forget(artifacts, keep), name="artifacts")
        async with open_visits(
            program,
            settings.data_dir / "run",
            visit_of,
            sharing=settings.browser_sharing,
            at_once=settings.jobs_per_worker,
            memory=settings.job_memory_mib << 20,
            inside=frozenset(demo.origins if demo else ()),
            artifacts=artifacts if keep else None,
        ) as opened:
            try:
                yield opened
            finally:
                forgetting.cancel()

    return Runner(
        automation, live, visits, secret, settings.jobs_per_worker, max(1.0, settings.shutdown_grace_seconds)
    )


async def _forget(artifacts: Artifacts, keep: timedelta) -> None:
    """Remove files of failures when their time is over; the database forgets them by itself."""
    while True:
        try:
            await asyncio.to_thread(artifacts.forget, keep)
        except OSError as error:
            log.warning("artifacts.not_forgotten", error=type(error).__name__)
        await asyncio.sleep(HOURLY)
