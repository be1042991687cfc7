"""From a code that changed on a page to the worker that has read it; what watching and picturing a page cost.

Beside it, at each change: a bare CDP binding that the page itself calls, and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from playwright.async_api import Browser, Page, async_playwright

from automation.browsers.program import find_browser
from automation.capture.masking import masked_picture
from automation.capture.qr import CodeWatch
from automation.capture.screen import live_view
from bench.cpu import used_by_family
from bench.figures import Figure, Goal, Row, percentile
from bench.run import Run, say
from db.live import MemoryLive
from domain.portals import Visit
from tests.automation.code_page import Site, code_site

CHANGES = 150
"""Of each way: 600 in all."""

STEPS = {"img": (40, 25.0), "canvas-replaced": (40, 25.0), "svg": (40, 25.0), "canvas": (60, 60.0)}
"""Milliseconds between two changes, for a canvas more than lies between two looks at it; and the goal for p99."""

STREAM, VIEW = 1.0, 5.0
"""Percent of a core that a stream of codes, and a live view of one picture a second, may cost."""

ROUNDS = 3
ROUND = 2.0
"""Seconds that a page changing each second is left alone, then watched, then pictured; alternating."""


def measure(run: Run) -> Row:
    """All of it."""
    return asyncio.run(_measure(tiny=run.scale.repetitions <= 1))


async def _measure(*, tiny: bool) -> Row:
    row = Row("codes")
    async with code_site() as site, _browser() as browser:
        for variant, (every, goal) in STEPS.items():
            say(f"  codes: {variant}")
            told = await _latencies(browser, site, variant, every, 10 if tiny else CHANGES)
            row.behind[variant] = told
            what = f"code changed ({variant}) -> read by the worker, p99"
            row.figures.append(Figure(what, told["p99 ms"], Goal("at most", goal), "ms"))
        missed = sum(row.behind[variant]["missed"] for variant in STEPS)
        row.figures.append(Figure("codes missed, all ways of showing them", missed, Goal("at most", 0), ""))
        say("  codes: CPU")
        costs = await _costs(browser, site, "canvas", 1 if tiny else ROUNDS, 1.0 if tiny else ROUND)
        row.behind["CPU of a page that draws its code in place, % of a core"] = costs
        row.figures += [
            Figure(
                "CPU of a stream of codes, over the page's own, % of a core",
                _over(costs, "stream"),
                Goal("at most", STREAM),
                "%",
            ),
            Figure(
                "CPU of a live view, one a second, over it", _over(costs, "view"), Goal("at most", VIEW), "%"
            ),
        ]
    return row


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_browser(), chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def _page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def _latencies(browser: Browser, site: Site, variant: str, every: int, count: int) -> dict[str, Any]:
    """Of so many changes: milliseconds until each was read, and until a bare binding told of it."""
    bare: list[float] = []
    read: dict[str, float] = {}
    async with _page(browser) as page:
        session = await page.context.new_cdp_session(page)
        session.on(
            "Runtime.bindingCalled",
            lambda event: (
                bare.append(time.time() * 1000 - float(event["payload"])) if event["name"] == "bare" else None
            ),
        )
        await session.send("Runtime.enable")
        await session.send("Runtime.addBinding", {"name": "bare"})
        async with CodeWatch(page) as watch:
            await page.goto(site.url(variant, every=every, count=count))
            while len(read) < count:
                try:
                    code = await asyncio.wait_for(anext(watch), 5.0)
                except TimeoutError:
                    break
                read[code.text] = time.time() * 1000
        shown = await page.evaluate("changes")
    taken = [read[text] - at for text, at in shown if text in read]
    return {"changes": len(shown), "missed": len(shown) - len(taken), **_spread(taken)} | {
        "bare": _spread(bare)
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {f"p{part} ms": round(percentile(values, part / 100), 1) for part in (50, 95, 99)}


@dataclass(frozen=True, slots=True)
class _Sitter:
    """A visit that does nothing but sit for pictures."""

    page: Page

    async def picture(self, *, with_code: bool) -> bytes:
        return await masked_picture(self.page, hidden=() if with_code else ("#code",))


async def _costs(
    browser: Browser, site: Site, variant: str, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """The CPU of everything, percent of a core: the page alone, watched, and pictured."""
    costs: dict[str, list[float]] = {"alone": [], "stream": [], "view": []}
    async with _page(browser) as page:
        await page.goto(site.url(variant, every=1000, count=600))
        for number in range(rounds + 1):
            for kind, spent in costs.items():
                async with AsyncExitStack() as stack:
                    await _begin(stack, page, kind)
                    cpu, began = used_by_family(os.getpid()), time.perf_counter()
                    await asyncio.sleep(seconds)
                    used = (used_by_family(os.getpid()) - cpu) / (time.perf_counter() - began)
                if number:
                    spent.append(round(100 * used, 2))
    return costs


async def _begin(stack: AsyncExitStack, page: Page, kind: str) -> None:
    """Read the page's codes, or show its pictures to its owner."""
    live, job_id = MemoryLive(), uuid4()
    if kind == "stream":
        watch = await stack.enter_async_context(CodeWatch(page))
        await _drained(stack, watch)
    elif kind == "view":
        await stack.enter_async_context(live_view(live, job_id, cast("Visit", _Sitter(page))))
        await _drained(stack, await stack.enter_async_context(live.pictures(job_id, own=True)))


async def _drained(stack: AsyncExitStack, those: AsyncIterator[object]) -> None:
    async def drain() -> None:
        async for _ in those:
            pass

    task = asyncio.create_task(drain())
    stack.callback(task.cancel)


def _over(costs: dict[str, list[float]], kind: str) -> float:
    """The median of what it took more than the page alone beside it."""
    return statistics.median(each - alone for each, alone in zip(costs[kind], costs["alone"], strict=True))
