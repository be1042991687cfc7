"""One process at a time, over all that share a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def alone(dsn: str, number: int) -> AsyncIterator[None]:
    """Keep others out who ask for the same ``number``; they wait.

    The lock is that of a connection of its own, so that it ends with the process, and no limit of the pool's holds.
    """
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", number)
        yield
    finally:
        await connection.close()
