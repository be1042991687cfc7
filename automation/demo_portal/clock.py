"""The portal's time: wall-clock time that never jumps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

Clock = Callable[[], datetime]
"""Now, in UTC."""


def steady_clock() -> Clock:
    """A clock that agrees with the wall when it is made, and then follows the monotonic one."""
    wall, began = datetime.now(UTC), monotonic()
    return lambda: wall + timedelta(seconds=monotonic() - began)
