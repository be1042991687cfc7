"""What an operator asks of the database and the broker before anything is wired."""

from __future__ import annotations

import asyncio
import socket

import asyncpg

OLDEST = 15
PATIENCE = 5.0


async def postgres_release(dsn: str) -> int:
    """The server's major version. Raises what connecting raises."""
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        return int(await connection.fetchval("SHOW server_version_num")) // 10_000
    finally:
        await connection.close()


async def redis_answers(url: str) -> None:
    """Ask Redis for a sign of life. Raises what it raises."""
    from redis.asyncio import Redis

    client = Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            await client.ping()
    finally:
        await client.aclose()


def in_words(error: BaseException) -> str | None:
    """A failure of the database as an operator is to read it; None for anything else."""
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "The database refuses the user or password in HOLDFAST_DATABASE_URL."
        case asyncpg.InvalidCatalogNameError():
            return "The database named in HOLDFAST_DATABASE_URL does not exist: create it first."
        case asyncpg.InsufficientPrivilegeError():
            return f"The database role may not do this: {error}."
        case asyncpg.PostgresError():
            return f"The database says: {error}."
        case TimeoutError():
            return "The database does not answer; look at HOLDFAST_DATABASE_URL."
        case ConnectionError() | socket.gaierror():  # they do not say to what
            return (
                f"The database cannot be reached ({error.strerror or error}); look at HOLDFAST_DATABASE_URL."
            )
    return None
