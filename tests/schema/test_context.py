"""What an operation remembers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.access import Role
from domain.ids import new_id
from domain.viewer import Viewer
from schema.context import Context, Services


class CountedReads:
    """Reads that count how often they are asked, and answer a turn later, as a database does."""

    def __init__(self) -> None:
        self.asked = Counter[str]()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    async def now(self) -> datetime:
        self.asked["now"] += 1
        await asyncio.sleep(0)
        return datetime(2027, 3, 28, tzinfo=UTC)

    async def roles(self, viewer: Viewer) -> Mapping[UUID, Role]:
        self.asked["roles"] += 1
        await asyncio.sleep(0)
        return {viewer.user_id or new_id(): Role.STAFF}


def context(reads: CountedReads) -> Context:
    parts: dict[str, Any] = dict.fromkeys(each.name for each in fields(Services))
    services = Services(**{**parts, "reads": reads, "owned": reads})
    return Context(
        Viewer("192.0.2.1", "test", new_id(), new_id(), datetime.max.replace(tzinfo=UTC)), services
    )


async def test_fields_that_ask_at_once_cost_one_statement() -> None:
    reads = CountedReads()
    operation = context(reads)
    await asyncio.gather(*(operation.now() for _ in range(100)), *(operation.roles() for _ in range(100)))
    assert reads.asked == {"now": 1, "roles": 1}


async def test_what_was_remembered_is_read_anew_after_forgetting() -> None:
    reads = CountedReads()
    operation = context(reads)
    await operation.now()
    operation.forget()
    await operation.now()
    assert reads.asked == {"now": 2}
