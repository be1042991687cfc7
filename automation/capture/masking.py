"""Pictures of a portal's page on which nobody can read whose it is, nor sign in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import Final

from playwright.async_api import Frame, Locator, Page

QUALITY: Final = 60
TIME: Final = 3_000
"""Milliseconds that a picture may take: a page that never comes to rest gives none."""

GREY: Final = "#8a8a8a"

PERSONAL_NUMBER: Final = re.compile(r"\b(?:19|20)?\d{6}[-+ ]?\d{4}\b")
MAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
PHONE: Final = re.compile(r"(?:\+\d|\b0)[\d \-]{7,}\d")

TYPED: Final = (
    "input:not([type=button], [type=submit], [type=radio], [type=checkbox]), textarea, [contenteditable]"
)
"""What a person may have typed into."""


async def masked_picture(page: Page, *, hidden: Sequence[str] = (), masked: Sequence[Locator] = ()) -> bytes:
    """The page as JPEG: numbers of persons, addresses, and what was typed are covered, and so is what is ``masked``.

    What the CSS selectors ``hidden`` find, in any frame, is not drawn, even if it only appears while the picture is
    being taken: for codes, which change each second.

    Raises Playwright's Error.
    """
    return await page.screenshot(
        type="jpeg",
        quality=QUALITY,
        # A page's policy may forbid the style; covers it cannot forbid.
        mask=[*masked, *(_concealed(frame, hidden) for frame in page.frames)],
        mask_color=GREY,
        style="".join(
            f"{selector} {{ opacity: 0 !important; transition: none !important }}\n" for selector in hidden
        ),
        animations="allow",
        caret="initial",
        scale="css",
        timeout=TIME,
    )


def _concealed(frame: Frame, hidden: Sequence[str]) -> Locator:
    """What the selectors find, and what looks personal wherever it is: as one locator, each is asked for by itself."""
    found = [frame.locator(selector) for selector in (*hidden, TYPED)]
    found += [frame.get_by_text(shape) for shape in (PERSONAL_NUMBER, MAIL, PHONE)]
    return reduce(Locator.or_, found)
