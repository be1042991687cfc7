"""The PostgreSQL of a run: one durable cluster in a temporary folder, and a copy of the same data for each contestant.

A copy each, so that nobody's feed reads what another writes, and all tables grow alike.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import psutil

from bench.cpu import used
from db.caller import ALL_SEEING
from holdfast.postgres import SERVER_ROLE, EmbeddedPostgres

Result = TypeVar("Result")

_SEEING = "=".join(*ALL_SEEING.items())


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. ``folder`` is everybody's to write to, and goes with it."""

    folder: Path
    postgres: EmbeddedPostgres

    def dsn(self, database: str = "holdfast") -> str:
        """The address of a database for its owner."""
        return self.postgres.dsn(database)

    def serving(self, database: str) -> str:
        """The address of a database for a server: its role owns nothing."""
        return self.postgres.dsn(database, SERVER_ROLE)

    def whole(self, database: str = "holdfast") -> str:
        """The owner's for asyncpg, and nothing is hidden from who connects there."""
        return f"{self.dsn(database)}&{_SEEING}"

    def environment(self, database: str) -> dict[str, str]:
        """The address of a database as libpq's variables; plans are made once, for large tables; nothing is hidden."""
        url = urlsplit(self.dsn(database))
        return {
            "PGHOST": parse_qs(url.query)["host"][0],
            "PGUSER": unquote(url.username or ""),
            "PGPASSWORD": unquote(url.password or ""),
            "PGDATABASE": database,
            "PGOPTIONS": f"-c {_SEEING} -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
            " -c timezone=UTC",
        }

    def copy(self, name: str) -> str:
        """Make a database with the data, in place of an earlier copy of that name; its name."""

        async def made(connection: asyncpg.Connection) -> None:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE holdfast")

        self.run(made, "postgres")
        return name

    def checkpoint(self) -> None:
        """Let the disk catch up, so that nobody pays for what another wrote."""
        self.run(lambda connection: connection.execute("CHECKPOINT"), "postgres")

    def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Result]], database: str = "holdfast"
    ) -> Result:
        """Do something on a connection."""

        async def connected() -> Result:
            connection = await asyncpg.connect(self.whole(database))
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    def cpu(self) -> float:
        """Seconds of CPU that the server has used up to now, those of ended backends with them."""
        process = psutil.Process(self._pid())
        times = process.cpu_times()
        total = used(process.pid) + times.children_user + times.children_system
        for child in process.children():
            with suppress(OSError, psutil.NoSuchProcess):  # it has ended meanwhile
                total += used(child.pid)
        return float(total)

    def _pid(self) -> int:
        home = (self.postgres.data_dir / "postgres").resolve()
        return int((home / "cluster/postmaster.pid").read_text().split()[0])


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start one; it notes when each transaction was committed."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chmod(folder, 0o711)  # PostgreSQL's account passes through, when we are root
        postgres = EmbeddedPostgres(folder)
        postgres.start()
        try:
            postgres.stop()
            home = (folder / "postgres").resolve()
            with (home / "cluster/postgresql.conf").open("a") as conf:
                conf.write("\ntrack_commit_timestamp = on\nmax_wal_size = 4GB\n")
            postgres.start()
            yield Cluster(folder, postgres)
        finally:
            postgres.stop()
