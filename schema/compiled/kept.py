"""What lasting objects look like in a response, kept from one operation to the next: nobody may change a response."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from graphql.execution import Executor as Execution

from schema.compiled.steps import Column, Step

MOST_SHAPES = 32
MOST_ROWS = 4_096
"""Of one shape; a layout has up to 2,000 seats."""


class Rows:
    """By the identity of an object what was made of it; the object is kept with it, so that it stays the only one."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        self._objects: list[Any] = []

    def keep(self, objects: dict[int, Any], made: dict[int, Any]) -> None:
        """Add some; if there are too many, forget what there was."""
        if len(self.made) + len(made) > MOST_ROWS:
            self.made, self._objects = {}, []
        self.made.update(made)
        self._objects.extend(objects.values())


@lru_cache(maxsize=MOST_SHAPES)
def _rows_of(_shape: Hashable) -> Rows:
    return Rows()


def kept(step: Step) -> Step:
    """The step, run once for each object as long as it is remembered. Raises TypeError for a step without a shape."""
    run, shape = step.run, step.shape
    if shape is None:
        raise TypeError("Only what is always made alike can be kept.")

    def finish(objects: Column, execution: Execution[Any]) -> Column:
        rows = _rows_of(shape)
        found = list(map(rows.made.get, map(id, objects)))
        if None not in found:
            return found
        new = {id(one): one for one, row in zip(objects, found, strict=True) if row is None}
        made = dict(zip(new, run(list(new.values()), execution), strict=True))
        rows.keep(new, made)
        return [made[id(one)] if row is None else row for one, row in zip(objects, found, strict=True)]

    return Step(finish, shape=shape)
