"""What all processes used of their callers' rates, in Redis: an instant a caller, in Redis' own time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis

from db.redis_backend import OPTIONS, answering

PREFIX: Final = b"holdfast:rate:"
AT_ONCE: Final = 500
"""Callers a script looks after: Redis does nothing else meanwhile, for half a millisecond."""

_ADD: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local full = math.max(tonumber(redis.call('GET', key)) or 0, now) + ARGV[i]
  redis.call('SET', key, string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
  left[i] = string.format('%.6f', full - now)
end
return left
"""


class RedisRates:
    """`domain.rates.SharedRates` over one Redis, through a connection of its own."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, **OPTIONS)

    async def add(self, used: Mapping[bytes, float]) -> Mapping[bytes, float]:
        """Move the instants on and give how far off they are, in seconds. Raises ConnectionError."""
        left: dict[bytes, float] = {}
        for first in range(0, len(used), AT_ONCE):
            names = [*used][first : first + AT_ONCE]
            keys = [PREFIX + name for name in names]
            async with answering():
                answer = await self._redis.eval(_ADD, len(keys), *keys, *(used[name] for name in names))
            left.update((name, float(each)) for name, each in zip(names, answer, strict=True))
        return left

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()
