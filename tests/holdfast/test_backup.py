"""Backups: whole or none, checked, restored into an empty database or with a clear word, all of it or nothing."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from db import dump
from db.migrate import HEAD, upgrade, version
from domain.ids import new_id
from domain.jobs import Artifact, ArtifactKind
from holdfast.archive import open_backup
from holdfast.backup import check, restore, take
from holdfast.demo import fill
from holdfast.terminal import CommandFailed
from tests.errands import Errands
from tests.servers import PostgresServer, tables_of
from tests.world import new_world


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
async def empty(postgres: PostgresServer) -> AsyncIterator[str]:
    """Give a database without a schema."""
    with postgres.database() as database_url:
        async with tables_of(database_url) as tables:
            await tables.execute("DROP SCHEMA public CASCADE")
            await tables.execute("CREATE SCHEMA public")
        yield database_url


@pytest.fixture
async def shop(data_dir: Path, database_url: str) -> str:
    """Give a database with the demo in it, and nobody at work."""
    async with new_world(data_dir, database_url) as world:
        await fill(world.app, quiet)
        errands = await Errands.at(world)
        done, begun = [await errands.begun(await world.person()) for _ in range(2)]
        await errands.complete(done.lease)
        await errands.fenced(begun.lease)
        screenshot = Artifact(new_id(), begun.job.id, ArtifactKind.SCREENSHOT, begun.lease.until)
        await errands.automation.keep(begun.lease, [screenshot])
    return database_url


OF_ONE_CLUSTER = {
    "event": ("xid", "id"),
    "installation": ("log_epoch", "log_start_xid", "log_start_id"),
    "webhook_endpoint": ("since_xid", "behind_xid", "behind_id", "worker", "leased_until"),
    "webhook_cursor": ("xid", "id"),
}


async def everything(database_url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, but for what is true of one cluster alone."""
    found: dict[str, list[dict[str, Any]]] = {}
    async with dump.snapshot(database_url) as moment:
        names = [table.name for table in moment.tables]
    async with tables_of(database_url) as tables:
        for name in names:
            order = "xid, id" if name == "event" else f"{name}::text"
            rows = [dict(row) for row in await tables.fetch(f"SELECT * FROM {name} ORDER BY {order}")]
            for row in rows:
                for column in OF_ONE_CLUSTER.get(name, ()):
                    row.pop(column)
            found[name] = rows
    return found


async def rename(database_url: str, name: str) -> None:
    async with tables_of(database_url) as tables:
        await tables.execute("UPDATE organization SET name = $1", name)


async def restored(path: Path, database_url: str, *, replace: bool = False) -> None:
    with open_backup(path) as backup:
        await check(backup, quiet)
        await restore(database_url, backup, quiet, replace=replace)


def forged(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same backup with another manifest."""
    other = path.with_name("forged.zip")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "manifest.json":
                manifest = json.loads(text)
                change(manifest)
                text = json.dumps(manifest).encode()
            target.writestr(name, text)
    return other


@pytest.mark.feature("S3.32", "S4.51")
async def test_what_is_restored_is_what_was_there(shop: str, empty: str, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    said: list[str] = []
    manifest = await take(shop, path, said.append)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert {line.split(":")[0].strip() for line in said} >= {"account", "schedule", "event"}
    await restored(path, empty)
    before, after = await everything(shop), await everything(empty)
    assert before == after
    assert sum(len(rows) for rows in after.values()) == manifest.rows
    assert len(after["event"]) > 300
    async with tables_of(shop) as old, tables_of(empty) as new:
        epoch = "SELECT log_epoch FROM installation"
        assert await old.fetchval(epoch) != await new.fetchval(epoch), "old cursors are to lead to a Resync"
        numbers = await new.fetch("SELECT DISTINCT xid::text FROM event")
        assert [row["xid"] for row in numbers] == ["1"], (
            "a new cluster counts transactions from the beginning"
        )
        last = await new.fetchval("SELECT max(id) FROM event")
        assert await new.fetchval("SELECT nextval(pg_get_serial_sequence('event', 'id'))") == last + 1
        forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
        assert await old.fetchval(forced) == await new.fetchval(forced) > 0


async def test_a_backup_of_an_older_schema_is_restored_and_then_migrated(empty: str, tmp_path: Path) -> None:
    async with tables_of(empty) as tables:
        await upgrade(empty, quiet, "0001")
        await tables.execute(
            "INSERT INTO account (id, email, password_hash) VALUES ($1, 'a@b.example', '-')", UUID(int=7)
        )
        manifest = await take(empty, tmp_path / "old.zip", quiet)
        assert manifest.schema == "0001"
        await tables.execute("DROP SCHEMA public CASCADE")
        await tables.execute("CREATE SCHEMA public")
    await restored(tmp_path / "old.zip", empty)
    assert await version(empty) == HEAD
    async with tables_of(empty) as tables:
        assert await tables.fetchval("SELECT email FROM account") == "a@b.example"


async def test_a_database_that_is_not_empty_is_replaced_only_when_that_is_said(
    shop: str, tmp_path: Path
) -> None:
    path = tmp_path / "all.zip"
    await take(shop, path, quiet)
    before = await everything(shop)
    await rename(shop, "something else")
    with pytest.raises(CommandFailed, match=r"not empty.*--replace"):
        await restored(path, shop)
    assert await everything(shop) != before
    await restored(path, shop, replace=True)
    assert await everything(shop) == before


async def test_servers_that_run_are_in_the_way(shop: str, tmp_path: Path) -> None:
    await take(shop, tmp_path / "all.zip", quiet)
    connection = await asyncpg.connect(shop, server_settings={"application_name": "holdfast"})
    try:
        with pytest.raises(CommandFailed, match="stop them first"):
            await restored(tmp_path / "all.zip", shop, replace=True)
    finally:
        await connection.close()


async def test_a_file_that_is_cut_short_or_damaged_is_refused_and_changes_nothing(
    shop: str, empty: str, tmp_path: Path
) -> None:
    path, broken = tmp_path / "all.zip", tmp_path / "broken.zip"
    await take(shop, path, quiet)
    whole = path.read_bytes()
    for part in range(7):
        broken.write_bytes(whole[: len(whole) * part // 7])
        with pytest.raises(CommandFailed, match="cut short"):
            await restored(broken, empty)
    for place in _middles(path):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(CommandFailed, match="damaged"):
            await restored(broken, empty)
    assert await version(empty) is None


def _middles(path: Path) -> list[int]:
    """A place within what each member holds."""
    with zipfile.ZipFile(path) as file:
        members = [info for info in file.infolist() if info.compress_size > 20]
        return [
            info.header_offset + 30 + len(info.filename) + 20 + info.compress_size // 2 for info in members
        ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("format", 2, "has format 2, this version reads 1"),
        ("schema", "9999", "of Holdfast 0.1.0; this version knows schemas up to"),
    ],
)
async def test_a_file_of_a_newer_version_is_refused(
    shop: str, empty: str, tmp_path: Path, name: str, value: object, words: str
) -> None:
    await take(shop, tmp_path / "all.zip", quiet)
    newer = forged(tmp_path / "all.zip", lambda manifest: manifest.update({name: value}))
    with pytest.raises(CommandFailed, match=words):
        await restored(newer, empty)
    assert await version(empty) is None


@pytest.mark.parametrize("manifest", ["[" * 100_000, "[]", '{"format": 1, "schema": 4}', " " * 20_000_000])
async def test_a_manifest_that_is_none_is_called_so(tmp_path: Path, manifest: str) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", manifest)
    with pytest.raises(CommandFailed, match="damaged"), open_backup(tmp_path / "odd.zip"):
        pass


async def test_a_schema_that_is_no_text_is_called_damage(shop: str, tmp_path: Path) -> None:
    await take(shop, tmp_path / "all.zip", quiet)
    odd = forged(tmp_path / "all.zip", lambda manifest: manifest.update(schema=4))
    with pytest.raises(CommandFailed, match="damaged"), open_backup(odd):
        pass


async def test_a_backup_without_a_table_replaces_nothing(shop: str, tmp_path: Path) -> None:
    await take(shop, tmp_path / "all.zip", quiet)
    before = await everything(shop)
    part = forged(tmp_path / "all.zip", lambda manifest: manifest["tables"].clear())
    with pytest.raises(CommandFailed, match="does not hold all tables: account, allocation, api_key"):
        await restored(part, shop, replace=True)
    assert await everything(shop) == before


async def test_rows_that_are_missing_or_changed_are_noticed(shop: str, tmp_path: Path) -> None:
    await take(shop, tmp_path / "all.zip", quiet)

    def count(manifest: dict[str, Any]) -> None:
        manifest["tables"][0]["rows"] += 1

    with (
        open_backup(forged(tmp_path / "all.zip", count)) as backup,
        pytest.raises(CommandFailed, match="damaged"),
    ):
        await check(backup, quiet)


async def test_a_restore_that_fails_on_its_way_leaves_what_was_there(shop: str, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    await take(shop, path, quiet)
    await rename(shop, "still here")
    before = await everything(shop)

    def accounts_last(manifest: dict[str, Any]) -> None:
        manifest["tables"].sort(key=lambda each: each["name"] == "account")

    with (
        open_backup(forged(path, accounts_last)) as backup,
        pytest.raises(asyncpg.ForeignKeyViolationError),
    ):
        await restore(shop, backup, quiet, replace=True)
    assert await everything(shop) == before


async def test_a_backup_that_fails_leaves_no_file_and_takes_nobody_s_place(shop: str, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"

    def fail(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await take(shop, path, fail)
    assert list(tmp_path.iterdir()) == []
    path.write_text("something dear")
    with pytest.raises(CommandFailed, match="is there already"):
        await take(shop, path, quiet)
    assert path.read_text() == "something dear"


async def test_after_a_restore_by_postgresql_s_own_means_the_papers_statements_make_it_another_log(
    shop: str,
) -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    statements = re.findall(r'-c "(.+?)"', page.partition('psql "$HOLDFAST_MIGRATION_URL"')[2])
    before = await everything(shop)
    connection = await asyncpg.connect(shop)
    try:
        epoch = await connection.fetchval("SELECT log_epoch FROM installation")
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
        assert await connection.fetchval("SELECT log_epoch FROM installation") != epoch
    finally:
        await connection.close()
    async with tables_of(shop) as tables:
        assert {row["xid"] for row in await tables.fetch("SELECT xid::text FROM event")} == {"1"}
    assert await everything(shop) == before, "the events are in the order of before"
