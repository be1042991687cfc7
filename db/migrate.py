"""Bringing a database to the schema of this version."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from db.caller import ALL_SEEING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0007"
VERSION_TABLE = "schema_version"
MIGRATIONS = Path(__file__).parent / "migrations"

# Two processes that migrate at once do it one after the other.
_LOCK = 0x686F6C64


async def upgrade(dsn: str, step: Callable[[str], None] = lambda _: None, target: str = HEAD) -> None:
    """Run the steps that are missing up to ``target``, each in a transaction; ``step`` hears the name of each.

    Raises what the database refuses with; what was done before that stays.
    """
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # A step that changes rows is to meet all of them.
    seeing = {"server_settings": ALL_SEEING}
    engine = create_async_engine(_sqlalchemy_url(dsn), poolclass=NullPool, connect_args=seeing)
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
            await connection.commit()
            await connection.run_sync(_upgrade, step, target)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, step: Callable[[str], None], target: str) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its words, from its import on, are ours to say
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    config.attributes["step"] = step
    command.upgrade(config, target)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _sqlalchemy_url(dsn: str) -> str:
    scheme, rest = dsn.split("://", 1)
    if scheme not in ("postgres", "postgresql"):
        raise ValueError("a PostgreSQL URL begins with postgresql://")
    return f"postgresql+asyncpg://{rest}"


_READABLE = "SELECT to_regclass($1) IS NOT NULL AND has_table_privilege(to_regclass($1), 'SELECT')"


async def version(dsn: str) -> str | None:
    """The schema version of a database, None if it has none yet, or none that this login may see."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        if not await connection.fetchval(_READABLE, VERSION_TABLE):
            return None
        found: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")
        return found
    finally:
        await connection.close()
