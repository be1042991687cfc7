"""Trying a browser out."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from automation.browsers.engine import Engine
from automation.browsers.reaping import open_folder


async def trial(program: Path, parent: Path) -> float:
    """Start and end a browser as a worker would; the seconds that starting took. Raises BrowserCrashed."""
    async with open_folder(parent) as folder:
        engine = Engine(program, folder)
        try:
            began = perf_counter()
            chromium = await engine.launch()
            took = perf_counter() - began
            await chromium.close()
        finally:
            await engine.stop()
        return took
