"""What is done with a column, and how that is put together: at once where nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql.execution import Executor as Execution

Column: TypeAlias = list[Any]
Put: TypeAlias = Callable[[Column], Column]
"""From what was made of a part of a column, what is made of the whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """From a column another of the same length. It raises whatever goes wrong, and Unusual.

    ``run`` gives the column, or an awaitable of it if it ``waits``. Steps of one ``shape`` make the same of the same
    values at any time, for anybody; one whose result hangs on more than the values has none.
    """

    run: Callable[[Column, Execution[Any]], Any]
    waits: bool = False
    shape: Hashable = None

    async def done(self, values: Column, execution: Execution[Any]) -> Column:
        """The column, however it comes."""
        found = self.run(values, execution)
        return await found if self.waits else found  # type: ignore[no-any-return]


def in_turn(first: Step, second: Step) -> Step:
    """The second with what the first gives."""
    if first.waits or second.waits:

        async def later(values: Column, execution: Execution[Any]) -> Column:
            return await second.done(await first.done(values, execution), execution)

        return Step(later, waits=True)
    one, other = first.run, second.run
    shape = None if None in (first.shape, second.shape) else (first.shape, second.shape)
    return Step(lambda values, execution: other(one(values, execution), execution), shape=shape)


def around(step: Step, split: Callable[[Column], tuple[Column, Put]]) -> Step:
    """The step with what ``split`` leaves to it of a column."""
    run = step.run
    if step.waits:

        async def later(values: Column, execution: Execution[Any]) -> Column:
            part, put = split(values)
            return put(await run(part, execution))

        return Step(later, waits=True)

    def now(values: Column, execution: Execution[Any]) -> Column:
        part, put = split(values)
        return put(run(part, execution))

    return Step(now, shape=step.shape)


def as_it_is(done: Column) -> Column:
    """A whole that is its part."""
    return done
