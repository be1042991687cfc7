"""Where the database is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from holdfast.settings import Settings
from holdfast.terminal import say

if TYPE_CHECKING:
    from holdfast.postgres import EmbeddedPostgres

LOOK = 1.0
"""Seconds between two looks at whether PostgreSQL runs."""

log = structlog.get_logger("holdfast.database")


@asynccontextmanager
async def database(settings: Settings, *, as_owner: bool = False, quiet: bool = False) -> AsyncIterator[str]:
    """The DSN of the settings' database, for the role that serves or for the one that owns the tables.

    The embedded one is started, or adopted, and stopped on the way out.
    """
    if settings.database_url is not None:
        yield (as_owner and settings.migration_url) or settings.database_url
        return
    from holdfast.postgres import DATABASE, ROLE, SERVER_ROLE, EmbeddedPostgres

    if not quiet:
        say("Starting PostgreSQL ...")
    postgres = EmbeddedPostgres(settings.data_dir)
    starting = asyncio.ensure_future(asyncio.to_thread(postgres.start))
    try:
        await asyncio.shield(starting)
        keeping = asyncio.create_task(_keep(postgres))
        try:
            yield postgres.dsn(DATABASE, ROLE if as_owner else SERVER_ROLE)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
    finally:
        await asyncio.wait(
            [starting]
        )  # a thread goes on after Ctrl-C: what it starts then is ours to stop, too
        await asyncio.to_thread(postgres.stop)


async def _keep(postgres: EmbeddedPostgres) -> None:
    """Start PostgreSQL again whenever it has ended: a full disk, or somebody, may end it."""
    from holdfast.postgres import PostgresFailed

    missed = False
    while True:
        await asyncio.sleep(LOOK)
        if postgres.running():
            continue
        starting = asyncio.ensure_future(asyncio.to_thread(postgres.start))
        try:
            await asyncio.shield(starting)
            log.warning("postgres.started_again")
            missed = False
        except (PostgresFailed, OSError) as error:
            if not missed:
                log.error("postgres.ended", error=str(error))
            missed = True
        finally:
            await asyncio.wait([starting])
