"""The demo portal's adapter on the demo portal itself, in a real Chromium: every outcome of every step."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date, time
from typing import Any

import pytest
import pytest_asyncio
import zxingcpp
from aiohttp import web
from PIL import Image
from playwright.async_api import Browser, Error, Page, expect

from automation.portals import portals, visit_of
from domain.jobs import Slot
from domain.portals import (
    BrowserCrashed,
    CaptchaShown,
    CapturedCode,
    CodeExpired,
    LoggedOut,
    LoginRefused,
    Person,
    Portal,
    PortalChanged,
    PortalDown,
    SlotTaken,
    Visit,
)
from tests.automation.phone import Phone
from tests.chromium import Complaints, chromium
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


async def codes_within(seconds: float, visit: Visit) -> list[str]:
    texts = []
    with suppress(TimeoutError):
        async with visit.codes() as codes, asyncio.timeout(seconds):
            while True:
                texts.append((await anext(codes)).text)
    return texts


async def sign_in(visit: Visit, phone: Phone) -> Person:
    code = await shown(visit)
    assert (await phone.scan(code.text)).hint == "userSign"
    await phone.confirm()
    async with asyncio.timeout(5):
        return await visit.signed_in()


@pytest_asyncio.fixture(loop_scope="module")
async def inside(visit: Visit, page: Page, demo: DemoPortal) -> Visit:
    """A visit of somebody who is signed in."""
    await enter(page, demo)
    return visit


async def enter(page: Page, demo: DemoPortal) -> None:
    """Sign in without a login, and put the cookie bar away."""
    cookies = {"demo-portal": await demo.do("sign-in", person="Demo customer"), "consent": "necessary"}
    await page.context.add_cookies(
        [{"name": name, "value": value, "url": demo.url} for name, value in cookies.items()]
    )


async def choose(visit: Visit, config: Mapping[str, Any] = CONFIG) -> None:
    await visit.configure(config)
    await visit.choose_places(config)


async def find(visit: Visit) -> Slot:
    """The first time that is free."""
    await choose(visit)
    return (await visit.search(CONFIG))[0]


@pytest.mark.feature("S0.8")
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


# Logging in


@pytest.mark.feature("S0.9")
@pytest.mark.parametrize("layout", ["img", "canvas", "canvas-replaced", "svg", "frame"])
async def test_however_the_code_is_drawn_its_newest_text_signs_the_person_in(
    visit: Visit, demo: DemoPortal, phone: Phone, layout: str
) -> None:
    await demo.scenario(code=layout)
    await shown(visit)
    async with visit.codes() as codes, asyncio.timeout(5):
        texts = [(await anext(codes)).text for _ in range(2)]
    assert texts[0] != texts[1]
    assert (await phone.scan(texts[1])).hint == "userSign"
    await phone.confirm()
    assert (await visit.signed_in()).name == "Demo customer"


async def test_a_code_on_a_page_that_is_frozen_is_too_old_for_the_phone(
    visit: Visit, demo: DemoPortal, phone: Phone
) -> None:
    await demo.scenario(code="frozen")
    code = await shown(visit)
    assert await codes_within(2.1, visit) == [code.text]
    told = await phone.scan(code.text)
    assert told.hint == "startFailed"
    assert told.age is not None
    assert told.age > 2


async def test_a_page_on_which_no_code_can_be_read_is_one_that_changed(
    page: Page, portal: Portal, demo: DemoPortal, hasty: None
) -> None:
    await demo.scenario(code="blank")
    visit = visit_of("demo")(page, portal)
    with pytest.raises(PortalChanged):
        await shown(visit)


async def test_an_order_that_nobody_scans_is_followed_by_another(
    visit: Visit, demo: DemoPortal, phone: Phone
) -> None:
    await demo.scenario(order_seconds=2)
    first = await shown(visit)
    async with visit.codes() as codes, asyncio.timeout(5):
        async for code in codes:
            if code.text.split(".")[1] != first.text.split(".")[1]:
                break
    assert code.text.split(".")[2] == "0"
    assert (await phone.scan(first.text)).hint == "expiredTransaction"
    assert (await phone.scan(code.text)).hint == "userSign"


async def test_when_the_page_starts_no_further_order_the_code_has_expired(
    visit: Visit, demo: DemoPortal
) -> None:
    await demo.scenario(order_seconds=1, orders=2)
    await shown(visit)
    with pytest.raises(CodeExpired):
        await visit.signed_in()
    await visit.open_login()  # from there one can begin anew
    await visit.begin_identity_check()


async def test_a_scan_that_is_never_confirmed_expires(visit: Visit, demo: DemoPortal, phone: Phone) -> None:
    await demo.scenario(sign_seconds=0.3)
    await phone.scan((await shown(visit)).text)
    with pytest.raises(CodeExpired):
        await visit.signed_in()


async def test_a_person_who_cancels_in_the_app_has_refused_the_login(visit: Visit, phone: Phone) -> None:
    await phone.scan((await shown(visit)).text)
    await phone.cancel()
    with pytest.raises(LoginRefused):
        await visit.signed_in()


async def test_a_code_is_scanned_once(visit: Visit, phone: Phone) -> None:
    code = await shown(visit)
    assert (await phone.scan(code.text)).hint == "userSign"
    assert (await phone.scan(code.text, "Bo Bergqvist")).hint == "alreadyInProgress"
    assert (await phone.confirm("Bo Bergqvist")).hint == "noOrder"
    await phone.confirm()
    assert (await visit.signed_in()).name == "Demo customer"


async def test_on_the_same_device_the_link_beside_the_code_opens_the_app(visit: Visit, phone: Phone) -> None:
    code = await shown(visit)
    assert code.autostart_url is not None
    assert code.autostart_url.startswith("bankid:///?autostarttoken=")
    assert (await phone.scan(code.autostart_url)).hint == "userSign"
    await phone.confirm()
    assert (await visit.signed_in()).name == "Demo customer"


# What a step may meet

TROUBLE: Mapping[str, type[Exception]] = {
    "broken": PortalDown,
    "maintenance": PortalDown,
    "captcha": CaptchaShown,
    "signed-out": LoggedOut,
}


@pytest.mark.parametrize("met", ["front", "login", "code"])
async def test_before_the_login_trouble_is_told_apart_and_one_can_begin_again(
    visit: Visit, demo: DemoPortal, met: str
) -> None:
    for kind in ("maintenance", "captcha"):
        await demo.trouble(met, kind)
        with pytest.raises(TROUBLE[kind]):
            await shown(visit)
    await shown(visit)


async def test_an_error_maintenance_and_a_broken_gateway_are_a_portal_that_is_down(
    inside: Visit, demo: DemoPortal
) -> None:
    for kind in ("error", "maintenance", "broken"):
        await demo.trouble("bookings", kind)
        with pytest.raises(PortalDown):
            await inside.my_bookings()


@pytest.mark.parametrize("kind", ["broken", "captcha", "signed-out"])
async def test_trouble_at_any_step_is_told_apart_and_the_list_tells_what_became_of_a_booking(
    inside: Visit, page: Page, demo: DemoPortal, kind: str
) -> None:
    @asynccontextmanager
    async def meeting(page_of: str, **more: object) -> AsyncIterator[None]:
        await demo.trouble(page_of, kind, **more)
        with pytest.raises(TROUBLE[kind]):
            yield
        if kind == "signed-out":
            await enter(page, demo)

    await choose(inside)
    async with meeting("times"):
        await inside.search(CONFIG)
    slot = await find(inside)
    async with meeting("keep"):
        await inside.choose(slot)
    assert await demo.log("kept") == []
    await inside.choose(await find(inside))
    async with meeting("book"):
        await inside.confirm(slot)
    assert list(await inside.my_bookings()) == []
    kept = await inside.choose(await find(inside))
    async with meeting("book", after=True):
        await inside.confirm(kept)
    assert [each.slot for each in await inside.my_bookings()] == [kept]


async def test_a_slow_page_is_waited_for_and_an_old_one_not_taken_for_it(
    inside: Visit, demo: DemoPortal
) -> None:
    slot = await find(inside)
    found = next(each for each in await demo.times() if each["starts"].startswith(slot.date.isoformat()))
    await demo.do("take", id=found["id"])
    await demo.trouble("times", "slow", seconds=0.5)
    assert slot not in await inside.search(CONFIG)


async def test_a_site_that_answers_a_click_slowly_is_waited_for_and_not_taken_for_another(
    inside: Visit, demo: DemoPortal, page: Page
) -> None:
    await choose(inside)
    page.set_default_timeout(500)  # what a page has to bear a click; its answer has half a minute
    await demo.trouble("keep", "slow", seconds=4)
    slot = (await inside.search(CONFIG))[0]
    assert await inside.choose(slot) == slot


async def test_a_search_or_a_choice_that_the_site_lost_is_made_again(inside: Visit, demo: DemoPortal) -> None:
    await choose(inside)
    await demo.trouble("times", "undone", times=2)
    slot = (await inside.search(CONFIG))[0]
    await demo.trouble("keep", "undone")
    with pytest.raises(SlotTaken):
        await inside.choose(slot)
    assert await inside.choose((await inside.search(CONFIG))[0]) == slot
    assert len(await demo.log("kept")) == 1


async def test_a_choice_that_took_effect_although_the_page_says_nothing_is_found(
    inside: Visit, demo: DemoPortal
) -> None:
    slot = await find(inside)
    await demo.trouble("keep", "undone", after=True)
    assert await inside.choose(slot) == slot
    await inside.confirm(slot)
    assert await demo.booked() == {"D-0001": 1}


async def test_a_portal_that_is_not_there_is_down(page: Page, unused_tcp_port: int) -> None:
    visit = visit_of("demo")(page, portals(["demo"], f"http://127.0.0.1:{unused_tcp_port}")["demo"])
    with pytest.raises(PortalDown):
        await visit.arrive()


async def test_a_session_that_ran_out_is_a_person_who_is_logged_out(inside: Visit, demo: DemoPortal) -> None:
    await demo.scenario(session_seconds=0)
    with pytest.raises(LoggedOut):
        await inside.my_bookings()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unknown is waited for a second only."""
    for module in ("outcomes", "demo_pages"):
        monkeypatch.setattr(f"automation.portals.{module}.KNOWN", 1.0)


@pytest.mark.parametrize(
    "renamed", ["Log in", "BankID on another device", "Choose places", "Search", "Available times"]
)
async def test_a_page_with_other_words_is_one_that_changed(
    hasty: None, page: Page, portal: Portal, demo: DemoPortal, renamed: str
) -> None:
    await demo.scenario(renamed=renamed)

    async def try_everything() -> None:
        visit = visit_of("demo")(page, portal)
        await visit.arrive()
        await visit.open_login()
        await visit.begin_identity_check()
        await enter(page, demo)
        await find(visit)

    with pytest.raises(PortalChanged):
        await try_everything()


async def test_a_browser_that_dies_is_no_portal_that_changed(inside: Visit, page: Page) -> None:
    async with page.expect_event("crash"):  # going there fails before it has crashed
        with suppress(Error):
            await page.goto("chrome://crash")
    with pytest.raises(BrowserCrashed):
        await inside.my_bookings()
    await page.context.close()
    with pytest.raises(BrowserCrashed):
        await inside.search(CONFIG)


# Searching and booking


@pytest.mark.feature("S0.10", "S0.11", "S1.27")
async def test_licence_exam_and_places_are_what_was_asked_for(inside: Visit, demo: DemoPortal) -> None:
    config = {"licence": "A2", "exam": "Theory test", "places": ["Örebro", "Enköping", "Gävle", "Västerås"]}
    await choose(inside)
    await choose(inside, config)  # what was chosen before is left out again
    assert {slot.location for slot in await inside.search(config)} == set(config["places"])
    searched = (await demo.log("searched"))[-1]
    assert (searched["exam"], set(searched["places"])) == ("Theory test", set(config["places"]))
    number = await inside.confirm(await inside.choose((await inside.search(config))[0]))
    assert [each.number for each in await inside.my_bookings()] == [number]


async def test_only_times_within_the_asked_days_and_hours_are_found_the_soonest_first(
    inside: Visit, demo: DemoPortal
) -> None:
    await demo.scenario(no_times=True)
    await choose(inside)
    assert list(await inside.search(CONFIG)) == []
    await demo.scenario(no_times=False)
    for starts in (
        "2031-05-02T09:00",
        "2031-05-01T15:30",
        "2031-05-01T07:59",
        "2031-05-01T08:00",
        "2031-04-30T09:00",
    ):
        await demo.offer("Gävle", starts)
    config = CONFIG | {"from": "2031-05-01", "to": "2031-05-02", "earliest": "08:00", "latest": "15:00"}
    assert list(await inside.search(config)) == [
        Slot(date(2031, 5, 1), time(8), "Gävle"),
        Slot(date(2031, 5, 2), time(9), "Gävle"),
    ]


async def test_a_time_that_somebody_else_takes_at_the_last_moment_is_taken_and_others_are_found(
    inside: Visit, demo: DemoPortal
) -> None:
    slot = await find(inside)
    await demo.do("lose")
    with pytest.raises(SlotTaken):
        await inside.choose(slot)
    again = await inside.search(CONFIG)
    assert slot not in again
    assert await inside.choose(again[0]) == again[0]


async def test_what_the_person_cancels_at_the_portal_is_listed_no_more_and_free_again(
    inside: Visit, page: Page, demo: DemoPortal
) -> None:
    slot = await inside.choose(await find(inside))
    number = await inside.confirm(slot)
    await inside.my_bookings()
    await page.get_by_role("button", name=f"Cancel {number}").click()
    await expect(page.get_by_text("You have no bookings.")).to_be_visible()
    assert list(await inside.my_bookings()) == []
    assert slot in await inside.search(CONFIG)
    assert [entry["number"] for entry in await demo.log("cancelled")] == [number]


async def test_a_time_that_is_listed_no_more_is_taken(inside: Visit) -> None:
    await find(inside)
    with pytest.raises(SlotTaken):
        await inside.choose(Slot(date(2031, 5, 1), time(8), "Gävle"))


async def test_another_time_than_was_asked_for_is_told_and_never_booked_for_it(
    inside: Visit, demo: DemoPortal
) -> None:
    slot = await find(inside)
    await demo.do("swap")
    kept = await inside.choose(slot)
    assert kept != slot
    with pytest.raises(SlotTaken):
        await inside.confirm(slot)
    assert await demo.log("clicked") == []
    assert slot in await inside.search(CONFIG)


async def test_a_time_that_is_kept_no_more_is_taken_and_nothing_booked(
    inside: Visit, demo: DemoPortal
) -> None:
    slot = await inside.choose(await find(inside))
    await demo.do("take", id=(await demo.log("kept"))[0]["time"])
    with pytest.raises(SlotTaken):
        await inside.confirm(slot)
    assert [entry["person"] for entry in await demo.log("booking-refused")] == ["D-0001"]
    assert await demo.booked() == {}


async def test_pages_that_load_themselves_anew_undo_nothing(
    visit: Visit, demo: DemoPortal, phone: Phone
) -> None:
    await demo.scenario(refresh_seconds=1.5)
    code = await shown(visit)
    async with visit.codes() as codes, asyncio.timeout(5):
        texts = {(await anext(codes)).text for _ in range(3)}
    assert len(texts) == 3
    assert {text.split(".")[1] for text in texts} == {code.text.split(".")[1]}
    async with visit.codes() as codes, asyncio.timeout(5):
        await phone.scan((await anext(codes)).text)
    await phone.confirm()
    await visit.signed_in()
    slot = (await visit.search(CONFIG))[0]
    kept = await visit.choose(slot)
    number = await visit.confirm(kept)
    assert [each.number for each in await visit.my_bookings()] == [number]
    assert await demo.booked() == {"D-0001": 1}


# Pictures


async def test_a_picture_shows_the_code_to_its_owner_alone(visit: Visit) -> None:
    code = await shown(visit)
    assert read(await visit.picture(with_code=True)).startswith(code.text.rsplit(".", 2)[0])
    assert read(await visit.picture(with_code=False)) == ""


def read(jpeg: bytes) -> str:
    image = Image.open(io.BytesIO(jpeg))
    return "".join(found.text for found in zxingcpp.read_barcodes(image))


# The phone's page


@asynccontextmanager
async def holdfast(visit: Visit, origin: str) -> AsyncIterator[str]:
    """What the phone's page asks of a server: ``qrCodes`` as an event stream, for a page of that origin."""
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": "authorization, content-type",
    }

    async def leave(_: web.Request) -> web.Response:
        return web.Response(headers=headers)

    async def codes(request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == "Bearer token"
        assert (await request.json())["variables"] == {"job": "job-1"}
        stream = web.StreamResponse(headers={**headers, "content-type": "text/event-stream"})
        await stream.prepare(request)
        async with visit.codes() as shown:
            async for code in shown:
                image = "data:image/png;base64," + base64.b64encode(code.image).decode()
                data = {"data": {"qrCodes": {"text": code.text, "imageDataUrl": image}}}
                await stream.write(f"event: next\ndata: {json.dumps(data)}\n\n".encode())
        return stream

    app = web.Application()
    app.router.add_options("/graphql", leave)
    app.router.add_post("/graphql", codes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_person_scans_the_codes_of_a_job_on_the_phones_page(
    visit: Visit, page: Page, demo: DemoPortal
) -> None:
    await shown(visit)
    complaints = Complaints()
    phone = await page.context.new_page()
    complaints.listen_to(phone)
    async with holdfast(visit, demo.url) as url:
        await phone.goto(f"{demo.url}/phone")
        await phone.get_by_label("Whose phone").fill("Ada Ahlgren")
        await phone.get_by_label("Holdfast", exact=True).fill(url)
        await phone.get_by_label("Access token").fill("token")
        await phone.get_by_label("Job id").fill("job-1")
        await phone.get_by_role("button", name="Watch").click()
        await expect(phone.get_by_role("img", name="The job's code")).to_be_visible()
        await phone.get_by_role("button", name="Scan now").click()
        said = phone.get_by_role("status")
        await expect(said).to_have_text("Scanned. Confirm that it is you.")
        await phone.get_by_role("button", name="Confirm").click()
        await expect(said).to_contain_text("Confirmed")
        assert (await visit.signed_in()).name == "Ada Ahlgren"
    assert complaints == []


async def test_a_code_can_be_pasted_into_the_phones_page(visit: Visit, page: Page, demo: DemoPortal) -> None:
    code = await shown(visit)
    phone = await page.context.new_page()
    await phone.goto(f"{demo.url}/phone")
    said = phone.get_by_role("status")
    await phone.get_by_label("Text of the code").fill("bankid.no.0.code")
    await phone.get_by_role("button", name="Scan", exact=True).click()
    await expect(said).to_have_text("This is no code of this portal.")
    await phone.get_by_label("Text of the code").fill(code.autostart_url or "")
    await phone.get_by_role("button", name="Scan", exact=True).click()
    await expect(said).to_contain_text("Scanned")
    await phone.get_by_role("button", name="Cancel").click()
    await expect(said).to_have_text("Cancelled.")
    with pytest.raises(LoginRefused):
        await visit.signed_in()
