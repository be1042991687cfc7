"""Login codes, captured as a page shows them.

A script in an isolated world of every frame watches what may be a code (`qr_watch.js`) and hands over its picture,
which is decoded here, always: what cannot be read here cannot be scanned. Nothing of a code is logged or told in an
error.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from types import TracebackType
from typing import Any, Final, Self, final
from uuid import uuid4

from playwright.async_api import Error, FloatRect, Page

from automation.capture.qr_image import text_of
from automation.capture.worlds import World, Worlds
from domain.portals import BrowserCrashed, CapturedCode

SAMPLED_EVERY: Final = 50
"""Milliseconds between two looks at a canvas, at least."""

SAMPLED_SELDOM: Final = 500
"""Milliseconds between two looks at a canvas whose drawings are told: in case that they are told no more."""

SCREENSHOTS_APART: Final = 0.25
"""Seconds between two screenshots of what no script may read."""

RETAKES: Final = (0.0, 0.0, 0.25, 0.75, 2.0)
"""Further seconds after each screenshot of a change that shows none: a page may tell of what it has not painted yet."""

LONGEST: Final = 1 << 20
"""Characters of what a page's world may tell at once."""

ORDER: Final = timedelta(seconds=30)
"""How long a BankID order lives unless its code is scanned."""

_ANIMATED = re.compile(r"bankid\.[^.]+\.(\d{1,4})\.[0-9a-f]{64}", re.ASCII)
_PNG = "data:image/png;base64,"


def life_of(text: str, otherwise: timedelta) -> timedelta:
    """How long a code is good: an animated one of BankID for the rest of its order, by the seconds in it.

    The text is ``bankid.<qrStartToken>.<seconds>.<qrAuthCode>`` (BankID Relying Party guidelines, "QR code").
    """
    if (animated := _ANIMATED.fullmatch(text)) is None:
        return otherwise
    return max(ORDER - timedelta(seconds=int(animated[1])), timedelta(seconds=1))


@final
class CodeWatch:
    """The login codes that a page shows, in whichever frame and across navigations. Enter it, then iterate.

    The code that is being shown comes first. None comes twice in a row; a reader who is slow gets the newest.
    ``life`` is how long a code is good whose text does not say; only texts that begin with ``prefix`` are login
    codes; ``autostart`` is the CSS selector of the link, in the code's document, to sign in on the same device.
    Iterating raises BrowserCrashed when the page is gone; it has one reader.
    """

    def __init__(
        self, page: Page, *, life: timedelta = ORDER, prefix: str = "", autostart: str | None = None
    ) -> None:
        self._page = page
        self._life = life
        self._prefix = prefix
        name = f"w{uuid4().hex}"
        pace = {"every": SAMPLED_EVERY, "seldom": SAMPLED_SELDOM}
        options = json.dumps({"tell": name, "autostart": autostart, **pace})
        script = files("automation.capture").joinpath("qr_watch.js").read_text("utf-8")
        self._worlds = Worlds(page, name, f"({script.strip()})({options})", self._heard)
        self._last: CapturedCode | None = None
        self._newest: CapturedCode | None = None
        self._changed = asyncio.Event()
        self.outlived = asyncio.Event()
        """Set while the newest code's life is over with none in its place: the page is frozen, or shows none."""
        self._ageing: asyncio.TimerHandle | None = None
        self._gone = False
        self._waiting: tuple[World, int, dict[str, Any]] | None = None
        self._told = asyncio.Event()
        self._photographer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for event in ("close", "crash"):
            self._page.on(event, self._lost)
        try:
            await self._worlds.__aenter__()
        except Error as failure:
            raise BrowserCrashed("the page is gone") from failure
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in ("close", "crash"):
            self._page.remove_listener(event, self._lost)
        if self._photographer is not None:
            self._photographer.cancel()
            await asyncio.gather(self._photographer, return_exceptions=True)
        if self._ageing is not None:
            self._ageing.cancel()
        await self._worlds.__aexit__(kind, error, trace)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CapturedCode:
        while self._newest is None:
            if self._gone:
                raise BrowserCrashed("the page is gone")
            self._changed.clear()
            await self._changed.wait()
        code, self._newest = self._newest, None
        return code

    def _lost(self, _: Page) -> None:
        self._gone = True
        self._changed.set()

    def _heard(self, world: World, document: int, told: str) -> None:
        if len(told) > LONGEST:
            return
        sight = json.loads(told)
        if "unreadable" in sight:
            self._waiting = (world, document, sight)
            self._told.set()
            if self._photographer is None or self._photographer.done():
                self._photographer = asyncio.create_task(self._photograph(), name="qr-photographer")
        elif "picture" in sight:
            with suppress(binascii.Error):
                self._see(base64.b64decode(sight["picture"].removeprefix(_PNG), validate=True), sight)

    def _see(self, png: bytes, sight: dict[str, Any]) -> bool:
        """Take a code in; whether there is a new one on the picture."""
        text = text_of(png)
        if text is None or not text.startswith(self._prefix):
            return False
        # The page's clock is this machine's; only its rounding could put it ahead.
        shown_at = min(datetime.fromtimestamp(sight["at"] / 1000, UTC), datetime.now(UTC))
        if (last := self._last) is not None and (last.text == text or last.shown_at > shown_at):
            return False
        code = CapturedCode(text, png, shown_at, life_of(text, self._life), sight["link"])
        self._last = self._newest = code
        self._changed.set()
        self.outlived.clear()
        if self._ageing is not None:
            self._ageing.cancel()
        left = (shown_at + code.life - datetime.now(UTC)).total_seconds()
        self._ageing = asyncio.get_running_loop().call_later(left, self.outlived.set)
        return True

    async def _photograph(self) -> None:
        """See by screenshots what no script may read, the newest first, until nothing waits."""
        while (waiting := self._waiting) is not None:
            self._waiting = None
            for more in RETAKES:
                self._told.clear()
                seen = await self._photographed(*waiting)
                await asyncio.sleep(SCREENSHOTS_APART)
                if not seen:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(more):
                            await self._told.wait()
                if seen or self._waiting is not None:
                    break

    async def _photographed(self, world: World, document: int, sight: dict[str, Any]) -> bool:
        """Whether a screenshot showed a new code."""
        with suppress(Error, TimeoutError, LookupError):  # it has no place on the page, or none yet
            clip = await self._place(world, document, sight["unreadable"])
            picture = await self._page.screenshot(clip=clip, animations="allow", caret="initial", scale="css")
            return self._see(picture, sight)
        return False

    async def _place(self, world: World, document: int, number: int) -> FloatRect:
        """Where on the page an element is. Raises Error."""
        found = await world.session.send(
            "Runtime.evaluate", {"expression": f"unreadable({number:d})", "contextId": document}
        )
        quads = await world.session.send("DOM.getContentQuads", {"objectId": found["result"]["objectId"]})
        across, down = quads["quads"][0][::2], quads["quads"][0][1::2]
        frame = None if world.frame is None else await (await world.frame.frame_element()).bounding_box()
        return {
            "x": min(across) + (frame["x"] if frame else 0),
            "y": min(down) + (frame["y"] if frame else 0),
            "width": max(across) - min(across),
            "height": max(down) - min(down),
        }
