"""The browsers of one worker: started before they are needed, looked after, and ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from automation.browsers.browser import Chromium, in_time
from automation.browsers.engine import Engine
from automation.browsers.processes import memory
from domain.portals import BrowserCrashed

LOOKING = 3.0
"""Seconds between two looks at what runs."""
SILENCE = 5.0
"""Seconds after which who does not answer is given up."""

GLANCE = 1.0
CALM = 2.0
"""Seconds between the beginning of a visit and that of the browser for the next."""

HERE = "Europe/Stockholm"
"""The clock of pages that are opened before it is known for whom."""

log = structlog.get_logger("holdfast.browsers")


class Supply(Protocol):
    """Where a visit's browser comes from."""

    async def take(self) -> Chromium:
        """A browser that runs. Raises BrowserCrashed."""

    async def give_back(self, chromium: Chromium) -> None:
        """A visit is over."""

    async def close(self) -> None:
        """End what is not used."""


class Each:
    """A browser for each visit, and one more for the next, with a page that is open, while there is room for one."""

    def __init__(self, engine: Engine, at_once: int) -> None:
        self._engine = engine
        self._room = at_once
        self._later: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._spare: asyncio.Task[Chromium] | None = _begun(self._opened())

    async def take(self) -> Chromium:
        """The spare one, or a new one if there is none, or it died while it waited."""
        self._room -= 1
        taking = _begun(self._taken())
        try:
            return await asyncio.shield(taking)
        except BaseException as error:
            self._room += 1
            if not isinstance(error, BrowserCrashed):
                self._leave(taking)
            raise
        finally:
            self._soon()

    async def give_back(self, chromium: Chromium) -> None:
        """End it: nothing of a visit reaches the next."""
        self._room += 1
        self._soon()
        await chromium.close()

    async def close(self) -> None:
        """End the spare."""
        if self._later is not None:
            self._later.cancel()
        await asyncio.gather(_end(self._spare), *self._ending)

    def _leave(self, taking: asyncio.Task[Chromium]) -> None:
        """Nobody waits any more for a browser that has begun to start: it is the next one's, or is ended."""
        if self._spare is None:
            self._spare = taking
        else:
            ending = asyncio.create_task(_end(taking))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _soon(self) -> None:
        """Have a spare one, but let the visit that has just begun have the machine to itself for a moment."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(CALM, self._keep_one)

    def _keep_one(self) -> None:
        self._later = None
        if self._spare is None and self._room > 0:
            self._spare = _begun(self._opened())

    async def _opened(self) -> Chromium:
        """A browser with a page."""
        chromium = await self._engine.launch()
        with contextlib.suppress(BrowserCrashed, TimeoutError):
            await in_time(chromium.make_ready(HERE), GLANCE)
        return chromium

    async def _taken(self) -> Chromium:
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(BrowserCrashed):
                chromium = await spare
                if await _serves(chromium):
                    return chromium
                await chromium.close()
        return await self._engine.launch()


class One:
    """One browser for all visits; when it has died, another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one = _begun(engine.launch())

    async def take(self) -> Chromium:
        """The one."""
        if self._one.done() and (self._one.exception() or not await _serves(self._one.result())):
            await _end(self._one)
            self._one = _begun(self._engine.launch())
        return await asyncio.shield(self._one)

    async def give_back(self, chromium: Chromium) -> None:
        """It stays for the others."""

    async def close(self) -> None:
        """End it."""
        await _end(self._one)


@dataclass(slots=True)
class Pool:
    """Browsers for at most ``at_once`` visits; each visit may use ``most`` bytes of memory, or its browser is ended."""

    engine: Engine
    supply: Supply
    at_once: int
    most: int
    _used: list[Chromium] = field(default_factory=list, init=False)
    _places: asyncio.Semaphore = field(init=False)

    @property
    def shared(self) -> bool:
        """Whether visits share a browser."""
        return isinstance(self.supply, One)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.at_once)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Chromium]:
        """A browser for one visit, as soon as there is room. Raises BrowserCrashed."""
        async with self._places:
            chromium = await self.supply.take()
            self._used.append(chromium)
            try:
                yield chromium
            finally:
                self._used.remove(chromium)
                await asyncio.shield(self.supply.give_back(chromium))

    async def look_after(self) -> None:
        """End what is silent, or has grown too big, until cancelled."""
        while True:
            await asyncio.sleep(LOOKING)
            try:
                await self.engine.look(SILENCE)
                browsers = {id(chromium): chromium for chromium in self._used}.values()
                await asyncio.gather(*(self._look(chromium) for chromium in browsers))
            except Exception:  # who does not look any more bears a silent browser for ever
                log.exception("browsers.not_seen")

    async def close(self) -> None:
        """End what is left."""
        await self.supply.close()
        await self.engine.stop()

    async def _look(self, chromium: Chromium) -> None:
        if chromium.gone:
            return
        if not await chromium.answers(SILENCE):
            log.warning("browser.silent")
            chromium.kill()
            return
        used = await asyncio.to_thread(lambda: sum(map(memory, chromium.tree())))
        if used > self.most * max(1, self._used.count(chromium)):
            log.warning("browser.too_big", mib=used >> 20)
            chromium.kill()


@asynccontextmanager
async def open_pool(engine: Engine, *, shared: bool, at_once: int, most: int) -> AsyncIterator[Pool]:
    """A pool, looked after, and ended with everything it started."""
    pool = Pool(engine, One(engine) if shared else Each(engine, at_once), at_once, most)
    looking = asyncio.create_task(pool.look_after(), name="browsers")
    try:
        yield pool
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await pool.close()


async def _serves(chromium: Chromium) -> bool:
    """Whether a browser that has waited can be used: a glance at it costs some milliseconds."""
    return not chromium.gone and await chromium.answers(GLANCE)


def _begun(launch: Coroutine[Any, Any, Chromium]) -> asyncio.Task[Chromium]:
    task = asyncio.create_task(launch, name="launch")
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever takes it is told
    return task


async def _end(launched: asyncio.Task[Chromium] | None) -> None:
    """End a browser that nobody took, also one that is only just starting."""
    if launched is None:
        return
    try:
        chromium = await launched
    except BrowserCrashed:
        return
    await chromium.close()
