"""What was last made of a thing, made anew only when the thing is another than it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Source = TypeVar("Source")
Made = TypeVar("Made")

MOST_MADE = 4_096


class Latest(Generic[Source, Made]):
    """By a key, what ``make`` made of its last source; a source that equals it gives the same object again.

    The source decides, not a version in it: whoever changed it, and however, what is told is never older than it.
    """

    def __init__(self, make: Callable[[Source], Made], most: int = MOST_MADE) -> None:
        self._make, self._most = make, most
        self._made: dict[Hashable, tuple[Source, Made]] = {}

    def of(self, key: Hashable, source: Source) -> Made:
        """What is made of a source. Raises what ``make`` raises."""
        known = self._made.get(key)
        if known is not None and (known[0] is source or known[0] == source):
            return known[1]
        if len(self._made) >= self._most:
            self._made.clear()
        made = self._make(source)
        self._made[key] = source, made
        return made
