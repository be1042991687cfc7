"""Which failures of a connection mean that the database is away for the moment."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from db.failures import is_gone


@pytest.mark.parametrize("turns", range(4))
async def test_a_session_that_ended_while_the_process_was_too_busy_is_a_database_that_is_away(
    database_url: str, turns: int
) -> None:
    impatient = {"idle_in_transaction_session_timeout": "50"}
    connection = await asyncpg.connect(database_url, server_settings=impatient)
    try:
        await connection.execute("BEGIN")
        time.sleep(0.3)  # noqa: ASYNC251 - not to wait for anything: this is the process being busy
        for _ in range(
            turns
        ):  # asyncpg may have read the server's last word, or of the end after it, or neither
            await asyncio.sleep(0)
        with pytest.raises(Exception) as failure:  # noqa: PT011 - which one it is depends on the turns
            await connection.fetchval("SELECT $1::int", 1)
        assert is_gone(failure.value)
    finally:
        connection.terminate()
