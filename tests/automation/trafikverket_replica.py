"""A small site of our own hand that behaves as public sources say Trafikverket's booking does: one page, drawn anew.

What it does next is said by its fields; what it was asked for is kept in ``asked``.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.automation.code_page import png_of

Line = dict[str, str]

OVER = {"status": 200, "type": "LoginRequiredException", "data": None}
"""How it says that a session is over."""

PAGE = Path(__file__).with_name("trafikverket_replica.html").read_text("utf-8")


@dataclass
class Replica:
    """The site, as it is to behave."""

    times: list[Line] = field(default_factory=list)
    person: str = "Astrid Exempel"
    phone: str = "+46 70 111 22 33"
    login: str = "waiting"
    """``waiting``, ``signed``, or what it says when it ends otherwise."""
    notice: str = ""
    keeps: list[Line] = field(default_factory=list)
    """What it keeps in place of what is chosen, one after the other."""
    taken: bool = False
    lapsed: bool = False
    inside: bool = False
    kept: Line | None = None
    booked: list[Line] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    cookies: bool = True
    port: int = 0
    _frame: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/Boka/ng/"

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def answer(self, request: web.Request) -> web.Response:
        path, body = request.match_info["path"], await request.json()
        self.asked.append((path, body))
        told = getattr(self, "_" + path.replace("-", "_"))(body)
        return web.Response(status=204) if told is None else web.json_response(told)

    def _start(self, _: Line) -> Line:
        cookies, self.cookies = self.cookies, False
        return {
            "notice": self.notice,
            "name": self.person if self.inside else "",
            "cookies": "yes" if cookies else "",
        }

    def _login(self, _: Line) -> Line:
        if self.login == "signed":
            self.inside = True
            return {"name": self.person}
        if self.login != "waiting":
            return {"said": self.login}
        self._frame += 1
        return {"picture": f"data:image/png;base64,{base64.b64encode(png_of(self._frame)).decode()}"}

    def _logout(self, _: Line) -> Line:
        self.inside = False
        return {}

    def _occasion_bundles(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if not self.inside:
            return OVER
        return {"data": [each for each in self.times if each["place"] in wanted["places"]]}

    def _create_reservation(self, line: Line) -> dict[str, Any] | None:
        if self.taken:
            return {"status": 409}
        self.kept = self.keeps.pop(0) if self.keeps else line
        return None

    def _reservation(self, _: Line) -> dict[str, Any]:
        return {"data": self.kept} if self.inside else OVER

    def _contact(self, _: Line) -> Line:
        return {"phone": self.phone}

    def _confirm(self, _: Line) -> Line:
        if self.lapsed or self.kept is None:
            return {}
        self.booked.append(self.kept | {"number": "FP2027-4711"})
        return {"number": "FP2027-4711"}

    def _bookings(self, _: Line) -> dict[str, Any]:
        return {"data": self.booked}


@asynccontextmanager
async def replica(*times: Line, **more: Any) -> AsyncIterator[Replica]:
    """Serve it on a free port."""
    served = Replica(list(times), **more)
    app = web.Application()
    app.router.add_get("/Boka/ng/", served.page)
    app.router.add_post("/Boka/{path}", served.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.port = runner.addresses[0][1]
    try:
        yield served
    finally:
        await runner.cleanup()
