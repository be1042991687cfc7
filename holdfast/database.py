"""Where the database is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.settings import Settings
from holdfast.terminal import say


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
        yield postgres.dsn(DATABASE, ROLE if as_owner else SERVER_ROLE)
    finally:
        await asyncio.wait(
            [starting]
        )  # a thread goes on after Ctrl-C: what it starts then is ours to stop, too
        await asyncio.to_thread(postgres.stop)
