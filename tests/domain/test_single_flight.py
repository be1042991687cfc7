"""One reading for all who ask at once; and none that is older than the question."""

from __future__ import annotations

import asyncio

import pytest

from domain.single_flight import SingleFlight


class Shelf:
    """Something that can be read slowly."""

    def __init__(self) -> None:
        self.value = 0
        self.readings = 0
        self.gate = asyncio.Event()

    async def read(self) -> int:
        self.readings += 1
        value = self.value
        await self.gate.wait()
        return value


async def test_who_asks_while_a_reading_is_under_way_shares_the_next() -> None:
    shelf, flight = Shelf(), SingleFlight[int]()
    early = [asyncio.create_task(flight.read("thing", shelf.read)) for _ in range(5)]
    while not shelf.readings:  # noqa: ASYNC110
        await asyncio.sleep(0)
    shelf.value = 1
    late = [asyncio.create_task(flight.read("thing", shelf.read)) for _ in range(5)]
    other = asyncio.create_task(flight.read("other", shelf.read))
    await asyncio.sleep(0)
    shelf.gate.set()
    assert await asyncio.gather(*early) == [0] * 5
    assert await asyncio.gather(*late) == [1] * 5
    assert await other == 1
    assert shelf.readings == 3
    assert not flight._waiting
    assert not flight._flying


async def test_who_leaves_takes_nobodys_answer_along() -> None:
    shelf, flight = Shelf(), SingleFlight[int]()
    first, second = [asyncio.create_task(flight.read("thing", shelf.read)) for _ in range(2)]
    while not shelf.readings:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first.cancel()
    shelf.gate.set()
    assert await second == 0
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_what_a_reading_raises_everybody_hears_who_waited_for_it_and_nobody_after() -> None:
    flight = SingleFlight[int]()

    async def broken() -> int:
        raise LookupError

    async def whole() -> int:
        return 7

    answers = await asyncio.gather(*(flight.read("thing", broken) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError] * 3
    assert await flight.read("thing", whole) == 7
