"""Where the database is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.settings import Settings
from holdfast.terminal import say


@asynccontextmanager
async def database(settings: Settings, *, quiet: bool = False) -> AsyncIterator[str]:
    """The DSN of the settings' database; the embedded one is started, or adopted, and stopped on the way out."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    from holdfast.postgres import EmbeddedPostgres

    if not quiet:
        say("Starting PostgreSQL ...")
    postgres = EmbeddedPostgres(settings.data_dir)
    starting = asyncio.ensure_future(asyncio.to_thread(postgres.start))
    try:
        yield await asyncio.shield(starting)
    finally:
        await asyncio.wait(
            [starting]
        )  # a thread goes on after Ctrl-C: what it starts then is ours to stop, too
        await asyncio.to_thread(postgres.stop)
