"""A page reaches its portal's origins and nothing else, whatever it tries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from automation.browsers import reach as reaching
from automation.browsers.reach import REFUSED, open_reach, place_of
from domain.portals import PortalChanged
from tests.automation.visiting import browsing, site

pytestmark = [pytest.mark.timeout(60)]
PROBER = Path(__file__).with_name("prober.js").read_text()


@dataclass
class Forbidden:
    """A place on this machine that hears whoever comes, over TCP and UDP alike."""

    port: int = 0
    heard: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Our machine, as many ways of writing it as there are."""
        hosts = (
            "127.0.0.1",
            "localhost",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "127.0.0.2",
            "x.localhost",
            "[::1]",
        )
        return [f"http://{host}:{self.port}/" for host in (*hosts, "[::ffff:127.0.0.1]")]


@asynccontextmanager
async def forbidden() -> AsyncIterator[Forbidden]:
    there = Forbidden()

    def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.heard.append("tcp")
        writer.close()

    class Ear(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            there.heard.append("udp")

    listening = socket.socket(socket.AF_INET6)
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listening.bind(("::", 0))
    server = await asyncio.start_server(come, sock=listening)
    there.port = server.sockets[0].getsockname()[1]
    ear, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ear, ("127.0.0.1", there.port))
    try:
        yield there
    finally:
        ear.close()
        server.close()


async def probe(page: Page, there: Forbidden) -> None:
    elsewhere = ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://10.0.0.1/"]
    stun = [
        f"{kind}:127.0.0.1:{there.port}{how}" for kind in ("stun", "turn") for how in ("", "?transport=tcp")
    ]
    stun = [at for at in stun if not at.startswith("stun:") or "?" not in at]
    await page.evaluate(PROBER, {"http": [*there.names, *elsewhere], "stun": stun})


@pytest.mark.browser
async def test_a_page_that_tries_everything_reaches_only_its_portal(tmp_path: Path) -> None:
    async with (
        site() as portal,
        forbidden() as there,
        browsing(tmp_path / "run", portal.origin) as here,
        here.visit() as visit,
    ):
        await visit.arrive()
        await probe(visit.page, there)
        assert there.heard == []
        assert any(path.startswith("/to/") for path in portal.asked)


@pytest.mark.browser
async def test_the_same_page_would_be_heard_by_whoever_may_be_reached(tmp_path: Path) -> None:
    """The other test could not fail if its page reached nothing at all."""
    async with (
        site() as portal,
        forbidden() as there,
        browsing(tmp_path / "run", portal.origin, f"http://127.0.0.1:{there.port}") as here,
        here.visit() as visit,
    ):
        await visit.arrive()
        await probe(visit.page, there)
        assert there.heard.count("tcp") > 10


@pytest.mark.browser
async def test_no_page_leads_to_files_or_to_pages_without_a_place(tmp_path: Path) -> None:
    secret = tmp_path / "secret.html"
    secret.write_text("<title>secret</title>")
    async with site() as portal, browsing(tmp_path / "run", portal.origin) as here, here.visit() as visit:
        page = visit.page
        for url in (
            secret.as_uri(),
            f"view-source:{secret.as_uri()}",
            "data:text/html,<title>secret</title>",
        ):
            for lead in (
                "(url) => { location = url }",
                "(url) => { const a = document.createElement('a'); a.href = url; document.body.append(a); a.click() }",
                "(url) => { window.open(url) }",
                "(url) => { location = '/to/?url=' + encodeURIComponent(url) }",
            ):
                await arrived(visit)
                await page.evaluate(lead, url)
                with contextlib.suppress(PlaywrightError):
                    await page.wait_for_url(url, timeout=100)
                assert "secret" not in [await each.title() for each in page.context.pages]
            await arrived(visit)
            read = "(url) => fetch(url).then((answer) => answer.text(), () => 'refused')"
            if not url.startswith("data:"):
                assert await page.evaluate(read, url) == "refused"


async def arrived(visit: Any) -> None:
    """Go to the portal, past what the page is still trying."""
    while True:
        with contextlib.suppress(PortalChanged):
            await visit.arrive()
            return


async def asked(port: int, host: str, to: int) -> int:
    """What the server of a context answers to a browser that wants to go there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        name = host.encode()
        writer.write(b"\5\1\0" + b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack("!H", to))
        await reader.readexactly(2)
        return (await reader.readexactly(10))[1]
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
)
async def test_a_name_of_the_portal_that_leads_inside_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as portal, open_reach([f"http://portal.example:{portal.port}"]) as reach:
        resolve(monkeypatch, [[address]])
        assert await asked(reach.port, "portal.example", portal.port) == REFUSED
        assert reach.refused == 1


async def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_reach(["https://portal.example"]) as reach:
        resolve(monkeypatch, [["93.184.216.34", "127.0.0.1"]])
        assert await asked(reach.port, "portal.example", 443) == REFUSED


async def test_what_was_judged_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves differently the second time gains nothing."""
    connected: list[str] = []

    async def connect(host: str, port: int) -> None:
        connected.append(host)
        raise OSError

    async with open_reach(["https://portal.example"]) as reach:
        lookups = resolve(monkeypatch, [["93.184.216.34"], ["127.0.0.1"]])
        real = asyncio.open_connection

        async def either(host: str, port: int) -> object:
            return await (real(host, port) if port == reach.port else connect(host, port))

        monkeypatch.setattr(asyncio, "open_connection", either)
        await asked(reach.port, "portal.example", 443)
        assert connected == ["93.184.216.34"]
        assert lookups == ["portal.example"]


@pytest.mark.parametrize(
    ("host", "port"), [("portal.example", 80), ("other.example", 443), ("portal.example.", 443), ("", 443)]
)
async def test_another_name_or_port_is_never_looked_up(
    host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_reach(["https://portal.example"]) as reach:
        lookups = resolve(monkeypatch, [["93.184.216.34"]])
        assert await asked(reach.port, host, port) == REFUSED
        assert lookups == []


async def test_what_is_no_socks_is_hung_up_on() -> None:
    async with open_reach(["https://portal.example"]) as reach:
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\4\1\0", b"\5\1\0\5\2\0\1", b"\5\1\0\5\1\0\7"):
            reader, writer = await asyncio.open_connection("127.0.0.1", reach.port)
            writer.write(nonsense)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) in (b"", b"\5\0")
            writer.close()


def test_an_origin_has_a_place() -> None:
    assert place_of("https://Portal.example") == ("portal.example", 443)
    assert place_of("http://[::1]:81") == ("::1", 81)
    with pytest.raises(ValueError, match="no origin"):
        place_of("portal.example")


def resolve(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> list[str]:
    """Let names resolve to these, one answer after another; who was asked for."""
    lookups: list[str] = []

    async def addresses(place: tuple[str, int]) -> list[str]:
        lookups.append(place[0])
        return answers[min(len(lookups), len(answers)) - 1]

    monkeypatch.setattr(reaching, "_addresses", addresses)
    return lookups
