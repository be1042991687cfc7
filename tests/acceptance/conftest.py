"""Running processes, shared by the tests of one worker: they are slow to start and made to be shared."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.cluster import Cluster, running_cluster
from tests.processes import Holdfast
from tests.servers import PostgresServer

EXAMPLES = Path(__file__).parents[2] / "examples"
_PORTAL = re.compile(r"^  demo portal (http://\S+),", re.MULTILINE)


@dataclass(frozen=True)
class RunningServer:
    """What ``make run`` starts, and the people of its demo; ``examples`` is a site of another origin, let in."""

    process: Holdfast
    passwords: dict[str, str]
    examples: str

    @property
    def url(self) -> str:
        return self.process.address

    @property
    def graphql(self) -> str:
        return self.process.url

    @property
    def demo_portal(self) -> str:
        found = _PORTAL.search(self.process.said)
        assert found is not None, self.process.said
        return found[1]

    @property
    def customer_email(self) -> str:
        return "customer@demo.example"

    @property
    def customer_password(self) -> str:
        return self.passwords["customer"]


def reachable_folder(run_dir: Path) -> Path:
    """A folder that PostgreSQL's account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="processes-", dir=run_dir))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def examples_site() -> Iterator[str]:
    """Give the origin of a site with the examples, as their head says how to serve them."""
    served = ["0", "--bind", "127.0.0.1", "--directory", str(EXAMPLES)]
    command = [sys.executable, "-u", "-m", "http.server", *served]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as site:
        assert site.stdout is not None
        yield f"http://127.0.0.1:{site.stdout.readline().split()[5]}"
        site.terminate()


@pytest.fixture(scope="session")
def running_server(run_dir: Path, examples_site: str) -> Iterator[RunningServer]:
    """Give a server with everything in it: embedded PostgreSQL, demo data, a worker, a demo portal."""
    folder = reachable_folder(run_dir)
    outside = {"allowed_origins": examples_site, "webhook_allow_networks": "127.0.0.0/8"}
    with Holdfast("serve", folder, automation=True, **outside) as process:
        process.ready(60)
        yield RunningServer(process, process.passwords, examples_site)


@pytest.fixture(scope="session")
def cluster(run_dir: Path, postgres: PostgresServer) -> Iterator[Cluster]:
    """Give two servers and a worker on one PostgreSQL and one Redis; leave them as they were found."""
    with (
        postgres.database() as database_url,
        running_cluster(database_url, reachable_folder(run_dir)) as made,
    ):
        yield made


@pytest.fixture
def fresh_folder(run_dir: Path) -> Path:
    """Give a folder for the processes of one test."""
    return reachable_folder(run_dir)


@pytest.fixture
async def empty_database(cluster: Cluster) -> AsyncIterator[str]:
    """Give a database that nobody has migrated."""
    async with cluster.database() as database:
        await database.execute("CREATE DATABASE not_migrated")
        yield cluster.database_url.replace(urlsplit(cluster.database_url).path, "/not_migrated")
        await database.execute("DROP DATABASE not_migrated")
