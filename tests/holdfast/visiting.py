"""A world's web application, visited from an address without a server in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from holdfast.web import Web
from tests.world import World


@asynccontextmanager
async def visiting(web: Web, address: str = "127.0.0.1") -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody's client at that address."""
    transport = httpx2.ASGITransport(web.asgi, client=(address, 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://holdfast.test") as client:
        yield client


async def run(client: httpx2.AsyncClient, document: str, token: str | None = None, **variables: Any) -> Any:
    """The whole result of one document."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = await client.post("/graphql", json={"query": document, "variables": variables}, headers=headers)
    return answer.json()


@asynccontextmanager
async def database_away(world: World) -> AsyncIterator[None]:
    """Turn every connection of the world's away; those who see everything are left alone."""
    name = await world.tables.fetchval("SELECT current_database()")
    await world.tables.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    await world.tables.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND pid <> pg_backend_pid()",
        name,
    )
    try:
        yield
    finally:
        await world.tables.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
