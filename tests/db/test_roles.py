"""Who may log in to serve."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from db.roles import MayNotServe, excess
from holdfast import commands
from holdfast.terminal import CommandFailed
from tests.servers import serving
from tests.world import World, settings_for


@pytest.fixture
async def modest(database_url: str) -> AsyncIterator[str]:
    """Give the DSN of a role that is nobody."""
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE ROLE modest LOGIN PASSWORD 'modest'")
    password = database_url.split("//holdfast:")[1].split("@")[0]
    yield database_url.replace(f"//holdfast:{password}@", "//modest:modest@")
    await owner.execute("DROP ROLE modest")
    await owner.close()


async def test_a_login_that_may_more_than_serve_is_named_with_its_power(database_url: str) -> None:
    assert await excess(serving(database_url)) is None
    assert await excess(database_url) == "holdfast, which owns the tables"


async def test_a_login_of_any_name_serves_once_it_is_let_in(modest: str, database_url: str) -> None:
    with pytest.raises(MayNotServe, match="GRANT holdfast_server TO modest"):
        await excess(modest)
    owner = await asyncpg.connect(database_url)
    await owner.execute("GRANT holdfast_server TO modest")
    await owner.close()
    assert await excess(modest) is None


async def test_a_login_that_may_become_another_is_named_with_the_others_power(
    modest: str, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "GRANT holdfast_server TO modest; CREATE ROLE maker CREATEROLE; GRANT maker TO modest"
    )
    try:
        assert await excess(modest) == "modest, which has or may take CREATEROLE"
    finally:
        await owner.execute("DROP ROLE maker")
        await owner.close()


async def test_production_is_served_by_a_login_that_owns_nothing_alone(
    world: World, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = settings_for(world.app.settings.data_dir, database_url)
    live = settings_for(world.app.settings.data_dir, database_url, environment="production")
    await commands._must_own_nothing(here, database_url)
    assert "holdfast, which owns the tables" in capsys.readouterr().err
    with pytest.raises(CommandFailed, match="HOLDFAST_MIGRATION_URL"):
        await commands._must_own_nothing(live, database_url)
    await commands._must_own_nothing(live, serving(database_url))
    assert capsys.readouterr().err == ""
