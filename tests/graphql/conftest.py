"""What tests of GraphQL can ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.graphql.automating import PORTAL_URL, Automating
from tests.world import new_world


@pytest.fixture
async def automating(data_dir: Path, database_url: str) -> AsyncIterator[Automating]:
    """Give a world with somebody who has jobs at the demo portal, and a worker that takes them."""
    async with new_world(data_dir, database_url, demo_portal_url=PORTAL_URL) as world:
        yield await Automating.of(world)
