"""Work that is dearer alone than together: done at once while nobody waits, and gathered while others are at it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Generic, TypeVar

from domain.errors import Contended, Unavailable

Wish = TypeVar("Wish")
Outcome = TypeVar("Outcome")

MOST = 64
RUNS, CROWD = 2, 8
"""Runs under way at once, the second one only for so many who wait. A single one waits for the loop between its steps,
and while the loop answers those of the last run nobody would ask the database for anything."""
LONG = 0.1
"""Seconds after which a run that is still under way, behind somebody's lock, keeps the next from nothing any more."""


class Gathering(Generic[Wish, Outcome]):
    """Answers wishes by ``together``, which gives an outcome for each, in their order.

    A wish that comes while none is under way is carried out at once, alone, in its caller's own task. Those that come
    meanwhile wait, and up to ``most`` of them go together into the next run, which begins when the last one is over, or
    beside it as soon as a crowd waits. Nobody is worse off for it:

    - whoever leaves before their run begins is left out; of one who leaves later the wish is carried out;
    - a run that fails is repeated wish by wish, so that each fails for its own reasons alone. But where the database
      is away, all have waited for it: those in the run, and those who stood behind it as it began.
    """

    def __init__(
        self, together: Callable[[Sequence[Wish]], Awaitable[Sequence[Outcome]]], most: int = MOST
    ) -> None:
        self._together = together
        self._most = most
        self._under_way = 0
        self._waiting: deque[tuple[Wish, asyncio.Future[Outcome]]] = deque()
        self._runs: set[asyncio.Task[None]] = set()

    async def __call__(self, wish: Wish) -> Outcome:
        """The wish's own outcome. Raises what it fails with."""
        if not self._under_way:
            self._under_way += 1
            with self._turn():
                return await self._alone(wish)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((wish, future))
        self._begin()
        return await future

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep the next run waiting until this one is over, or takes long."""
        kept = True

        def give_way() -> None:
            nonlocal kept
            if kept:
                kept = False
                self._under_way -= 1
                self._begin()

        long = asyncio.get_running_loop().call_later(LONG, give_way)
        try:
            yield
        finally:
            long.cancel()
            give_way()

    def _begin(self) -> None:
        """Begin the next run, if it is time. It is no caller's own, so it has no caller's context."""
        if self._under_way >= (RUNS if len(self._waiting) >= CROWD else 1):
            return
        if gathered := self._gathered():
            self._under_way += 1
            task = asyncio.get_running_loop().create_task(self._run(gathered), context=Context())
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)

    def _gathered(self) -> list[tuple[Wish, asyncio.Future[Outcome]]]:
        gathered: list[tuple[Wish, asyncio.Future[Outcome]]] = []
        while self._waiting and len(gathered) < self._most:
            wish, future = self._waiting.popleft()
            if not future.done():  # its caller is still there
                gathered.append((wish, future))
        return gathered

    async def _run(self, gathered: Sequence[tuple[Wish, asyncio.Future[Outcome]]]) -> None:
        behind = [future for _, future in self._waiting]
        with self._turn():
            try:
                outcomes = await self._together([wish for wish, _ in gathered])
                for (_, future), outcome in zip(gathered, outcomes, strict=True):
                    _tell(future, outcome)
            except Contended:
                await self._one_by_one(gathered)
            except Unavailable as away:
                for future in (*(future for _, future in gathered), *behind):
                    _fail(future, Unavailable(away.message))
            except Exception:
                await self._one_by_one(gathered)
            except asyncio.CancelledError:  # the loop is being closed
                for _, future in (*gathered, *self._waiting):
                    future.cancel()
                raise

    async def _one_by_one(self, gathered: Sequence[tuple[Wish, asyncio.Future[Outcome]]]) -> None:
        async def one(wish: Wish, future: asyncio.Future[Outcome]) -> None:
            try:
                _tell(future, await self._alone(wish))
            except Exception as error:
                _fail(future, error)

        await asyncio.gather(*(one(wish, future) for wish, future in gathered if not future.done()))

    async def _alone(self, wish: Wish) -> Outcome:
        (outcome,) = await self._together([wish])
        return outcome


def _tell(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Outcome], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
