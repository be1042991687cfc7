"""A script of ours in an isolated world of every frame of a page, and what it tells.

A target of the browser (the page, and each frame that runs in a process of its own) has a CDP session; in it the
script runs in each document, from its beginning, and a binding exists in the script's world alone.
https://chromedevtools.github.io/devtools-protocol/tot/Page/#method-addScriptToEvaluateOnNewDocument
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, final

from playwright.async_api import CDPSession, Error, Frame, Page

LEAVING: Final = 1.0
"""Seconds that leaving a page may take."""

REMEMBERED: Final = 32
"""Documents of a target that are told to end the script; older ones are gone."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The script's world in one target; ``frame`` is None for the page itself."""

    session: CDPSession
    frame: Frame | None
    documents: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@final
class Worlds:
    """Enter it to run ``script`` (which tells through ``globalThis[name]`` and ends at ``leave()``) everywhere.

    ``heard`` gets the world, the id of the document's execution context in it, and what was told.
    """

    def __init__(self, page: Page, name: str, script: str, heard: Callable[[World, int, str], None]) -> None:
        self._page = page
        self._name = name
        self._script = script
        self._heard = heard
        self._worlds: dict[Frame | None, World] = {}
        self._entering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._page.on("framenavigated", self._navigated)
        await self._enter(None)
        for frame in self._page.frames:
            self._navigated(frame)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.remove_listener("framenavigated", self._navigated)
        for task in self._entering:
            task.cancel()
        await asyncio.gather(*self._entering, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                await asyncio.gather(*map(_leave, self._worlds.values()))
        self._worlds.clear()

    def _navigated(self, frame: Frame) -> None:
        """Enter a frame that may have moved to a process of its own."""
        if frame.parent_frame is None or frame in self._worlds:
            return
        task = asyncio.create_task(self._enter(frame), name="qr-frame")
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, frame: Frame | None) -> None:
        try:
            session = await self._page.context.new_cdp_session(frame or self._page)
        except Error:
            if frame is None:
                raise
            return  # it is in its parent's process, and so in its world, or gone
        world = World(session, frame)
        self._worlds[frame] = world
        session.on("close", lambda _: self._closed(world))
        session.on("Runtime.bindingCalled", lambda event: self._called(world, event))
        try:
            await self._install(session)
        except Error:
            if frame is None:
                raise
            self._closed(world)

    async def _install(self, session: CDPSession) -> None:
        await session.send("Runtime.enable")  # without it no binding is put into a world made later
        await session.send("Page.enable")  # nor is the script run in a new document
        await session.send("Runtime.addBinding", {"name": self._name, "executionContextName": self._name})
        await session.send(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": self._script, "worldName": self._name, "runImmediately": True},
        )

    def _closed(self, world: World) -> None:
        if self._worlds.get(world.frame) is world:
            del self._worlds[world.frame]

    def _called(self, world: World, event: dict[str, Any]) -> None:
        if event["name"] != self._name:
            return
        document = event["executionContextId"]
        if document not in world.documents:
            world.documents.append(document)
        self._heard(world, document, event["payload"])


async def _leave(world: World) -> None:
    for document in world.documents:
        with suppress(Error):  # most are gone
            await world.session.send("Runtime.evaluate", {"expression": "leave()", "contextId": document})
    with suppress(Error):
        await world.session.detach()
