"""A connection of the pool, and a transaction on it that knows who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from db import caller
from db.engine import Connection, Pool
from db.failures import GONE
from db.patience import PATIENCE
from domain.viewer import Viewer


async def begun(pool: Pool, viewers: Iterable[Viewer | None]) -> Connection:
    """A connection with a transaction begun on it for these callers; one that turns out to be dead is dropped."""
    connection = await pool.acquire(timeout=PATIENCE)
    try:
        await connection.execute(caller.begin(viewers))
    except BaseException:
        connection.terminate()
        await pool.release(connection)
        raise
    return connection


async def rolled_back(connection: Connection) -> None:
    """Undo the transaction, if there is a connection left."""
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except GONE:
        connection.terminate()


@asynccontextmanager
async def asking(pool: Pool, viewer: Viewer | None) -> AsyncIterator[Connection]:
    """A transaction in which one caller reads, or the system if None."""
    connection = await begun(pool, [viewer])
    try:
        try:
            yield connection
            await connection.execute("COMMIT")
        except BaseException:
            await rolled_back(connection)
            raise
    finally:
        await pool.release(connection)
