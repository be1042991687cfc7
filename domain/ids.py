"""New ids: UUID version 7, so that rows written together lie together in an index."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

_RANDOM_BITS = 74
_STEP_BITS = 32
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62


class _Sequence:
    """The ids of one process: each greater than the one before, even if the clock stands still or goes back.

    RFC 9562, section 6.2, method 2 (monotonic random): 48 bits of Unix milliseconds, then 74 random bits that
    grow by a random step while the millisecond stays the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticks = 0  # milliseconds and random bits as one number, so that a full counter carries over

    def next(self) -> UUID:
        now = time.time_ns() // 1_000_000
        with self._lock:
            if now > self._ticks >> _RANDOM_BITS:
                self._ticks = now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
            else:
                self._ticks += 1 + secrets.randbits(_STEP_BITS)
            ticks = self._ticks
        upper, lower = ticks >> 62, ticks & (1 << 62) - 1
        milliseconds, middle = upper >> 12, upper & 0xFFF
        return UUID(int=milliseconds << 80 | middle << 64 | lower | _VERSION_AND_VARIANT)


_ids = _Sequence()


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562) greater than all this process made before. Safe in threads; no secret."""
    return _ids.next()
