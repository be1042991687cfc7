"""PostgreSQL for tests: started once a worker, a database of its own for each test."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import psutil

from db.caller import ALL_SEEING
from db.engine import SESSION, Pool, prepare
from holdfast.postgres import ROLE, SERVER_ROLE, EmbeddedPostgres
from holdfast.postgres_process import Postmaster

Result = TypeVar("Result")
Prepare = Callable[[str], Coroutine[Any, Any, None]]

TEMPLATE = "template_holdfast"

MEMORY = Path("/dev/shm")
PLENTY = 4 << 30
"""Bytes: a run takes about half a GiB."""


def serving(database_url: str) -> str:
    """The same database of a ``PostgresServer`` for the role that serves: its owner's password is that role's, too."""
    return database_url.replace(f"//{ROLE}:", f"//{SERVER_ROLE}:", 1)


@asynccontextmanager
async def tables_of(database_url: str) -> AsyncIterator[Pool]:
    """Connections of the tables' owner, who sees everything."""
    settings = SESSION | ALL_SEEING
    async with asyncpg.create_pool(
        database_url, min_size=0, max_size=4, init=prepare, server_settings=settings
    ) as pool:
        yield pool


class PostgresServer:
    """A PostgreSQL that can be killed and restarted, and copies one prepared database quickly."""

    def __init__(self, data_dir: Path, *, durable: bool) -> None:
        self.embedded = EmbeddedPostgres(data_dir, durable=durable)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases", daemon=True)
        self._admin: asyncpg.Connection[asyncpg.Record] | None = None

    def start(self, prepare: Prepare) -> None:
        """Start, and make the database that the others are copies of: ``prepare`` is given its DSN."""
        self._thread.start()
        self.embedded.start()
        self._run(self._execute(f"ALTER ROLE {SERVER_ROLE} PASSWORD '{self._password}'"))
        self._run(self._execute(f"CREATE DATABASE {TEMPLATE}"))
        self._run(prepare(self.embedded.dsn(TEMPLATE)))

    def close(self) -> None:
        if self._admin is not None:
            self._admin.terminate()
        self.embedded.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the DSN of a fresh copy of the template, and drop it afterwards whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        self._run(self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY"))
        try:
            yield self.embedded.dsn(name)
        finally:
            self._run(self._drop(name))

    def kill(self) -> None:
        """End the postmaster at once, as a power cut would; its sessions end with it."""
        os.kill(self.pid, signal.SIGKILL)

    def start_again(self) -> None:
        """Bring the server back after ``kill``, through crash recovery."""
        self.embedded.start()

    @property
    def _password(self) -> str:
        return urlsplit(self.embedded.dsn()).password or ""

    @property
    def pid(self) -> int:
        pid = Postmaster(self.embedded.data_dir / "postgres" / "cluster").pid()
        assert pid is not None
        return pid

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _drop(self, name: str) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                    return
                except asyncpg.InsufficientPrivilegeError:
                    # Autovacuum is at work in it, as a superuser, whom our role cannot send away; it leaves soon.
                    await asyncio.sleep(0.05)

    async def _execute(self, statement: str) -> None:
        if self._admin is None or self._admin.is_closed():
            self._admin = await asyncpg.connect(self.embedded.dsn())
        try:
            await self._admin.execute(statement)
        except (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, OSError):
            self._admin = await asyncpg.connect(self.embedded.dsn())  # the server was restarted meanwhile
            await self._admin.execute(statement)


def quick_folder() -> Path:
    """Where databases come and go quickest: in memory, if there is plenty; else where temporary files are.

    A database is five hundred files, and ext4 looks at all that were deleted a moment ago before it makes one more:
    on a disk that took half of a test's time.
    """
    try:
        if shutil.disk_usage(MEMORY).free >= PLENTY and os.access(MEMORY, os.W_OK):
            return MEMORY
    except OSError:
        pass
    return Path(tempfile.gettempdir())


@contextmanager
def run_folder() -> Iterator[Path]:
    """Give a folder for everything this test process leaves on disk, removed at the end with what runs in it.

    A run that was killed cannot tidy up: its folder's lock is free, and the next run removes it.
    """
    base = quick_folder() / "holdfast-tests"
    base.mkdir(mode=0o711, exist_ok=True)
    for folder in base.iterdir():
        _sweep_if_dead(folder)
    folder = Path(tempfile.mkdtemp(dir=base))
    folder.chmod(0o711)  # as root PostgreSQL runs under another account
    with (folder / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            _sweep(folder)


def _sweep_if_dead(folder: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError), (folder / "alive").open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sweep(folder)


def _sweep(folder: Path) -> None:
    left = [process for process in psutil.process_iter() if _works_in(process, folder)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False
