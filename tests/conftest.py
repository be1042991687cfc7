"""What every test can ask for: a database, a durable one, a Redis, a data directory."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from db.engine import SESSION
from holdfast.garbage import hold_off, settle
from tests.redis_server import RedisServer
from tests.servers import PostgresServer, run_folder
from tests.world import World, new_world

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

hold_off()  # as a server does, until all modules are there: looking through them was a tenth of a run

# A shell's background jobs ignore Ctrl-C, and so would all that they start; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that others share stands still for seconds, in the middle of a transaction of a test as elsewhere.
SESSION["idle_in_transaction_session_timeout"] = "15000"

for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
    del os.environ[name]  # the developer's own settings are no part of a test


def pytest_collection_finish() -> None:
    """Have Python look for garbage, though not among the modules that are there by now."""
    settle()


async def migrated(dsn: str) -> None:
    """Make the template that every test's database is a copy of."""
    from db.migrate import upgrade  # late: unit tests need not wait for SQLAlchemy

    await upgrade(dsn)


@pytest.fixture(scope="session", autouse=True)
def run_dir() -> Iterator[Path]:
    """Keep all temporary files of this process, and of those it starts, in one folder that is removed."""
    with run_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture
def data_dir(run_dir: Path) -> Path:
    """Give a fresh folder for a Holdfast's data that, unlike ``tmp_path``, PostgreSQL's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=run_dir))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def postgres(run_dir: Path) -> Iterator[PostgresServer]:
    """Start the PostgreSQL of this worker, without fsync."""
    server = PostgresServer(run_dir / "fleeting", durable=False)
    server.start(migrated)
    yield server
    server.close()


@pytest.fixture(scope="session")
def durable_postgres(run_dir: Path) -> Iterator[PostgresServer]:
    """Start a PostgreSQL that survives kill -9, for the tests marked ``durability``."""
    server = PostgresServer(run_dir / "durable", durable=True)
    server.start(migrated)
    yield server
    server.close()


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """Give the DSN of a migrated, empty database that no other test sees."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture
def durable_database_url(durable_postgres: PostgresServer) -> Iterator[str]:
    """Give the same on the durable server."""
    with durable_postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def redis_server() -> AsyncIterator[RedisServer]:
    """Start a Redis of this test's own, to be stopped, frozen and started again."""
    async with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the address of this test's Redis."""
    return redis_server.url


@pytest.fixture
async def world(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """Give a process' parts over a database of the test's own, with shortcuts."""
    async with new_world(data_dir, database_url) as made:
        yield made
