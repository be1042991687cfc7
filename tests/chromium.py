"""Chromium for tests: found on the machine, watched for whatever it complains about."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from automation.browsers.program import find_browser
from tests.processes import missing

# CodeMirror draws only what can be seen: here that is everything.
TALL: ViewportSize = {"width": 1440, "height": 1600}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running Chromium. Without one on the machine the test fails in CI and is skipped elsewhere."""
    async with async_playwright() as playwright:
        executable = find_browser() or missing(
            "No Chromium on this machine: `holdfast doctor` says how to get one."
        )
        # The shell would keep frames of other sites in the page's process, where a whole browser gives them their own.
        arguments = ["--disable-background-networking", "--disable-component-update", "--site-per-process"]
        # Chromium's sandbox refuses to run as root.
        sandboxed = os.geteuid() != 0
        browser = await playwright.chromium.launch(
            executable_path=executable, args=arguments, chromium_sandbox=sandboxed
        )
        try:
            yield browser
        finally:
            await browser.close()


class Complaints(list[str]):
    """The errors and warnings in the console of a page (CSP violations among them), and what it threw."""

    def listen_to(self, page: Page) -> None:
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.append(text)


async def scan(page: Page) -> str:
    """Read the code on the screen, as a phone that is held before it does; empty if there is none to read."""
    seen = Image.open(io.BytesIO(await page.screenshot()))
    return next((code.text for code in zxingcpp.read_barcodes(seen)), "")


class GraphiQLTab:
    """A browser tab with GraphiQL in it, used as a person does: tabs, editors, the execute button."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.result = page.locator(".result-window .CodeMirror")
        self.picture = page.get_by_role("img", name="the newest picture of the result")

    @classmethod
    async def open(cls, browser: Browser, url: str, complaints: Complaints) -> GraphiQLTab:
        return await cls.on(await browser.new_page(viewport=TALL), url, complaints)

    @classmethod
    async def on(cls, page: Page, url: str, complaints: Complaints) -> GraphiQLTab:
        complaints.listen_to(page)
        await page.goto(f"{url}/graphql")
        await page.locator(".graphiql-query-editor .CodeMirror-code").wait_for()
        return cls(page)

    async def choose(self, name: str) -> None:
        await self.page.locator(".graphiql-tab-button", has_text=name).click()

    async def execute(self) -> None:
        await self.page.get_by_role("button", name="Execute query").click()

    async def run(self, name: str) -> None:
        await self.choose(name)
        await self.execute()

    async def write_variables(self, text: str) -> None:
        await self._write("Variables", text)

    async def write_headers(self, text: str) -> None:
        await self._write("Headers", text)

    async def sign_in(self, email: str, password: str) -> None:
        await self.choose("SignIn")
        await self.write_variables(f'{{"email": "{email}", "password": "{password}"}}')
        await self.execute()
        await self.page.get_by_text(f"signed in as {email}").wait_for()

    async def scan(self) -> str:
        """Read the code on the screen; empty if there is none to read."""
        return await scan(self.page)

    async def screenshot(self, path: Path) -> None:
        await self.page.screenshot(path=path)

    async def _write(self, editor: str, text: str) -> None:
        await self.page.get_by_role("button", name=editor, exact=True).click()
        await self.page.locator(".graphiql-editor-tool .CodeMirror:visible").click()
        await self.page.keyboard.press("ControlOrMeta+a")
        await self.page.keyboard.insert_text(text)
