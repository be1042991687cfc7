"""Taking a backup, checking one, and restoring it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from db import dump
from db.migrate import HEAD, upgrade
from db.migrate import version as schema_version
from holdfast.archive import Backup, Manifest, Member, new_backup
from holdfast.terminal import CommandFailed

EVERY = 2.0
"""Seconds between two lines about a table that takes long."""

Say = Callable[[str], None]


class Progress:
    """Tells of each table at its end, and of one that takes long now and then."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told = time.monotonic()
        self._rows = 0

    def add(self, table: str, piece: bytes) -> None:
        """Take a piece of a table into account."""
        self._rows += piece.count(b"\n")
        if time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self._say(f"  {table}: {self._rows:,} rows so far ...")

    def done(self, table: str) -> None:
        """The table has ended."""
        if self._rows:
            self._say(f"  {table}: {self._rows:,} rows")
        self._rows = 0


async def take(dsn: str, path: Path, say: Say) -> Manifest:
    """Write all tables into a file as they stand at one moment, while everybody goes on working.

    Raises CommandFailed, OSError, and what the database refuses with; then there is no file.
    """
    progress = Progress(say)
    with new_backup(path) as file:
        async with dump.snapshot(dsn) as moment:
            taken = datetime.now(UTC).isoformat(timespec="seconds")
            for table in moment.tables:
                with file.table(table.name, table.columns) as writer:

                    async def write(piece: bytes, name: str = table.name) -> None:
                        await writer.write(piece)
                        progress.add(name, piece)

                    await moment.read(table, write)
                progress.done(table.name)
            return file.finish(version("holdfast"), moment.schema, taken)


async def check(backup: Backup, say: Say) -> None:
    """Read a file to its end. Raises CommandFailed when anything in it is not as its manifest says."""
    progress = Progress(say)
    for member in backup.manifest.tables:
        async for _ in _told(backup, member, progress):
            pass


async def restore(dsn: str, backup: Backup, say: Say, *, replace: bool) -> None:
    """Put what a backup holds, which was checked, in place of what the database holds: all of it or nothing.

    Raises:
        CommandFailed: servers or workers run; there is data, and ``replace`` is not said; the schemas do not fit.

    """
    await _must_fit(dsn, backup.manifest, replace=replace)

    def step(name: str) -> None:
        say(f"Migrating to {name} ...")

    await upgrade(dsn, step, backup.manifest.schema)
    progress = Progress(say)
    async with dump.load(dsn) as tables:
        if missing := set(tables.names) - {member.name for member in backup.manifest.tables}:
            raise CommandFailed(f"The backup does not hold all tables: {', '.join(sorted(missing))}.")
        for member in backup.manifest.tables:
            await tables.write(dump.Table(member.name, member.columns), _told(backup, member, progress))
    await upgrade(dsn, step)


async def _must_fit(dsn: str, manifest: Manifest, *, replace: bool) -> None:
    if company := await dump.in_use(dsn):
        raise CommandFailed(f"Servers or workers use the database ({company} connections): stop them first.")
    if manifest.schema > HEAD:
        raise CommandFailed(
            f"The backup has schema {manifest.schema}, of Holdfast {manifest.holdfast}; this version knows schemas"
            f" up to {HEAD}: restore it with that version or a newer one."
        )
    found = await schema_version(dsn)
    if found is None:
        return
    if found != manifest.schema:
        raise CommandFailed(
            f"The database is at schema {found} and the backup at {manifest.schema}: restore it into a new, empty"
            " database, which is migrated afterwards."
        )
    if not replace and await dump.has_rows(dsn):
        raise CommandFailed(
            "The database is not empty. Restore into an empty one, or say --replace: that drops all that is in it."
        )


async def _told(backup: Backup, member: Member, progress: Progress) -> AsyncIterator[bytes]:
    async for piece in backup.pieces(member):
        progress.add(member.name, piece)
        yield piece
    progress.done(member.name)
