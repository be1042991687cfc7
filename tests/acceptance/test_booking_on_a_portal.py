"""The story of a job as a person lives it: started in GraphiQL, its code scanned from the screen, and a booking."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.acceptance.conftest import RunningServer
from tests.automation.phone import CUSTOMER, Phone
from tests.chromium import Complaints, GraphiQLTab, chromium


@pytest.mark.browser
@pytest.mark.feature("S0.8", "S0.9", "S1.39", "S1.26")
async def test_a_code_on_the_screen_is_scanned_and_ends_in_a_confirmed_booking(
    running_server: RunningServer, tmp_path: Path
) -> None:
    complaints = Complaints()
    async with chromium() as browser, Phone(running_server.demo_portal, CUSTOMER) as phone:
        tab = await GraphiQLTab.open(browser, running_server.url, complaints)
        await tab.sign_in(running_server.customer_email, running_server.customer_password)
        await tab.run("StartJob")
        await expect(tab.result).to_contain_text('"AutomationJob"')

        await tab.run("WatchCodes")
        await expect(tab.picture).to_be_visible(timeout=20_000)
        await tab.screenshot(tmp_path / "code.png")
        # The phone refuses what is older than two seconds: whoever scans from a screen may have to try again.
        for _ in range(5):
            if (await phone.scan(await tab.scan())).hint == "userSign":
                break
        assert (await phone.confirm()).hint == "complete"
        await expect(tab.picture).to_have_count(0, timeout=10_000)

        await tab.run("WatchJob")
        await expect(tab.result).to_contain_text('"status": "COMPLETED"', timeout=20_000)
        await expect(tab.result).to_contain_text('"externalReference": "DLA-')
        await tab.screenshot(tmp_path / "booked.png")
    assert complaints == []
