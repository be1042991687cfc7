"""The first start's demo data."""

from __future__ import annotations

import pytest

from holdfast.demo import fill, is_empty
from tests.world import World


class Interrupted(Exception):
    """Ctrl-C, as the work under way feels it."""


async def test_a_first_start_that_is_cut_short_leaves_a_database_that_the_next_one_fills(
    world: World,
) -> None:
    def interrupt(line: str) -> None:
        if "Deccan" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        await fill(world.app, interrupt)
    assert await is_empty(world.app)

    said: list[str] = []
    await fill(world.app, said.append)
    assert sum("@demo.example" in line for line in said) == 4
    assert await world.tables.fetchval("SELECT count(*) FROM schedule") > 300


async def test_nobody_has_an_account_whose_password_was_not_shown(world: World) -> None:
    def interrupt(line: str) -> None:
        if "@demo.example" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        await fill(world.app, interrupt)
    assert await world.tables.fetchval("SELECT count(*) FROM account") == 0
