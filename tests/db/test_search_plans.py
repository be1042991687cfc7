"""Each search for schedules goes through an index, planned without its values; docs/search.md has the million."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from bench.search_plans import MOST_READ, Connection, Plan, Sample, deep_key, fill, plan_of, searches
from db.engine import SESSION
from domain.catalogue import ScheduleSearch

SCHEDULES = 20_000


@pytest.fixture
async def filled(database_url: str) -> AsyncIterator[tuple[Connection, Sample]]:
    """Give a connection as the server's are, to a database with ten days of schedules."""
    connection = await asyncpg.connect(database_url, server_settings=SESSION)
    try:
        yield connection, await fill(connection, SCHEDULES, lambda _: None)
    finally:
        await connection.close()


@pytest.mark.feature("S2.49", "S4.5")
async def test_every_search_is_answered_from_an_index(filled: tuple[Connection, Sample]) -> None:
    connection, sample = filled
    plans: dict[str, Plan] = {}
    for name, search in searches(sample).items():
        plans[name] = await plan_of(connection, search)
        if (key := await deep_key(connection, search)) is not None:
            plans[f"{name}, further on"] = await plan_of(connection, search, key)
    assert {name: plan.faults for name, plan in plans.items() if plan.faults} == {}
    assert len(plans) > 40
    assert all(plan.indexes for plan in plans.values())


async def test_a_small_organization_is_not_looked_for_among_all(filled: tuple[Connection, Sample]) -> None:
    """The planner does not know how few schedules it has; only its own index may give the order."""
    connection, sample = filled
    search = ScheduleSearch(organization_id=sample.small_organization)
    plan = await plan_of(connection, search)
    assert plan.indexes == ["schedule_organization"]
    assert plan.read < 2 * plan.given + 10
    await connection.execute("DROP INDEX schedule_start")
    await connection.execute("CREATE INDEX schedule_start ON schedule (starts_at, id)")
    assert (await plan_of(connection, search)).read > 5 * plan.read, (
        "the control: with one order for all it is"
    )


async def test_a_plan_without_its_index_is_found_out(filled: tuple[Connection, Sample]) -> None:
    connection, sample = filled
    await connection.execute(
        "DROP INDEX schedule_route, schedule_origin, schedule_destination, schedule_start"
    )
    plan = await plan_of(connection, ScheduleSearch(origin=sample.origin))
    assert plan.read > MOST_READ
    assert f"reads {plan.read:,} rows" in plan.faults
