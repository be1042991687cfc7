"""Telling webhooks of the log: exactly what is after an endpoint's beginning, whatever commits in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from db import webhooks
from db.transaction import begun, rolled_back
from domain.endpoints import EndpointWish, SavedEndpoint
from domain.webhooks import Told
from tests.world import Departure, World

EVENT = """
INSERT INTO event (stream, stream_id, version, type, at, actor, organization_id, data)
VALUES ('resource', gen_random_uuid(), 1, 'resource.saved', now(), 'system', $1, '{}')
"""


async def tell(world: World, limit: int = 1_000) -> Told:
    async with world.app.database.begin(None) as tx:
        return await tx.webhooks.tell(limit, behind=True)


async def told(world: World, endpoint_id: UUID) -> Sequence[UUID]:
    rows = await world.tables.fetch(
        "SELECT stream_id FROM webhook_delivery WHERE endpoint_id = $1 ORDER BY id", endpoint_id
    )
    return [row["stream_id"] for row in rows]


async def subscribe(world: World, departure: Departure) -> SavedEndpoint:
    wish = EndpointWish(departure.organization.id, "https://hooks.example/", ["resource.*"])
    return await world.app.services.endpoints.create(departure.staff, wish)


async def resource(world: World, departure: Departure) -> UUID:
    return (await world.resource(departure.organization, departure.staff)).id


async def test_an_endpoint_is_told_what_came_after_it_once_and_in_order(world: World) -> None:
    departure = await world.departure()
    await resource(world, departure)
    endpoint = await subscribe(world, departure)
    made = [await resource(world, departure) for _ in range(5)]
    while (await tell(world, limit=2)).events == 2:
        pass
    await tell(world)
    assert await told(world, endpoint.id) == made


async def test_what_commits_late_is_told_late_and_not_lost(world: World) -> None:
    departure = await world.departure()
    endpoint = await subscribe(world, departure)
    late = await begun(world.app.pool, [None])
    try:
        await late.execute(EVENT, departure.organization.id)
        after = await resource(world, departure)
        await tell(world)
        assert await told(world, endpoint.id) == []
        await late.execute("COMMIT")
    finally:
        await rolled_back(late)
        await world.app.pool.release(late)
    await tell(world)
    (first, second) = await told(world, endpoint.id)
    assert second == after
    assert first != after


async def test_who_has_too_much_unsent_is_told_the_rest_later_and_others_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FALL_BEHIND", "_BEHIND"):
        text = getattr(webhooks, name).replace(str(webhooks.BACKLOG), "5")
        monkeypatch.setattr(webhooks, name, text)
    departure = await world.departure()
    slow = await subscribe(world, departure)
    made = [await resource(world, departure) for _ in range(6)]
    await tell(world)
    quick = await subscribe(world, departure)
    more = [await resource(world, departure) for _ in range(4)]
    await tell(world)
    assert await told(world, slow.id) == made
    assert await told(world, quick.id) == more
    await world.tables.execute("UPDATE webhook_delivery SET status = 'SUCCEEDED', due_at = NULL")
    await tell(world)
    assert await told(world, slow.id) == [*made, *more]
    last = await resource(world, departure)
    await tell(world)
    assert await told(world, slow.id) == [*made, *more, last]


async def test_two_who_tell_at_once_tell_once(world: World) -> None:
    departure = await world.departure()
    endpoint = await subscribe(world, departure)
    made = [await resource(world, departure) for _ in range(10)]
    await asyncio.gather(*(tell(world) for _ in range(5)))
    await tell(world)
    assert sorted(await told(world, endpoint.id)) == sorted(made)
