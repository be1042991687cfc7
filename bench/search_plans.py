"""How PostgreSQL answers each search for schedules among a million: ``python -m bench.search_plans [SCHEDULES]``.

Fills an embedded PostgreSQL in a temporary folder and runs every kind of search that the API can make, planned as
the server plans it: generically, knowing nothing of the values. Prints a row for each, as docs/search.md has them,
and ends with 1 if one reads the table of schedules from end to end, or reads or sorts more than a day brings.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from db.engine import SESSION
from db.migrate import upgrade
from db.search import schedule_query
from domain.catalogue import BookingMode, ScheduleSearch
from domain.reads import Key
from holdfast.postgres import EmbeddedPostgres

SCHEDULES = 1_000_000
ORGANIZATIONS, RESOURCES, OFFERINGS, PLACES = 8, 500, 2_000, 40
PAGE = 21
"""Rows that a page of 20 asks for: one more, to know whether others follow."""
MOST_SORTED, MOST_READ = 500, 2_000
"""Rows for one page. To sort some of a single day is the planner's good right; more would grow with the table."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# The first organization sells appointments on two resources, two rent out slots, and five run buses. Four schedules a
# day on each resource; places are popular by the square of chance: the first pair sees many times what the last does.
CATALOGUE = f"""
INSERT INTO organization (id, name, slug, time_zone, currency)
SELECT gen_random_uuid(), 'Organization ' || n, 'organization-' || n,
  (ARRAY['Asia/Kolkata', 'Europe/Stockholm', 'America/New_York', 'Pacific/Auckland'])[1 + n % 4], 'EUR'
FROM generate_series(1, {ORGANIZATIONS}) n;

INSERT INTO seat_layout (id, organization_id, rows, columns, seats)
SELECT gen_random_uuid(), id, 10, 4, '[]' FROM organization;

CREATE TABLE numbered_organization AS
SELECT o.id, o.time_zone, l.id AS layout, row_number() OVER (ORDER BY slug) - 1 AS n
FROM organization o JOIN seat_layout l ON l.organization_id = o.id;

INSERT INTO resource (id, organization_id, kind, name, time_zone, layout_id)
SELECT gen_random_uuid(), o.id, 'VEHICLE', 'Resource ' || g.n, o.time_zone, o.layout
FROM generate_series(0, {RESOURCES} - 1) g (n) JOIN numbered_organization o
  ON o.n = CASE WHEN g.n < 2 THEN 0 ELSE 1 + g.n % ({ORGANIZATIONS} - 1) END;

CREATE TABLE place_pair AS
SELECT n, 'place ' || floor({PLACES} * random() ^ 2) AS origin,
  'place ' || floor({PLACES} * random() ^ 2) AS destination
FROM generate_series(0, {OFFERINGS} - 1) n;

INSERT INTO offering (id, organization_id, name, mode, price_amount, price_currency, reservation_ttl, max_seats,
  origin, destination)
SELECT gen_random_uuid(), o.id, 'Offering ' || p.n,
  CASE o.n WHEN 0 THEN 'APPOINTMENT' WHEN 1 THEN 'SLOT' WHEN 2 THEN 'SLOT' ELSE 'SEATED' END, 500, 'EUR', 'PT15M', 6,
  CASE WHEN o.n > 2 THEN p.origin END, CASE WHEN o.n > 2 THEN p.destination END
FROM place_pair p JOIN numbered_organization o ON o.n = p.n % {ORGANIZATIONS};

CREATE TABLE numbered_resource AS
SELECT r.*, o.n AS organization, row_number() OVER (PARTITION BY r.organization_id ORDER BY r.name) - 1 AS n
FROM resource r JOIN numbered_organization o ON o.id = r.organization_id;

CREATE TABLE numbered_offering AS
SELECT f.*, row_number() OVER (PARTITION BY f.organization_id ORDER BY f.name) - 1 AS n,
  count(*) OVER (PARTITION BY f.organization_id) AS of
FROM offering f;
"""
DAY = """
INSERT INTO schedule (id, organization_id, offering_id, resource_id, layout_id, mode, origin_key, destination_key,
  during, starts_at, local_date, time_zone, price_amount, price_currency, seat_total, status)
SELECT gen_random_uuid(), r.organization_id, f.id, r.id, r.layout_id, f.mode, f.origin, f.destination,
  tstzrange(s.at, s.at + interval '4 hours'), s.at, (s.at AT TIME ZONE r.time_zone)::date, r.time_zone, 500, 'EUR',
  CASE WHEN f.mode = 'SEATED' THEN 40 ELSE 1 END, CASE WHEN random() < 0.01 THEN 'CANCELLED' ELSE 'ON_SALE' END
FROM numbered_resource r
CROSS JOIN LATERAL (
  SELECT $1::timestamptz + make_interval(hours => 6 * quarter, mins => (r.n % 100)::int) AS at, quarter
  FROM generate_series(0, 3) quarter
) s
JOIN numbered_offering f ON f.organization_id = r.organization_id AND f.n = (r.n * 4 + s.quarter) % f.of
"""
# In the coming month half of the slots are gone, a tenth of the departures is full, and others have some seats sold.
TAKEN = """
INSERT INTO allocation (schedule_id, seat, status)
SELECT s.id, seat, 'BLOCKED'
FROM (
  SELECT id, CASE WHEN mode <> 'SEATED' THEN (random() < 0.5)::int
    WHEN random() < 0.1 THEN 40 ELSE floor(6 * random()) END AS sold
  FROM schedule WHERE starts_at BETWEEN now() AND now() + interval '30 days'
) s CROSS JOIN LATERAL generate_series(0, s.sold::int - 1) seat
"""
SCAFFOLD = "DROP TABLE numbered_organization, numbered_resource, numbered_offering, place_pair"
# Without the indexes a million rows take a quarter of the time.
INDEXES = """
SELECT pg_get_indexdef(indexrelid) AS made, 'DROP INDEX ' || indexrelid::regclass AS dropped FROM pg_index
WHERE indrelid = 'schedule'::regclass AND NOT indisunique AND NOT indisexclusion
UNION ALL
SELECT 'ALTER TABLE schedule ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid),
  'ALTER TABLE schedule DROP CONSTRAINT ' || conname
FROM pg_constraint WHERE conrelid = 'schedule'::regclass AND contype = 'x'
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values to search for, taken from what was filled in: a popular route, and one of each id."""

    origin: str
    destination: str
    day: date
    offering: UUID
    resource: UUID
    organization: UUID
    small_organization: UUID


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search was answered: rows read of ``schedule`` for the rows given, through which indexes, in how long."""

    indexes: Sequence[str]
    scans: frozenset[str]
    sorted: int
    read: int
    given: int
    blocks: int
    milliseconds: float

    @property
    def faults(self) -> list[str]:
        """What must not be in it."""
        scanned = ["reads the whole table"] if "Seq Scan" in self.scans else []
        sorted_ = [f"sorts {self.sorted:,} rows"] if self.sorted > MOST_SORTED else []
        read = [f"reads {self.read:,} rows"] if self.read > MOST_READ else []
        return scanned + sorted_ + read


def searches(sample: Sample) -> dict[str, ScheduleSearch]:
    """Each criterion alone, and the combinations that clients make."""
    start = datetime.combine(sample.day, datetime.min.time(), UTC)
    week, year = start + timedelta(days=7), start + timedelta(days=365)
    route = ScheduleSearch(origin=sample.origin, destination=sample.destination)
    offering = ScheduleSearch(offering_id=sample.offering)
    resource = ScheduleSearch(resource_id=sample.resource)
    organization = ScheduleSearch(organization_id=sample.organization)
    small = ScheduleSearch(organization_id=sample.small_organization)
    slots = ScheduleSearch(mode=BookingMode.SLOT)
    return {
        "(nothing: all to come)": ScheduleSearch(),
        "origin": ScheduleSearch(origin=sample.origin),
        "destination": ScheduleSearch(destination=sample.destination),
        "date": ScheduleSearch(on=sample.day),
        "from": ScheduleSearch(start=start),
        "to": ScheduleSearch(end=week),
        "from, to": ScheduleSearch(start=start, end=week),
        "offering": offering,
        "resource": resource,
        "organization": organization,
        "organization, a small one": small,
        "mode": slots,
        "mode, a rare one": ScheduleSearch(mode=BookingMode.APPOINTMENT),
        "minAvailable": ScheduleSearch(min_available=2),
        "origin, destination": route,
        "origin, destination, date": replace(route, on=sample.day),
        "origin, destination, date, minAvailable": replace(route, on=sample.day, min_available=2),
        "origin, destination, from, to": replace(route, start=start, end=week),
        "origin, from, to in a year": ScheduleSearch(origin=sample.origin, start=start, end=year),
        "destination, from, to in a year": ScheduleSearch(
            destination=sample.destination, start=start, end=year
        ),
        "offering, from, to in a year": replace(offering, start=start, end=year),
        "organization, from, to in a year": replace(organization, start=start, end=year),
        "mode, from, to in a year": replace(slots, start=start, end=year),
        "origin, date": ScheduleSearch(origin=sample.origin, on=sample.day),
        "destination, date": ScheduleSearch(destination=sample.destination, on=sample.day),
        "offering, date": replace(offering, on=sample.day),
        "offering, from, to": replace(offering, start=start, end=week),
        "resource, date": replace(resource, on=sample.day),
        "resource, from, to": replace(resource, start=start, end=week),
        "organization, date": replace(organization, on=sample.day),
        "organization, from, to": replace(organization, start=start, end=week),
        "organization, mode": replace(organization, mode=BookingMode.SEATED),
        "organization, route, date": replace(route, organization_id=sample.organization, on=sample.day),
        "mode, date": replace(slots, on=sample.day),
        "mode, date, minAvailable": replace(slots, on=sample.day, min_available=1),
        "mode, from, to, minAvailable": replace(slots, start=start, end=week, min_available=1),
    }


async def fill(connection: Connection, schedules: int, say: Callable[[str], None]) -> Sample:
    """Fill a migrated, empty database with so many schedules, two thirds of them yet to come."""
    await connection.execute("SELECT setseed(0.5)")
    await connection.execute(CATALOGUE)
    later = await connection.fetch(INDEXES)
    for index in later:
        await connection.execute(index["dropped"])
    days = -(-schedules // (4 * RESOURCES))
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days // 3)
    with _timed(say, f"{days * 4 * RESOURCES:,} schedules on {days} days"):
        for number in range(days):
            await connection.execute(DAY, first + timedelta(days=number))
    with _timed(say, "seats that are taken"):
        await connection.execute(TAKEN)
    for index in later:
        with _timed(say, index["made"].split(" USING ")[0]):
            await connection.execute(index["made"])
    await connection.execute(SCAFFOLD)
    with _timed(say, "VACUUM ANALYZE"):
        await connection.execute("VACUUM ANALYZE")
    return await sample_of(connection)


async def sample_of(connection: Connection) -> Sample:
    """Values of a schedule on the most travelled route, three days from now."""
    row = await connection.fetchrow("""
      SELECT s.* FROM schedule s JOIN (
        SELECT origin_key, destination_key FROM schedule WHERE origin_key IS NOT NULL
        GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT 1
      ) busiest USING (origin_key, destination_key)
      WHERE starts_at > now() + interval '3 days' ORDER BY starts_at, id LIMIT 1""")
    assert row is not None
    return Sample(
        row["origin_key"],
        row["destination_key"],
        row["local_date"],
        row["offering_id"],
        row["resource_id"],
        row["organization_id"],
        await connection.fetchval(
            "SELECT organization_id FROM schedule GROUP BY 1 ORDER BY count(*) LIMIT 1"
        ),
    )


async def plan_of(connection: Connection, search: ScheduleSearch, after: Key | None = None) -> Plan:
    """Run a search as the server would, and see how it was done."""
    query = schedule_query(search, after, PAGE)
    await connection.execute(f"PREPARE searched AS {query.text}")
    try:
        run = f"EXECUTE searched ({', '.join(map(_literal, query.values))})"
        await connection.fetch(run)  # what is measured is an index in memory, not the disk
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {run}")
    finally:
        await connection.execute("DEALLOCATE searched")
    top = (json.loads(explained) if isinstance(explained, str) else explained)[0]
    nodes = list(_nodes(top["Plan"]))
    scans = [node for node in nodes if node.get("Relation Name") == "schedule"]
    sorts = [node for node in nodes if "Sort" in node["Node Type"]]
    return Plan(
        indexes=sorted({n["Index Name"] for n in nodes if n.get("Index Name", "").startswith("schedule")}),
        scans=frozenset(node["Node Type"] for node in scans),
        sorted=max((round(child["Actual Rows"]) for node in sorts for child in node["Plans"]), default=0),
        read=sum(_read(node) for node in scans),
        given=round(top["Plan"]["Actual Rows"]),
        blocks=top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"],
        milliseconds=top["Execution Time"],
    )


async def deep_key(connection: Connection, search: ScheduleSearch) -> Key | None:
    """The key in the middle of what a search finds, or None where it finds next to nothing."""
    query = schedule_query(search, None, 2_000_000_000)
    found = await connection.fetch(
        f"SELECT starts_at, id FROM ({query.text.replace('s.*', 's.starts_at, s.id')}) found", *query.values
    )
    return tuple(found[len(found) // 2]) if len(found) > PAGE else None


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _read(node: Mapping[str, Any]) -> int:
    rows: float = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return round(rows * float(node["Actual Loops"]))


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


@contextmanager
def _timed(say: Callable[[str], None], what: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    say(f"  {time.perf_counter() - begun:6.1f} s  {what}")


@dataclass
class Report:
    """The table of docs/search.md, and what is wrong with it."""

    faults: list[str] = field(default_factory=list)

    def row(self, name: str, page: str, plan: Plan) -> None:
        """Print one search."""
        print(
            f"| {name} | {page} | {', '.join(f'`{index}`' for index in plan.indexes)} | {plan.read:,} | {plan.given} "
            f"| {plan.blocks:,} | {plan.milliseconds:.2f} |",
            flush=True,
        )
        self.faults += [f"{name} ({page}): {fault}" for fault in plan.faults]


async def report(dsn: str, schedules: int) -> list[str]:
    """Fill, search, print; the faults."""
    connection = await asyncpg.connect(dsn, server_settings=SESSION | {"statement_timeout": "0"})
    try:
        sample = await fill(connection, schedules, print)
        made = Report()
        print("\n| search | page | index | rows read | given | blocks | ms |\n|---|---|---|--:|--:|--:|--:|")
        for name, search in searches(sample).items():
            made.row(name, "first", await plan_of(connection, search))
            if (key := await deep_key(connection, search)) is not None:
                made.row(name, "deep", await plan_of(connection, search, key))
        return made.faults
    finally:
        await connection.close()


def main() -> int:
    """Run it in a PostgreSQL of its own."""
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else SCHEDULES
    with tempfile.TemporaryDirectory(prefix="holdfast-search-") as folder:
        Path(folder).chmod(0o711)  # as root PostgreSQL runs under another account
        server = EmbeddedPostgres(Path(folder), durable=False)
        dsn = server.start()
        try:
            faults = asyncio.run(_migrated(dsn, report(dsn, schedules)))
        finally:
            server.stop()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


async def _migrated(dsn: str, then: Awaitable[list[str]]) -> list[str]:
    await upgrade(dsn)
    return await then


if __name__ == "__main__":
    sys.exit(main())
