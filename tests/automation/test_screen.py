"""The live view of a visit: as often as somebody asks for it, and of what they may see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import cast
from uuid import uuid4

import pytest

from automation.capture.screen import live_view
from db.live import MemoryLive
from domain.portals import PortalDown, Visit

JOB = uuid4()


OWN, MASKED = b"a page with its code", b"a page without"


@dataclass
class Posing:
    """A visit that only sits for pictures, and notes when and for whom; some it refuses."""

    refusals: list[Exception] = field(default_factory=list)
    taken: list[tuple[float, bool]] = field(default_factory=list)

    async def picture(self, *, with_code: bool) -> bytes:
        self.taken.append((monotonic(), with_code))
        if self.refusals:
            raise self.refusals.pop()
        return OWN if with_code else MASKED


@pytest.mark.feature("S0.14", "S1.37")
async def test_a_page_is_pictured_only_while_somebody_watches_and_only_as_they_may_see_it() -> None:
    live, visit = MemoryLive(), Posing()
    async with asyncio.timeout(10), live_view(live, JOB, cast("Visit", visit)):
        await asyncio.sleep(0)
        assert not visit.taken
        async with live.pictures(JOB, own=False, per_second=5) as masked:
            assert [(await anext(masked)).image for _ in range(2)] == [MASKED, MASKED]
            assert not any(with_code for _, with_code in visit.taken)
            async with live.pictures(JOB, own=True) as own:
                assert ((await anext(own)).image, (await anext(masked)).image) == (OWN, MASKED)
        async with live.watched(JOB) as audiences:
            assert not await anext(audiences)
        taken = len(visit.taken)
        async with live.pictures(uuid4(), own=True):
            await asyncio.sleep(0.3)  # longer than the shortest pause between two
        assert len(visit.taken) == taken


async def test_no_page_is_pictured_more_than_five_times_a_second_whoever_comes_and_goes() -> None:
    live, visit = MemoryLive(), Posing()
    async with (
        asyncio.timeout(10),
        live_view(live, JOB, cast("Visit", visit)),
        live.pictures(JOB, own=True, per_second=1000) as own,
    ):
        while len(visit.taken) < 6:
            async with live.pictures(JOB, own=False, per_second=1000):
                await anext(own)
    moments = [at for at, with_code in visit.taken if with_code]
    assert min(later - earlier for earlier, later in pairwise(moments)) > 0.19


async def test_a_page_that_gives_no_picture_is_asked_again() -> None:
    live, visit = MemoryLive(), Posing(refusals=[PortalDown("gone"), TimeoutError()])
    async with (
        asyncio.timeout(10),
        live_view(live, JOB, cast("Visit", visit)),
        live.pictures(JOB, own=True, per_second=5) as own,
    ):
        assert (await anext(own)).image == OWN
    assert len(visit.taken) == 3


async def test_frames_of_pictures_grow() -> None:
    live, visit = MemoryLive(), Posing()
    async with (
        asyncio.timeout(10),
        live_view(live, JOB, cast("Visit", visit)),
        live.pictures(JOB, own=True, per_second=5) as own,
    ):
        assert [(await anext(own)).frame for _ in range(3)] == [1, 2, 3]


async def test_a_live_view_that_breaks_does_not_break_its_job() -> None:
    live, visit = MemoryLive(), Posing(refusals=[RuntimeError("a defect")])
    async with asyncio.timeout(10), live_view(live, JOB, cast("Visit", visit)), live.pictures(JOB, own=True):
        while not visit.taken:  # noqa: ASYNC110 - a visit sets no event
            await asyncio.sleep(0)
