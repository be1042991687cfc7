"""What must always hold of the trade's tables, asked of the database itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

_SEATS_OF = """(SELECT array_agg(a.seat ORDER BY a.seat) FROM allocation a
  WHERE a.schedule_id = {of}.schedule_id AND a.{by} = {of}.id AND a.status = '{status}' {also})"""
_HELD = _SEATS_OF.format(of="r", by="reservation_id", status="HELD", also="AND a.held_until = r.expires_at")
_BOOKED = _SEATS_OF.format(
    of="b", by="booking_id", status="BOOKED", also="AND a.reservation_id = b.reservation_id"
)

# Each finds what breaks the rule it is named by.
RULES: Mapping[str, str] = {
    "a seat has one holder": "SELECT schedule_id, seat FROM allocation GROUP BY 1, 2 HAVING count(*) > 1",
    "an active reservation has all its seats": f"""
        SELECT r.id FROM reservation r
        WHERE r.status = 'ACTIVE' AND r.expires_at > clock_timestamp() AND r.seats IS DISTINCT FROM {_HELD}""",
    "a reservation that was released or swept has no seat": """
        SELECT r.id FROM reservation r JOIN allocation a ON a.reservation_id = r.id
        WHERE r.status IN ('RELEASED', 'EXPIRED')""",
    "a confirmed booking has all its seats": f"""
        SELECT b.id FROM booking b WHERE b.status = 'CONFIRMED' AND b.seats IS DISTINCT FROM {_BOOKED}""",
    "a cancelled booking has no seat, and says when": """
        SELECT b.id FROM booking b WHERE b.status = 'CANCELLED' AND (b.cancelled_at IS NULL OR EXISTS (
          SELECT FROM allocation a WHERE b.id = a.booking_id OR b.reservation_id = a.reservation_id))""",
    "a reservation is converted when it has its one booking": """
        SELECT r.id FROM reservation r LEFT JOIN booking b ON b.reservation_id = r.id GROUP BY r.id
        HAVING count(b.id) <> (r.status = 'CONVERTED')::int""",
    "a booking is its reservation, sold": """
        SELECT b.id FROM booking b JOIN reservation r ON r.id = b.reservation_id
        WHERE (b.schedule_id, b.seats, b.total_amount) IS DISTINCT FROM (r.schedule_id, r.seats, r.total_amount)""",
    "a held seat belongs to a reservation of the schedule that lists it": """
        SELECT a.schedule_id, a.seat FROM allocation a LEFT JOIN reservation r ON r.id = a.reservation_id
        WHERE a.status <> 'BLOCKED' AND (r.schedule_id = a.schedule_id AND a.seat = ANY (r.seats)) IS NOT TRUE""",
    "a total is the price times the seats": """
        SELECT r.id FROM reservation r JOIN schedule s ON s.id = r.schedule_id
        WHERE r.total_amount <> s.price_amount * cardinality(r.seats)""",
    "no hold outlasts the start, and none is extended more than twice": """
        SELECT r.id FROM reservation r JOIN schedule s ON s.id = r.schedule_id
        WHERE r.expires_at > s.starts_at OR r.extensions > 2""",
    "the versions of a stream have no gap": """
        SELECT stream_id FROM event GROUP BY stream_id, stream
        HAVING array_agg(version ORDER BY version) <> ARRAY(SELECT generate_series(
          CASE stream WHEN 'schedule' THEN 0 ELSE 1 END, max(version)))""",
    "the log has the steps of a stream in their order": """
        SELECT stream_id FROM event GROUP BY stream_id
        HAVING array_agg(version ORDER BY xid, id) <> array_agg(version ORDER BY version)""",
    "everything is at the version that the log tells": """
        SELECT id FROM (
          SELECT id, version FROM schedule UNION ALL SELECT id, version FROM reservation
          UNION ALL SELECT id, version FROM booking UNION ALL SELECT id, version FROM automation_job) AS thing
        WHERE version IS DISTINCT FROM (SELECT max(e.version) FROM event e WHERE e.stream_id = thing.id)""",
    "a completed job has its confirmed booking, of its owner and organization, by the portal's number": """
        SELECT j.id FROM automation_job j LEFT JOIN booking b ON b.id = j.booking_id
        WHERE (j.status = 'COMPLETED') <> (b.id IS NOT NULL)
          OR (b.external_reference, b.account_id, b.organization_id) <>
            (j.outcome ->> 'number', j.account_id, j.organization_id)""",
    "the counts last told are the table's": """
        SELECT s.id FROM schedule s CROSS JOIN LATERAL (
          SELECT e.data -> 'counts' AS told FROM event e WHERE e.stream_id = s.id ORDER BY e.version DESC LIMIT 1) e
        WHERE s.version > 0 AND (
          (told ->> 'available')::int + (told ->> 'held')::int + (told ->> 'booked')::int
            + (told ->> 'blocked')::int <> s.seat_total
          OR (told ->> 'booked')::int <>
            (SELECT count(*) FROM allocation a WHERE a.schedule_id = s.id AND a.status = 'BOOKED')
          OR (told ->> 'blocked')::int <>
            (SELECT count(*) FROM allocation a WHERE a.schedule_id = s.id AND a.status = 'BLOCKED'))""",
    "an idempotency key has its outcome": "SELECT key FROM idempotency_key WHERE outcome IS NULL",
}

_TABLES = ("allocation", "reservation", "booking", "event", "schedule")


async def broken_rules(pool: asyncpg.Pool) -> list[str]:
    """The names of the rules that something in the database breaks."""
    return [rule for rule, search in RULES.items() if await pool.fetch(f"{search} LIMIT 1")]


async def trade_tables(pool: asyncpg.Pool) -> dict[str, list[Any]]:
    """All rows of the trade, to be compared before and after what must change nothing."""
    return {
        table: [tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY {table}::text")]
        for table in _TABLES
    }


async def deadlocks(database_url: str) -> int:
    """How many deadlocks the database has broken up; asked when everybody else is gone, for then all have reported."""
    connection = await asyncpg.connect(database_url)
    try:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while await connection.fetchval(others):
            await connection.execute("SELECT pg_sleep(0.01)")
        counted: int = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return counted
    finally:
        await connection.close()
