"""The examples for automation as somebody tries them: a page of another site, and a receiver of webhooks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.acceptance import documents
from tests.acceptance.cluster import field_of
from tests.acceptance.conftest import EXAMPLES, RunningServer
from tests.acceptance.test_running import unused_port
from tests.automation.phone import Phone
from tests.chromium import Complaints, chromium, scan
from tests.clients import GraphQLHttp
from tests.processes import eventually, until

CREATE = """mutation ($url: URL!) {
  createWebhookEndpoint(input: { url: $url, types: ["automation.*"] }) {
    ... on WebhookEndpointSaved { secret endpoint { id } }
  }
}"""
TRY_OUT = """mutation ($id: ID!) {
  testWebhookEndpoint(input: { id: $id }) { ... on Delivery { status attempts { statusCode } } }
}"""


@contextmanager
def receiving(port: int, secret: str, log: Path) -> Iterator[None]:
    """examples/webhook-receiver.py under way; what it prints is in ``log``."""
    command = [sys.executable, str(EXAMPLES / "webhook-receiver.py"), str(port)]
    environment = os.environ | {"WEBHOOK_SECRET": secret}
    with log.open("wb") as said, subprocess.Popen(command, env=environment, stdout=said) as process:
        try:
            until(lambda: f":{port}/" in log.read_text())
            yield
        finally:
            process.terminate()


async def book(page: Page, server: RunningServer, email: str, password: str, phone: Phone) -> None:
    """Fill in examples/codes.html, hold a phone before it, and wait for the end."""
    await page.goto(f"{server.examples}/codes.html")
    await page.get_by_label("Holdfast").fill(server.graphql)
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Start").click()
    code = page.get_by_alt_text("Scan this")
    await expect(code).to_be_visible(timeout=20_000)
    # The phone refuses what is older than two seconds: whoever scans from a screen may have to try again.
    for _ in range(5):
        if (await phone.scan(await scan(page))).hint == "userSign":
            break
    assert (await phone.confirm()).hint == "complete"
    await expect(code).to_be_hidden(timeout=10_000)
    await expect(page.get_by_role("status")).to_contain_text("COMPLETED: Booked:", timeout=20_000)


@pytest.mark.browser
@pytest.mark.feature("S1.39", "S1.45", "S1.46")
async def test_the_example_page_books_and_the_example_receiver_is_told(
    running_server: RunningServer, tmp_path: Path
) -> None:
    # A person has one booking at the portal; that of the demo's customer is another test's.
    email, password = "provider@demo.example", running_server.passwords["provider"]
    port, log, complaints = unused_port(), tmp_path / "receiver.log", Complaints()
    async with GraphQLHttp(running_server.graphql) as http:
        session = await field_of(http.run(documents.LOGIN, {"email": email, "password": password}))
        token = session["accessToken"]
        saved = await field_of(http.run(CREATE, {"url": f"http://127.0.0.1:{port}/"}, token))
        with receiving(port, saved["secret"], log):
            tried = await field_of(http.run(TRY_OUT, {"id": saved["endpoint"]["id"]}, token))
            assert tried == {"status": "SUCCEEDED", "attempts": [{"statusCode": 204}]}
            async with (
                chromium() as browser,
                Phone(running_server.demo_portal, "Demo provider") as phone,
            ):
                page = await browser.new_page()
                complaints.listen_to(page)
                await book(page, running_server, email, password, phone)
            await eventually(lambda: "automation.completed" in log.read_text())
    assert complaints == []
    told = [line.split()[0] for line in log.read_text().splitlines()[1:]]
    assert told[:3] == ["webhook.tested", "automation.queued", "automation.started"]
    assert told[-1] == "automation.completed"
