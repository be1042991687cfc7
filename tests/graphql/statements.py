"""What of a test's world reaches the database."""

from __future__ import annotations

import asyncpg

from tests.world import World

NOT_OURS = ("FROM event WHERE (xid, id) > ", "typeinfo_tree", "current_setting('jit')", "BEGIN", "COMMIT")
"""The feed looks at the log whenever it likes, and asyncpg asks each new connection for the types it meets; who asks
is told to the database around what has an owner."""


async def counted(world: World) -> list[str]:
    """The statements that the pool runs from now on, on any of its connections."""
    ran: list[str] = []

    def note(record: asyncpg.connection.LoggedQuery) -> None:
        if not any(part in record.query for part in NOT_OURS):
            ran.append(record.query)

    pool = world.app.pool
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    for connection in connections:
        connection.add_query_logger(note)
        await pool.release(connection)
    return ran
