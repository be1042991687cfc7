"""What the page does in a real browser, against a server that remembers who asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from holdfast.graphiql import HERE, graphiql
from tests.chromium import TALL, Complaints, GraphiQLTab, chromium
from tests.holdfast.graphiql_stand_in import StandIn
from tests.processes import missing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

EMAIL = "customer@demo.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def browser(running_browser: Browser) -> AsyncIterator[Browser]:
    """Give a browser in which each page is the first of a profile of its own."""
    yield running_browser
    for context in running_browser.contexts:
        await context.close()


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[StandIn]:
    if not (HERE / "dist").is_dir():
        missing("GraphiQL is not built: run `npm ci && npm run build` in holdfast/graphiql.")
    async with StandIn(graphiql()).serve() as server:
        yield server


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - what it waits for is in a browser and has no event
            await asyncio.sleep(0.02)


async def _has_asked(server: StandIn, field: str, authorization: str | None) -> None:
    async def asked() -> bool:
        return (field, authorization) in server.asked

    await _until(asked)


async def test_each_example_carries_on_with_what_the_one_before_found(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.sign_in(EMAIL, "secret")
    await tab.run("FindDepartures")
    await expect(tab.result).to_contain_text("schedule-2")
    await tab.run("WatchSeats")
    await expect(tab.result).to_contain_text('"schedule-1"')
    await tab.run("ReserveSeats")
    await expect(tab.result).to_contain_text('"reservation-1"')
    await tab.run("BookSeats")
    await expect(tab.result).to_contain_text('"CONFIRMED"')
    await tab.run("CancelBooking")
    await expect(tab.result).to_contain_text('"CANCELLED"')
    assert server.given == ["schedule-1", "schedule-1", "reservation-1", "booking-1"]
    assert complaints == []


async def test_a_login_code_is_drawn_to_be_scanned_until_its_stream_ends(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.run("StartJob")
    await expect(tab.result).to_contain_text('"job-1"')
    await tab.run("WatchCodes")
    await expect(tab.picture).to_be_visible()
    assert await tab.scan() == "code 1"
    server.scanned.set()
    await expect(tab.picture).to_have_count(0)
    assert server.given == ["job-1"]
    assert complaints == []


async def test_an_id_that_nobody_saw_is_asked_for(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.run("ReserveSeats")
    await expect(tab.result).to_contain_text("No Schedule was seen on this page yet")
    assert server.asked == []


async def test_everything_is_signed_in_until_sign_out(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.sign_in(EMAIL, "secret")
    await tab.run("FindDepartures")
    await expect(tab.result).to_contain_text("schedule-1")
    await tab.run("WatchSeats")
    await expect(tab.result).to_contain_text("SeatSnapshot")
    await tab.page.get_by_role("button", name="sign out").click()
    await expect(tab.page.get_by_role("status")).to_have_text("not signed in")
    await _has_asked(server, "seatChanges", None)
    await _has_asked(server, "logout", None)
    assert server.asked[:3] == [
        ("login", None),
        ("schedules", "Bearer access-1"),
        ("seatChanges", "Bearer access-1"),
    ]
    assert complaints == []


async def test_a_typed_authorization_wins_over_the_session(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.sign_in(EMAIL, "secret")
    await tab.choose("FindDepartures")
    await tab.write_headers('{"authorization": "Bearer typed"}')
    await tab.execute()
    await expect(tab.result).to_contain_text("schedule-1")
    await tab.choose("WatchSeats")
    await tab.write_headers('{"Authorization": "Bearer typed"}')
    await tab.execute()
    await expect(tab.result).to_contain_text("SeatSnapshot")
    assert server.asked[1:] == [("schedules", "Bearer typed"), ("seatChanges", "Bearer typed")]


async def test_a_token_is_renewed_before_its_end_and_the_socket_follows(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    server.token_life = timedelta(seconds=3)
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.sign_in(EMAIL, "secret")
    await tab.run("FindDepartures")
    await expect(tab.result).to_contain_text("schedule-1")
    await tab.run("WatchSeats")
    await _has_asked(server, "seatChanges", "Bearer access-2")
    assert server.asked.index(("refreshSession", None)) > server.asked.index(
        ("seatChanges", "Bearer access-1")
    )
    assert complaints == []


async def test_nothing_typed_or_received_outlives_the_browser_tab(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    await tab.sign_in(EMAIL, "secret")
    assert await tab.page.evaluate("() => JSON.stringify(localStorage)") == "{}"
    assert "access-1" not in await tab.page.evaluate("() => JSON.stringify(sessionStorage)")


async def test_a_reload_finds_the_tabs_as_they_were(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    stored = "() => sessionStorage.getItem('graphiql:tabState') !== null"
    await _until(lambda: tab.page.evaluate(stored))
    await tab.page.reload()
    await expect(tab.page.locator(".graphiql-tab-button")).to_have_count(9)
    await expect(tab.page.locator(".graphiql-editor-tool")).to_contain_text(EMAIL)


async def test_the_dialogs_break_no_rule_of_the_policy(
    browser: Browser, server: StandIn, complaints: Complaints
) -> None:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    for dialog in ("Open settings dialog", "Open short keys dialog"):
        await tab.page.get_by_label(dialog).click()
        await expect(tab.page.get_by_role("dialog")).to_be_visible()
        await tab.page.keyboard.press("Escape")
        await expect(tab.page.get_by_role("dialog")).to_have_count(0)
    await tab.page.get_by_label("Show Documentation Explorer").click()
    await expect(tab.page.get_by_text("Root Types")).to_be_visible()
    assert complaints == []


async def test_the_chosen_operation_is_read_from_the_text(
    browser: Browser, tmp_path: Path, complaints: Complaints
) -> None:
    document = '# query No\nquery A($i: I = {a: "}"}) { subscription } subscription B { x { mutation } }'
    async with StandIn(graphiql(tmp_path)).serve() as server:
        page = await browser.new_page()
        await page.goto(f"{server.url}/graphql/assets/document.js")
        chosen = await page.evaluate(
            """async (document) => {
              const { chosenOperation } = await import("/graphql/assets/document.js");
              return ["A", "B", "gone"].map((name) => chosenOperation(document, name))
                .concat(chosenOperation("{ a }"));
            }""",
            document,
        )
    query, subscription = {"type": "query", "name": "A"}, {"type": "subscription", "name": "B"}
    assert chosen == [query, subscription, query, {"type": "query"}]


def _cdn(packages: Path, tamper: bytes = b"") -> Callable[[Route], object]:
    async def serve(route: Route) -> None:
        name, path = re.split(r"@[^/]+/", route.request.url.split("/npm/")[1])
        kind = "text/css" if path.endswith(".css") else "text/javascript"
        headers = {"access-control-allow-origin": "*", "content-type": kind}
        await route.fulfill(body=(packages / name / path).read_bytes() + tamper, headers=headers)

    return serve


@pytest.fixture
def packages() -> Path:
    """The npm packages, which stand for the CDN: nothing leaves the machine."""
    if not (HERE / "node_modules").is_dir():
        missing("No npm packages to stand for the CDN: run `npm ci` in holdfast/graphiql.")
    return HERE / "node_modules"


async def test_without_a_build_the_libraries_come_from_the_cdn(
    browser: Browser, tmp_path: Path, packages: Path, complaints: Complaints
) -> None:
    async with StandIn(graphiql(tmp_path)).serve() as server:
        page = await browser.new_page(viewport=TALL)
        await page.route("https://cdn.jsdelivr.net/**", _cdn(packages))
        tab = await GraphiQLTab.on(page, server.url, complaints)
        await tab.sign_in(EMAIL, "secret")
        await tab.run("FindDepartures")
        await expect(tab.result).to_contain_text("schedule-1")
        await tab.run("WatchSeats")
        await expect(tab.result).to_contain_text("SeatSnapshot")
        await tab.page.get_by_label("Open settings dialog").click()
        await expect(tab.page.get_by_role("dialog")).to_be_visible()
        assert [complaint for complaint in complaints if "Content Security Policy" in complaint] == []


async def test_a_library_that_the_cdn_changed_is_not_run(
    browser: Browser, tmp_path: Path, packages: Path, complaints: Complaints
) -> None:
    async with StandIn(graphiql(tmp_path)).serve() as server:
        page = await browser.new_page()
        complaints.listen_to(page)
        await page.route("https://cdn.jsdelivr.net/**", _cdn(packages, tamper=b"\n"))
        await page.goto(f"{server.url}/graphql")
        assert sum("'integrity' attribute" in complaint for complaint in complaints) == 5
        assert await page.locator(".graphiql-container").count() == 0
