"""A call of Redis that is cancelled ends so, at whatever point: else what runs until it is cancelled never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

from db.rates import RedisRates
from db.redis_backend import RedisBackend
from db.redis_live import RedisLive

Call = Callable[[], Coroutine[Any, Any, Any]]
STEPS = 12
"""Rounds of the loop: more than it takes to send."""


async def lost(call: Call) -> list[int]:
    """After how many rounds of the loop a cancellation did not end the call."""
    found = []
    await call()
    for steps in range(STEPS):
        task = asyncio.create_task(call())
        for _ in range(steps):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        await asyncio.wait([task])
        if not task.cancelled():
            found.append(steps)
    return found


async def test_a_cancelled_exchange_of_rates_ends(redis_url: str) -> None:
    shared = RedisRates(redis_url)
    assert await lost(lambda: shared.add({b"ada": 1.0})) == []
    await shared.close()


async def test_a_cancelled_publication_ends(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    assert await lost(lambda: backend.publish("channel", "word")) == []
    await backend.disconnect()


async def test_a_cancelled_question_for_a_code_ends(redis_url: str) -> None:
    async with RedisLive(redis_url, b"s" * 32) as live:
        assert await lost(lambda: live.code(uuid4())) == []
