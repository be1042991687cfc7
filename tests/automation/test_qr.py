"""Codes captured from pages in a real Chromium: every way of showing one, and what pages do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from automation.qr import CodeWatch
from domain.portals import CapturedCode
from tests.automation.code_page import VARIANTS, Site, changes, code_site, text_of
from tests.chromium import chromium

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 800, "height": 600})
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    async with code_site() as site:
        yield site


async def until(watch: CodeWatch, text: str, within: float = 7.0) -> list[CapturedCode]:
    codes = []
    async with asyncio.timeout(within):
        async for code in watch:
            codes.append(code)
            if code.text == text:
                break
    return codes


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_change_is_captured_decoded_once_and_in_order(
    page: Page, site: Site, variant: str
) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url(**{"as": variant, "every": 100, "count": 40}))
        codes = await until(watch, text_of(39))
    if variant not in ("img-elsewhere", "canvas-tainted"):
        assert [code.text for code in codes] == [text_of(number) for number in range(40)]
    assert all(one.shown_at < two.shown_at for one, two in pairwise(codes))
