"""The one connection pool of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import orjson

from db.caller import ROLE
from db.statements import Counting

Connection = asyncpg.pool.PoolConnectionProxy
Pool = asyncpg.Pool

SESSION = {
    # Plans are kept for as long as a connection is: one made while a table was small would read all of it ever after.
    "enable_seqscan": "off",
    "application_name": "holdfast",
    "timezone": "UTC",
    # Array parameters would be planned anew at each call.
    "plan_cache_mode": "force_generic_plan",
    # A process that froze in the middle of a transaction lets go of its locks within 2 s.
    "idle_in_transaction_session_timeout": "1500",
    "lock_timeout": "4000",
    "statement_timeout": "30000",
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many connections a process keeps at least and at most."""

    least: int = 1
    most: int = 10


class Kept(Counting):
    """Goes back to the pool as it is, which saves a round trip a use.

    Nothing may be set for longer than a transaction: no SET, no LISTEN, no advisory lock of a session, no open cursor.
    """

    def get_reset_query(self) -> str:
        """Nothing to clean."""
        return ""


@asynccontextmanager
async def open_pool(
    dsn: str, size: PoolSize, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Pool]:
    """The pool, closed on the way out: within 2 s, by force if a connection does not come back.

    Every connection works as the role that owns nothing, whoever the DSN logs in. ``settings`` add to ``SESSION``.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=size.least,
        max_size=size.most,
        init=prepare,
        connection_class=Kept,
        server_settings={**SESSION, "role": ROLE, **(settings or {})},
        command_timeout=35,
        timeout=5,
        max_inactive_connection_lifetime=300,
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(2):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def prepare(connection: asyncpg.Connection) -> None:
    """What each connection is taught when it is opened: JSON as values."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
        format="binary",
    )
