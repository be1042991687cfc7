"""Codes captured from pages in a real Chromium: every way of showing one, and what pages do meanwhile."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, CDPSession, Error, Frame, Page

from automation.capture import qr
from automation.capture.qr import CodeWatch, life_of
from automation.capture.qr_image import text_of as read
from domain.portals import BrowserCrashed, CapturedCode
from tests.automation.code_page import VARIANTS, Site, changes, code_site, png_of, text_of
from tests.chromium import chromium

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PHOTOGRAPHED = ("img-elsewhere", "canvas-tainted", "svg-elsewhere")
"""What no script may read."""

SAME_SITE, OTHER_SITE = "127.0.0.1", "localhost"


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


async def the_next(watch: CodeWatch, within: float = 10.0) -> CapturedCode:
    async with asyncio.timeout(within):
        return await anext(watch)


async def nothing_comes(watch: CodeWatch, within: float = 0.3) -> bool:
    try:
        await the_next(watch, within)
    except TimeoutError:
        return True
    return False


async def follow(watch: CodeWatch, frame: Page | Frame, first: int, last: int) -> list[CapturedCode]:
    """The codes from one number to another, each asked of the page when the one before has arrived."""
    codes = [await the_next(watch)]
    for _ in range(first, last):
        await frame.evaluate("show()")
        codes.append(await the_next(watch))
    assert [code.text for code in codes] == [text_of(number) for number in range(first, last + 1)]
    return codes


@pytest.mark.feature("S0.9")
@pytest.mark.parametrize("variant", VARIANTS)
async def test_each_way_of_showing_a_code_is_read(page: Page, site: Site, variant: str) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url(variant))
        codes = await follow(watch, page, 0, 1 if variant in PHOTOGRAPHED else 4)
    for code in codes:
        assert read(code.image) == code.text
        assert Image.open(io.BytesIO(code.image)).format == "PNG"


async def test_what_only_a_screenshot_shows_is_waited_for_until_it_is_painted(page: Page, site: Site) -> None:
    late = "document.body.style.opacity = 0; setTimeout(() => { document.body.style.opacity = 1 }, 1500)"
    await page.add_init_script(f"addEventListener('DOMContentLoaded', () => {{ {late} }})")
    async with CodeWatch(page) as watch:
        await page.goto(site.url("img-elsewhere"))
        assert (await the_next(watch, 4)).text == text_of(0)


async def test_a_code_that_changes_by_itself_is_captured_each_time_in_order_and_when_it_changed(
    page: Page, site: Site
) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("img", every=100, count=20))
        codes = [await the_next(watch) for _ in range(20)]
        assert await nothing_comes(watch)
    shown = await changes(page)
    assert [code.text for code in codes] == [text for text, _ in shown]
    for code, (_, at) in zip(codes, shown, strict=True):
        assert abs(code.shown_at.timestamp() * 1000 - at) < 100
    assert all(earlier.shown_at < later.shown_at for earlier, later in pairwise(codes))


async def test_what_is_drawn_on_a_canvas_is_told_and_not_waited_for(
    page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qr, "SAMPLED_SELDOM", 3_600_000)
    async with CodeWatch(page) as watch:
        await page.goto(site.url("canvas"))
        await follow(watch, page, 0, 4)


async def test_a_canvas_is_read_on_when_its_drawings_are_told_no_more(page: Page, site: Site) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("canvas"))
        await follow(watch, page, 0, 1)
        await page.evaluate("ways['canvas-tainted'](codes[0], 7)")
        assert (await the_next(watch)).text == text_of(7)


@pytest.mark.parametrize("variant", ["img", "canvas", "canvas-tainted"])
@pytest.mark.parametrize("host", [SAME_SITE, OTHER_SITE])
async def test_a_frame_of_another_origin_is_watched_too(
    page: Page, site: Site, variant: str, host: str
) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url(variant, within=host))
        await follow(watch, page.frames[-1], 0, 3)
        try:
            await page.context.new_cdp_session(page.frames[-1])
            of_its_own = True
        except Error:
            of_its_own = False
        assert of_its_own is (host == OTHER_SITE)  # else this would not show what it says


async def test_a_page_that_is_entered_late_a_refresh_and_another_site_cost_no_code(
    page: Page, site: Site
) -> None:
    await page.goto(site.url("canvas-replaced", within=OTHER_SITE))
    async with CodeWatch(page) as watch:
        await follow(watch, page.frames[-1], 0, 2)
        await page.reload()
        await follow(watch, page.frames[-1], 0, 1)
        await page.goto(site.url("svg"))
        await follow(watch, page, 0, 2)
        await page.reload()
        await follow(watch, page, 3, 4)
        await page.evaluate("document.body.append(document.createElement('iframe'))")
        move = "(url) => { document.querySelector('iframe').src = url; }"
        await page.evaluate(move, site.url("img").replace(SAME_SITE, OTHER_SITE))
        assert (await the_next(watch)).text == text_of(0)
        await page.frames[-1].evaluate("show()")
        assert (await the_next(watch)).text == text_of(1)
        await page.evaluate(move, site.url("img-blob"))  # back into the page's own process
        assert (await the_next(watch)).text == text_of(5)
        await page.evaluate(move, site.url("canvas").replace(SAME_SITE, OTHER_SITE))
        assert (await the_next(watch)).text == text_of(0)


COUNTING = """
  window.touched = 0;
  document.addEventListener("securitypolicyviolation", () => window.touched++);
  for (const [on, name] of [[HTMLCanvasElement.prototype, "toDataURL"], [Document.prototype, "querySelectorAll"],
      [CanvasRenderingContext2D.prototype, "getImageData"], [JSON, "stringify"], [Date, "now"],
      [window, "getComputedStyle"], [Scheduler.prototype, "postTask"], [Element.prototype, "closest"]])
    on[name] = () => { window.touched++; return null; };
  window.MutationObserver = class { constructor() { window.touched++; } };
"""
SHOWN = """() =>
  changes.length && [...document.images].every((image) => performance.getEntriesByName(image.src).length)
"""
SIGHT = """() => [
  Object.getOwnPropertyNames(window).sort().join(), document.documentElement.outerHTML, touched,
  performance.getEntriesByType('resource').length, setTimeout(() => {}, 0), requestAnimationFrame(() => {}),
]"""


@pytest.mark.parametrize("variant", ["canvas", "svg", "img-url"])
async def test_a_page_sees_nothing_of_it_and_cannot_meddle(page: Page, site: Site, variant: str) -> None:
    await page.add_init_script(COUNTING)
    await page.goto(site.url(variant))
    while not await page.evaluate(SHOWN):  # wait_for_function observes mutations itself
        pass
    *before, timers, frames = await page.evaluate(SIGHT)
    async with CodeWatch(page) as watch:
        assert (await the_next(watch)).text == text_of(0)
        assert await nothing_comes(watch)
        assert await page.evaluate(SIGHT) == [*before, timers + 1, frames + 1]
    assert await page.evaluate(SIGHT) == [*before, timers + 2, frames + 2]
    assert len(site.asked) == len(set(site.asked))


async def test_a_frozen_page_repeats_nothing(page: Page, site: Site) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("canvas", count=1))
        assert (await the_next(watch)).text == text_of(0)
        await page.evaluate(
            """() => {
              const [old, same] = [document.querySelector("canvas"), document.querySelector("canvas").cloneNode()];
              same.getContext("2d").drawImage(old, 0, 0);
              old.replaceWith(same);
            }"""
        )
        await page.evaluate("document.body.classList.add('darker')")
        assert await nothing_comes(watch)
        assert not watch.outlived.is_set()


async def test_a_code_outlives_itself_when_its_life_is_over_with_none_in_its_place(
    page: Page, site: Site
) -> None:
    async with asyncio.timeout(10), CodeWatch(page) as watch:
        await page.goto(site.url("img", count=30))
        await page.wait_for_function("document.querySelector('img')")
        await page.evaluate("for (let more = 0; more < 28; more++) show()")
        while (code := await the_next(watch)).text != text_of(28):
            pass
        assert code.life == timedelta(seconds=2)
        assert not watch.outlived.is_set()
        await watch.outlived.wait()
        assert datetime.now(UTC) >= code.shown_at + code.life


async def test_a_place_without_a_code_gives_none(page: Page, site: Site) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("blank"))
        await page.wait_for_function("document.querySelector('canvas')")
        assert await nothing_comes(watch)


async def test_only_texts_of_logins_are_codes(page: Page, site: Site) -> None:
    async with CodeWatch(page, prefix="https://app.") as watch:
        await page.goto(site.url("img"))
        await page.wait_for_function("document.querySelector('img')")
        assert await nothing_comes(watch)


async def test_the_link_for_the_same_device_comes_with_the_code(page: Page, site: Site) -> None:
    async with CodeWatch(page, autostart="#same-device") as watch:
        await page.goto(site.url("img"))
        assert (await the_next(watch)).autostart_url == "bankid:///?autostarttoken=none"


async def test_a_reader_who_is_slow_gets_the_newest_alone(page: Page, site: Site) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("img"))
        assert (await the_next(watch)).text == text_of(0)
        await page.evaluate("for (let more = 0; more < 5; more++) show()")
        async with asyncio.timeout(10):
            while watch._newest is None or watch._newest.text != text_of(5):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        assert (await the_next(watch)).text == text_of(5)
        assert await nothing_comes(watch)


@pytest.mark.parametrize("end", ["closed", "crashed"])
async def test_a_page_that_is_gone_ends_the_codes(page: Page, site: Site, end: str) -> None:
    async with CodeWatch(page) as watch:
        await page.goto(site.url("img"))
        await the_next(watch)
        if end == "closed":
            await page.close()
        else:
            crashing = asyncio.ensure_future(page.goto("chrome://crash"))
            await asyncio.wait([crashing], timeout=5)
        with pytest.raises(BrowserCrashed):
            await the_next(watch)
    if end == "crashed":
        crashing.cancel()
        await asyncio.gather(crashing, return_exceptions=True)


async def test_after_leaving_nothing_of_ours_runs_in_the_page(page: Page, site: Site) -> None:
    await page.goto(site.url("canvas", within=SAME_SITE))
    async with CodeWatch(page) as watch:
        await the_next(watch)
        (world,) = watch._worlds._worlds.values()
        session = await page.context.new_cdp_session(page)
        contexts: list[int] = []
        session.on(
            "Runtime.executionContextCreated",
            lambda event: (
                contexts.append(event["context"]["id"])
                if event["context"]["name"] == watch._worlds._name
                else None
            ),
        )
        await session.send("Runtime.enable")
        assert len(contexts) == len(world.documents) == 2
        counting = """const post = scheduler.postTask; globalThis.posted = 0;
            scheduler.postTask = (...all) => { posted++; return post.apply(scheduler, all); }; 0"""
        for context in contexts:
            await session.send("Runtime.evaluate", {"expression": counting, "contextId": context})
        assert await nothing_comes(watch)
    first, second = [await _posted(session, contexts) for _ in range(2)]
    await page.frames[-1].evaluate("new Promise((done) => setTimeout(done, 200))")
    assert second == await _posted(session, contexts)
    assert first > 0


async def _posted(session: CDPSession, contexts: list[int]) -> int:
    asked = [
        await session.send("Runtime.evaluate", {"expression": "posted", "contextId": context})
        for context in contexts
    ]
    return sum(each["result"]["value"] for each in asked)


async def test_nothing_of_a_code_is_logged(page: Page, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with CodeWatch(page) as watch:
        await page.goto(site.url("img"))
        code = await the_next(watch)
        assert "bankid" not in repr(code) + repr(watch)
    assert "bankid." not in caplog.text


async def test_a_code_lives_as_long_as_its_order_or_as_it_was_said() -> None:
    otherwise = timedelta(seconds=7)
    assert life_of(text_of(0), otherwise) == timedelta(seconds=30)
    assert life_of(text_of(12), otherwise) == timedelta(seconds=18)
    assert life_of(text_of(29), otherwise) == timedelta(seconds=1)
    assert life_of("https://portal.example/login/7", otherwise) == otherwise


async def test_what_is_no_picture_of_a_code_is_not_read() -> None:
    out = io.BytesIO()
    Image.new("L", (4_000, 4_000)).save(out, "PNG")
    for png in (b"", b"no picture", png_of(0)[:200], out.getvalue()):
        assert read(png) is None
    framed = Image.open(io.BytesIO(png_of(3, 1)))
    out = io.BytesIO()
    framed.crop((2, 2, framed.width - 2, framed.height - 2)).save(out, "PNG")
    assert read(out.getvalue()) == text_of(3)  # one pixel a module, and nothing around it
