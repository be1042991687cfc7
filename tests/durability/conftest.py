"""The same processes over a PostgreSQL that keeps what it acknowledged through any crash."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster, running_cluster
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def durable_cluster(run_dir: Path, durable_postgres: PostgresServer) -> Iterator[Cluster]:
    """Give two servers and a worker on a PostgreSQL with fsync on."""
    folder = Path(tempfile.mkdtemp(prefix="processes-", dir=run_dir))
    folder.chmod(0o711)
    with durable_postgres.database() as database_url, running_cluster(database_url, folder) as made:
        yield made
