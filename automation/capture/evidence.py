"""What is kept of a visit that failed: a picture of its page and a Playwright trace, neither of which says anything.

Nobody can know where a page that an adapter does not understand shows a name, a personal number or a login code. So
nothing is picked out: all of the page is veiled (``veil.js``) before anything of it is written, and the trace is made
of what we did ourselves and of the veiled page alone. Nothing is recorded while the visit goes well.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from automation.browsers.browser import in_time
from automation.capture.trace import Step, veiled_trace
from domain.jobs import ArtifactKind

TIME = 3.0
"""Seconds that all of it may take."""

UNDRAWN = """
*, *::before, *::after {
  background-image: none !important; list-style-image: none !important; border-image: none !important;
  mask-image: none !important; cursor: none !important;
}
*::before, *::after { content: none !important; }
"""
SILENCE = """() => document
  .querySelectorAll("script, style, link, meta, base, template, noscript")
  .forEach((element) => element.remove())"""
VEILED = "(mark) => document.documentElement.getAttribute('data-veiled') === mark"

Evidence = Sequence[tuple[ArtifactKind, bytes]]


async def evidence(page: Page, steps: Sequence[Step], folder: Path) -> Evidence:
    """The files, as far as they can be had in time. The page is of no use afterwards.

    ``folder`` takes what Playwright writes of the veiled page, for a moment.
    """
    kept: list[tuple[ArtifactKind, bytes]] = []
    with suppress(PlaywrightError, TimeoutError, OSError, ValueError):
        await in_time(_gather(page, steps, folder, kept), TIME)
    return [*kept]


async def _gather(
    page: Page, steps: Sequence[Step], folder: Path, kept: list[tuple[ArtifactKind, bytes]]
) -> None:
    mark = await _veil(page)
    picture = await page.screenshot(type="jpeg", quality=70, style=UNDRAWN, animations="disabled")
    if await page.evaluate(VEILED, mark):  # else another page was shown meanwhile
        kept.append((ArtifactKind.SCREENSHOT, picture))
    await page.evaluate(SILENCE)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        recorded = await _recorded(page, Path(scratch, "veiled.zip"))
        kept.append((ArtifactKind.TRACE, await asyncio.to_thread(veiled_trace, recorded, steps, mark)))


async def _veil(page: Page) -> str:
    """Stop the page's scripts, and take away what it says; the mark that tells a veiled page from the next one."""
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Emulation.setScriptExecutionDisabled", {"value": True})
    mark = uuid4().hex
    await page.evaluate(files("automation.capture").joinpath("veil.js").read_text("utf-8"), mark)
    return mark


async def _recorded(page: Page, path: Path) -> Path:
    """A trace of a page that is veiled already."""
    tracing = page.context.tracing
    await tracing.start(snapshots=True, screenshots=False, sources=False)
    await page.evaluate("0")
    await tracing.stop(path=path)
    return path
