"""The story of the examples in a real browser: find, watch, reserve, book, cancel, and see it happen."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from playwright.async_api import Browser, expect

from tests.chromium import Complaints, GraphiQLTab, chromium


class RunningServer(Protocol):
    url: str
    customer_email: str
    customer_password: str


@pytest.mark.browser
@pytest.mark.feature("S2.18", "S4.28")
@pytest.mark.parametrize("signed_in", [True, False], ids=["customer", "guest"])
async def test_a_reservation_in_one_browser_tab_is_seen_in_another(
    running_server: RunningServer, tmp_path: Path, signed_in: bool
) -> None:
    complaints = Complaints()
    async with chromium() as browser:
        watcher = await _with_a_departure(browser, running_server, complaints, signed_in)
        await watcher.run("WatchSeats")
        await expect(watcher.result).to_contain_text("SeatSnapshot")

        buyer = await _with_a_departure(browser, running_server, complaints, signed_in)
        await buyer.run("ReserveSeats")
        await expect(buyer.result).to_contain_text('"status": "ACTIVE"')
        await expect(watcher.result).to_contain_text('"status": "HELD"')
        await watcher.screenshot(tmp_path / "watching.png")

        await buyer.run("BookSeats")
        await expect(buyer.result).to_contain_text('"status": "CONFIRMED"')
        await expect(watcher.result).to_contain_text('"status": "BOOKED"')

        await buyer.run("CancelBooking")
        await expect(buyer.result).to_contain_text('"status": "CANCELLED"')
        await expect(watcher.result).to_contain_text('"status": "AVAILABLE"')
        await buyer.screenshot(tmp_path / "cancelled.png")
    assert complaints == []


async def _with_a_departure(
    browser: Browser, server: RunningServer, complaints: Complaints, signed_in: bool
) -> GraphiQLTab:
    tab = await GraphiQLTab.open(browser, server.url, complaints)
    if signed_in:
        await tab.sign_in(server.customer_email, server.customer_password)
    await tab.run("FindDepartures")
    await expect(tab.result).to_contain_text('"ON_SALE"')
    return tab
