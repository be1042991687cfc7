"""The demo portal's adapter on the demo portal itself, in a real Chromium: every outcome of every step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from automation.portals import portals, visit_of
from domain.jobs import Slot
from domain.portals import (
    CapturedCode,
    Person,
    Portal,
    Visit,
)
from tests.automation.phone import Phone
from tests.chromium import chromium
from tests.demo_portal import DemoPortal, Running, running_portal

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CONFIG = {"licence": "B", "exam": "Driving test", "places": ["Uppsala", "Gävle"]}
QUIET = {"new_times": 0, "rivals": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_portal() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def demo(running: Running) -> AsyncIterator[DemoPortal]:
    async with DemoPortal(running) as demo:
        await demo.anew(**QUIET)
        yield demo


@pytest_asyncio.fixture(loop_scope="module")
async def phone(running: Running) -> AsyncIterator[Phone]:
    async with Phone(running.url) as phone:
        yield phone


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="sv-SE")
    yield await context.new_page()
    await context.close()


@pytest.fixture
def portal(demo: DemoPortal) -> Portal:
    return portals(["demo"], demo.url)["demo"]


@pytest.fixture
def visit(page: Page, portal: Portal) -> Visit:
    return visit_of("demo")(page, portal)


async def shown(visit: Visit) -> CapturedCode:
    """The code that is shown now, of an order that has just begun."""
    await visit.arrive()
    await visit.open_login()
    await visit.begin_identity_check()
    async with visit.codes() as codes, asyncio.timeout(5):
        return await anext(codes)


async def sign_in(visit: Visit, phone: Phone) -> Person:
    code = await shown(visit)
    assert (await phone.scan(code.text)).hint == "userSign"
    await phone.confirm()
    async with asyncio.timeout(5):
        return await visit.signed_in()


async def choose(visit: Visit, config: Mapping[str, Any] = CONFIG) -> None:
    await visit.configure(config)
    await visit.choose_places(config)


async def find(visit: Visit, phone: Phone) -> Slot:
    """The first time that is free, for somebody who has just signed in."""
    await sign_in(visit, phone)
    await choose(visit)
    return (await visit.search(CONFIG))[0]


async def test_the_whole_way_from_the_front_page_to_a_booking_that_the_portal_lists(
    visit: Visit, demo: DemoPortal, phone: Phone
) -> None:
    assert await sign_in(visit, phone) == Person("Demo customer", "D-0001")
    assert list(await visit.my_bookings()) == []
    await choose(visit)
    wanted = await visit.search(CONFIG)
    kept = await visit.choose(wanted[0])
    assert kept == wanted[0]
    number = await visit.confirm(kept)
    assert [(each.number, each.slot) for each in await visit.my_bookings()] == [(number, kept)]
    assert await demo.booked() == {"D-0001": 1}
    await visit.sign_out()
    assert [entry["person"] for entry in await demo.log("signed-out")] == ["D-0001"]
