"""Gathering by itself: who waits for whom, and who is none the worse for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest

from domain import gathering
from domain.errors import Contended, Unavailable
from domain.gathering import Gathering

request: ContextVar[str] = ContextVar("request", default="nobody's")


@dataclass
class Desk:
    """Serves wishes when it is told to; a wish of ``poison`` fails whatever run it is in."""

    runs: list[list[str]] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    begun: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    poison: dict[str, Exception] = field(default_factory=dict)

    async def __call__(self, wishes: Sequence[str]) -> Sequence[str]:
        self.runs.append([*wishes])
        self.contexts.append(request.get())
        self.begun.put_nowait(None)
        await self.open.wait()
        for wish in wishes:
            if wish in self.poison:
                raise self.poison[wish]
        return [wish.upper() for wish in wishes]


@dataclass
class Hall:
    """Callers before a desk, each in a task of their own."""

    desk: Desk = field(default_factory=Desk)
    most: int = 64

    def __post_init__(self) -> None:
        self.gathering: Gathering[str, str] = Gathering(self.desk, self.most)

    async def come(self, *wishes: str) -> list[asyncio.Task[str]]:
        """Let callers come, and get as far as they do by themselves."""

        async def caller(wish: str) -> str:
            request.set(f"{wish}'s")
            return await self.gathering(wish)

        tasks = [asyncio.create_task(caller(wish)) for wish in wishes]
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks


async def test_whoever_comes_alone_is_served_at_once_in_their_own_context() -> None:
    hall = Hall()
    hall.desk.open.set()
    for wish in ("a", "b"):
        (task,) = await hall.come(wish)
        assert await task == wish.upper()
    assert hall.desk.runs == [["a"], ["b"]]
    assert hall.desk.contexts == ["a's", "b's"]


async def test_those_who_come_meanwhile_go_together_and_in_nobodys_context() -> None:
    hall = Hall()
    tasks = await hall.come("a", "b", "c", "d")
    assert hall.desk.runs == [["a"]]
    hall.desk.open.set()
    assert await asyncio.gather(*tasks) == ["A", "B", "C", "D"]
    assert hall.desk.runs == [["a"], ["b", "c", "d"]]
    assert hall.desk.contexts == ["a's", "nobody's"]
    (again,) = await hall.come("e")
    assert await again == "E"
    assert hall.desk.runs[2:] == [["e"]]


async def test_a_crowd_need_not_wait_for_the_run_that_is_under_way_but_there_are_no_more_than_two() -> None:
    hall = Hall()
    crowd = [f"c{number}" for number in range(gathering.CROWD)]
    tasks = await hall.come("a", *crowd[:-1])
    assert hall.desk.runs == [["a"]]
    tasks += await hall.come(crowd[-1])
    assert hall.desk.runs == [["a"], crowd]
    tasks += await hall.come(*(late := [f"d{number}" for number in range(20)]))
    assert hall.desk.runs == [["a"], crowd]
    hall.desk.open.set()
    assert len(await asyncio.gather(*tasks)) == 1 + len(crowd) + len(late)
    assert hall.desk.runs == [["a"], crowd, late]


async def test_a_run_has_its_limit_and_the_rest_the_next() -> None:
    hall = Hall(most=2)
    tasks = await hall.come(*"abcdef")
    hall.desk.open.set()
    assert await asyncio.gather(*tasks) == [*"ABCDEF"]
    assert [len(run) for run in hall.desk.runs] == [1, 2, 2, 1]


async def test_whoever_leaves_before_their_run_is_left_out_and_later_harms_nobody() -> None:
    hall = Hall()
    first, second, third, other = await hall.come("a", "b", "c", "d")
    second.cancel()
    first.cancel()  # their own run ends with them, and the next begins
    (late,) = await hall.come("e")
    assert hall.desk.runs == [["a"], ["c", "d"]]
    third.cancel()
    (later,) = await hall.come("f")
    hall.desk.open.set()
    assert [await other, await late, await later] == ["D", "E", "F"]
    assert hall.desk.runs == [["a"], ["c", "d"], ["e", "f"]]
    assert all(task.cancelled() for task in (first, second, third))


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), Contended("in the way")])
async def test_of_a_run_that_fails_each_fails_for_their_own_reasons_alone(error: Exception) -> None:
    hall = Hall(Desk(poison={"c": error}))
    tasks = await hall.come("a", "b", "c", "d")
    hall.desk.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes == ["A", "B", error, "D"]
    assert hall.desk.runs == [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]]


async def test_where_the_database_is_away_all_who_waited_for_it_are_told_and_nobody_waits_again() -> None:
    hall = Hall(Desk(poison={"b": Unavailable("away")}), most=2)
    first, *others = await hall.come("a", "b", "c", "d", "e")
    hall.desk.open.set()
    assert await first == "A"
    told = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in told] == [Unavailable] * 4
    assert len({id(each) for each in told}) == 4  # none of them holds another's traceback
    assert hall.desk.runs == [["a"], ["b", "c"]]
    (later,) = await hall.come("f")
    assert await later == "F"


async def test_a_run_behind_somebodys_lock_keeps_nobody_waiting_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "LONG", 0.01)
    hall = Hall()
    tasks = await hall.come("stuck", "a", "b")
    async with asyncio.timeout(5):
        await hall.desk.begun.get()
        await hall.desk.begun.get()
    assert hall.desk.runs == [["stuck"], ["a", "b"]]
    hall.desk.open.set()
    assert await asyncio.gather(*tasks) == ["STUCK", "A", "B"]
    tasks = await hall.come("c", "d")
    assert await asyncio.gather(*tasks) == ["C", "D"]
    assert hall.desk.runs[2:] in ([["c"], ["d"]], [["c", "d"]])
