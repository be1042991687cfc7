"""A page of the log costs a page, however long the log is."""

from __future__ import annotations

import asyncpg
import pytest

from db.caller import ALL_SEEING
from db.log import page_of
from domain.events import Position
from domain.feed import Audience
from domain.ids import new_id

ORGANIZATION, ACCOUNT, RESOURCE = new_id(), new_id(), new_id()
EVENTS = 20_000

FILL = """
INSERT INTO event (stream, stream_id, version, type, at, actor, organization_id, account_id, resource_id, data)
SELECT 'booking', gen_random_uuid(), 1, 'booking.confirmed', now(), 'system',
  CASE WHEN n % 4 = 0 THEN $1::uuid ELSE gen_random_uuid() END,
  CASE WHEN n % 400 = 0 THEN $2::uuid END, CASE WHEN n % 100 = 0 THEN $3::uuid END, '{}'
FROM generate_series(1, $4) n
"""


@pytest.mark.parametrize(
    ("audience", "index"),
    [
        (Audience([ORGANIZATION]), "event_organization"),
        (Audience(account_id=ACCOUNT), "event_account"),
        (Audience(resources=[RESOURCE]), "event_resource"),
        (Audience([ORGANIZATION], ACCOUNT, subject_id=new_id()), "event_pkey"),
    ],
    ids=["organization", "account", "resource", "subject"],
)
async def test_a_page_of_the_log_is_read_along_the_index_of_who_asks(
    database_url: str, audience: Audience, index: str
) -> None:
    connection = await asyncpg.connect(
        database_url, server_settings={"plan_cache_mode": "force_generic_plan"} | ALL_SEEING
    )
    try:
        await connection.execute(FILL, ORGANIZATION, ACCOUNT, RESOURCE, EVENTS)
        await connection.execute("ANALYZE event")
        statement, values = page_of(audience, Position(0, 0), None, 21)
        lines = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", *values)
    finally:
        await connection.close()
    plan = "\n".join(line[0] for line in lines)
    assert index in plan
    assert "Seq Scan on event" not in plan
