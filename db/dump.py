"""Everything in the tables as text, read in one snapshot and written in one transaction.

The text is COPY's (https://www.postgresql.org/docs/current/sql-copy.html): a line a row, the same for every version of
PostgreSQL. What is true of one cluster alone stays behind: the numbers of transactions, and the name of the log. So a
restored log is another one, in which old cursors lead to a Resync, and its events keep their order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import asyncpg

from db.migrate import VERSION_TABLE

Sink = Callable[[bytes], Coroutine[Any, Any, None]]

_PLACE = """CASE WHEN {xid} IS NOT NULL
  THEN (SELECT count(*) FROM event WHERE (event.xid, event.id) <= ({xid}, {id})) END"""
"""A place in the log as a place in the restored one, whose events are numbered from 1."""
_BEFORE_ENDPOINTS = """(SELECT count(*) FROM event WHERE event.xid < (
  SELECT min(since_xid) FROM webhook_endpoint WHERE status = 'ACTIVE' AND behind_xid IS NULL))"""

_ELSEWHERE: Mapping[str, Mapping[str, str | None]] = {
    "event": {"xid": "'1'::xid8", "id": "row_number() OVER (ORDER BY event.xid, event.id)"},
    "installation": {
        "log_epoch": None,  # made anew by its default
        "log_start_xid": "CASE WHEN log_start_xid = '0'::xid8 THEN '0' ELSE '1' END::xid8",
        "log_start_id": "0",
    },
    "webhook_endpoint": {
        "since_xid": "'1'::xid8",
        "behind_xid": "CASE WHEN behind_xid IS NOT NULL THEN '1' END::xid8",
        "behind_id": _PLACE.format(xid="behind_xid", id="behind_id"),
        "worker": None,
        "leased_until": None,
    },
    "webhook_cursor": {
        "xid": "'1'::xid8",
        "id": f"greatest({_PLACE.format(xid='webhook_cursor.xid', id='webhook_cursor.id')}, {_BEFORE_ENDPOINTS})",
    },
}
"""What is written in place of a column; None leaves it out."""

_SINGLE = ("installation", "webhook_cursor")
"""Tables of one row, which is made with the schema."""

_COLUMNS = """
SELECT c.relname AS table, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relname <> $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND (c.relnamespace, c.relowner) = (SELECT relnamespace, relowner FROM pg_class WHERE oid = to_regclass($1))
GROUP BY c.relname
"""
_REFERENCES = """
SELECT c.relname AS table, r.relname AS other FROM pg_constraint
JOIN pg_class c ON c.oid = conrelid JOIN pg_class r ON r.oid = confrelid WHERE contype = 'f' AND c.oid <> r.oid
"""
_COMPANY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'holdfast'
"""
_FORCED = "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relname = ANY ($1)"
_COUNTED = """
SELECT attrelid::regclass::text AS table, attname AS column FROM pg_attribute
WHERE attidentity <> '' AND attrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the columns that are kept of it."""

    name: str
    columns: tuple[str, ...]


class Snapshot:
    """The tables as they stood at one moment; each comes before those that refer to it."""

    def __init__(self, connection: asyncpg.Connection, schema: str, tables: Sequence[Table]) -> None:
        self._connection = connection
        self.schema = schema
        self.tables = tables

    async def read(self, table: Table, sink: Sink) -> None:
        """Hand all rows of a table to ``sink``, in pieces."""
        changed = _ELSEWHERE.get(table.name, {})
        values = ", ".join(changed.get(column) or f'"{column}"' for column in table.columns)
        await self._connection.copy_from_query(f'SELECT {values} FROM "{table.name}"', output=sink)


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[Snapshot]:
    """The moment of now."""
    connection = await _connected(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            schema = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")
            yield Snapshot(connection, schema, await _tables(connection))
    finally:
        await connection.close()


class Load:
    """A transaction that fills tables; nobody sees anything of it before its end."""

    def __init__(self, connection: asyncpg.Connection, names: Sequence[str]) -> None:
        self._connection = connection
        self.names = names

    async def write(self, table: Table, source: AsyncIterator[bytes]) -> None:
        """Put the rows in that ``source`` gives in pieces."""
        await self._connection.copy_to_table(table.name, source=source, columns=table.columns)


@asynccontextmanager
async def load(dsn: str) -> AsyncIterator[Load]:
    """Empty all tables, fill them, and count on from where they end; all of it or nothing.

    The policies of row security, which no COPY may meet, are off within the transaction.
    """
    connection = await _connected(dsn)
    try:
        async with connection.transaction():
            names = [table.name for table in await _tables(connection)]
            forced = [row["relname"] for row in await connection.fetch(_FORCED, names)]
            await connection.execute(f"TRUNCATE {_listed(names)}")
            for name in forced:
                await connection.execute(f'ALTER TABLE "{name}" NO FORCE ROW LEVEL SECURITY')
            yield Load(connection, names)
            for row in await connection.fetch(_COUNTED, names):
                await connection.execute(_count_on(row["table"], row["column"]))
            for name in forced:
                await connection.execute(f'ALTER TABLE "{name}" FORCE ROW LEVEL SECURITY')
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def has_rows(dsn: str) -> bool:
    """Whether anything but what is made with the schema is in the tables."""
    connection = await _connected(dsn)
    try:
        names = [table.name for table in await _tables(connection) if table.name not in _SINGLE]
        asked = " OR ".join(f'EXISTS (SELECT FROM "{name}")' for name in names)
        return bool(await connection.fetchval(f"SELECT {asked}"))
    finally:
        await connection.close()


async def in_use(dsn: str) -> int:
    """How many connections servers and workers have to the database."""
    connection = await _connected(dsn)
    try:
        return int(await connection.fetchval(_COMPANY))
    finally:
        await connection.close()


async def _connected(dsn: str) -> asyncpg.Connection:
    """A connection that may take its time, and to which row security shows everything."""
    settings = {
        "application_name": "holdfast backup",
        "holdfast.caller": "system",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    return await asyncpg.connect(dsn, timeout=5, server_settings=settings)


async def _tables(connection: asyncpg.Connection) -> Sequence[Table]:
    columns = {
        row["table"]: tuple(
            column for column in row["columns"] if _ELSEWHERE.get(row["table"], {}).get(column, column)
        )
        for row in await connection.fetch(_COLUMNS, VERSION_TABLE)
    }
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for row in await connection.fetch(_REFERENCES):
        if row["table"] in columns:
            order.add(row["table"], row["other"])
    return [Table(name, columns[name]) for name in order.static_order()]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _count_on(table: str, column: str) -> str:
    last = f'(SELECT max("{column}") FROM {table})'
    return f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce({last}, 1), {last} IS NOT NULL)"
