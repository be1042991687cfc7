"""The file of a backup: a ZIP with a member for each table, and a manifest that says what must be in them.

The manifest is ``manifest.json``::

    {"format": 1, "holdfast": "0.1.0", "schema": "0004", "taken": "2026-11-21T05:00:00+00:00",
     "tables": [{"name": "account", "columns": ["id", ...], "rows": 4, "bytes": 900, "sha256": "..."}, ...]}

Tables stand in the order in which they can be filled, and the text of each is ``<name>.copy``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from holdfast.terminal import CommandFailed

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1 << 18
LONGEST_MANIFEST = 1 << 20
"""Bytes; ours has a few thousand."""


@dataclass(frozen=True, slots=True)
class Member:
    """A table as the manifest has it."""

    name: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is, and of what."""

    format: int
    holdfast: str
    schema: str
    taken: str
    tables: tuple[Member, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(member.rows for member in self.tables)


class Tally:
    """Counts what goes by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = self.bytes = 0

    def add(self, piece: bytes) -> None:
        """Take a piece of COPY's text into account, in which each row, and nothing else, ends in a newline."""
        self._hash.update(piece)
        self.rows += piece.count(b"\n")
        self.bytes += len(piece)

    def member(self, name: str, columns: tuple[str, ...]) -> Member:
        """What the manifest is to say."""
        return Member(name, columns, self.rows, self.bytes, self._hash.hexdigest())


class TableWriter:
    """Takes the pieces of one table."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member
        self.tally = Tally()

    async def write(self, piece: bytes) -> None:
        """Write a piece."""
        self._member.write(piece)
        self.tally.add(piece)


class Writer:
    """A backup that is being written."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._zip = file
        self.members: list[Member] = []

    @contextmanager
    def table(self, name: str, columns: tuple[str, ...]) -> Iterator[TableWriter]:
        """Add a table."""
        with self._zip.open(f"{name}.copy", "w", force_zip64=True) as member:
            writer = TableWriter(member)
            yield writer
        self.members.append(writer.tally.member(name, columns))

    def finish(self, holdfast: str, schema: str, taken: str) -> Manifest:
        """Write the manifest, without which a backup is none."""
        manifest = Manifest(FORMAT, holdfast, schema, taken, tuple(self.members))
        self._zip.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
        return manifest


@contextmanager
def new_backup(path: Path) -> Iterator[Writer]:
    """A file, readable by its owner alone, that has its name when it is whole and on the disk.

    Raises CommandFailed where something has that name, OSError.
    """
    if path.exists():
        raise CommandFailed(f"{path} is there already; name another file.")
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as members:
                yield Writer(members)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)


class Backup:
    """A backup that is being read."""

    def __init__(self, file: zipfile.ZipFile, path: Path) -> None:
        self._zip = file
        self._path = path
        self.manifest = self._read_manifest()

    async def pieces(self, member: Member) -> AsyncIterator[bytes]:
        """The text of a table. Raises CommandFailed when all is read and it was not what the manifest says."""
        tally = Tally()
        try:
            with self._zip.open(f"{member.name}.copy") as text:
                while piece := await asyncio.to_thread(text.read, PIECE):
                    tally.add(piece)
                    yield piece
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError):
            raise self._damaged() from None
        if tally.member(member.name, member.columns) != member:
            raise self._damaged()

    def _read_manifest(self) -> Manifest:
        try:
            with self._zip.open(MANIFEST) as text:
                told = json.loads(text.read(LONGEST_MANIFEST))
            if told["format"] != FORMAT:
                raise CommandFailed(
                    f"{self._path} has format {told['format']}, this version reads {FORMAT}: use a newer one."
                )
            tables = tuple(Member(**{**each, "columns": tuple(each["columns"])}) for each in told["tables"])
            manifest = Manifest(**{**told, "tables": tables})
            if not isinstance(manifest.schema, str):
                raise TypeError
            return manifest
        except (KeyError, TypeError, ValueError, RecursionError, zipfile.BadZipFile, zlib.error, EOFError):
            raise self._damaged() from None

    def _damaged(self) -> CommandFailed:
        return CommandFailed(f"{self._path} is damaged: it does not hold what its manifest says.")


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """A file of ``holdfast backup``. Raises CommandFailed where it is none, or was cut short; OSError."""
    try:
        file = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise CommandFailed(f"{path} is no backup, or was cut short.") from None
    with file:
        yield Backup(file, path)
