"""The phone: what a person's BankID app does, as a page and as a small JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from automation.demo_portal import markup
from automation.demo_portal.orders import ScanRefused
from automation.demo_portal.people import PEOPLE, Person, person_of
from automation.demo_portal.portal import Portal
from automation.demo_portal.site import POLICY

# It may call a Holdfast, wherever that is, to watch a job's codes.
PHONE_POLICY = POLICY.replace("connect-src 'self'", "connect-src 'self' http: https:") + "'none'"


class Phone:
    """The phone over one portal."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> list[BaseRoute]:
        """Its addresses."""
        return [
            Route("/phone", self._page),
            Route("/phone/api/scan", self._scan, methods=["POST"]),
            Route("/phone/api/confirm", self._confirm, methods=["POST"]),
            Route("/phone/api/cancel", self._cancel, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(_page(), headers={"content-security-policy": PHONE_POLICY})

    async def _scan(self, request: Request) -> Response:
        asked = await _asked(request)
        try:
            self._portal.scan(str(asked.get("text", "")), _person(asked))
        except ScanRefused as refused:
            return JSONResponse({"hint": refused.hint, "age": refused.age}, 409)
        return JSONResponse({"hint": "userSign"})

    async def _confirm(self, request: Request) -> Response:
        return _told(self._portal.confirm(_person(await _asked(request))), "complete")

    async def _cancel(self, request: Request) -> Response:
        return _told(self._portal.cancel(_person(await _asked(request))), "userCancel")


def _told(done: bool, hint: str) -> Response:
    """Whether there was an order that waited for this person."""
    return JSONResponse({"hint": hint}) if done else JSONResponse({"hint": "noOrder"}, 409)


async def _asked(request: Request) -> Mapping[str, object]:
    # A page of another site could send a form here, but no JSON without our leave.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415)
    try:
        asked = await request.json()
    except ValueError:
        raise HTTPException(400) from None
    if not isinstance(asked, dict):
        raise HTTPException(400)
    return asked


def _person(asked: Mapping[str, object]) -> Person:
    """``person`` is a name, with or without a ``number``."""
    name, number = asked.get("person"), asked.get("number")
    if not isinstance(name, str) or not name.strip():
        raise HTTPException(400, "say who holds the phone: person")
    return person_of(name.strip(), str(number) if number else None)


def _page() -> str:
    people = "".join(f"<option>{escape(person.name)}</option>" for person in PEOPLE)
    return markup.shell("Phone", _BODY.replace("PEOPLE", people), scripts=("phone.js",))


_BODY = """
<p>This is the demo's BankID app: a real phone knows nothing of this portal. It refuses a code that is older than two
seconds, as a real one does.</p>
<label for="person">Whose phone</label>
<input id="person" list="people" value="Demo customer" autocomplete="off"><datalist id="people">PEOPLE</datalist>

<h2>Watch a Holdfast job</h2>
<form class="watch">
<label for="holdfast">Holdfast</label><input id="holdfast" type="url" value="http://127.0.0.1:8000" size="40" required>
<label for="token">Access token</label><input id="token" type="password" size="40" autocomplete="off" required>
<label for="job">Job id</label><input id="job" size="40" autocomplete="off" required>
<p><button>Watch</button></p>
</form>
<div class="qrcode"></div>
<div class="row"><button class="now" disabled>Scan now</button><button class="confirm">Confirm</button>
<button class="cancel quiet">Cancel</button></div>
<p role="status">Nothing is scanned.</p>

<h2>Or paste a code</h2>
<form class="paste"><label for="text">Text of the code, or the bankid: link</label>
<textarea id="text" rows="3" required></textarea><p><button>Scan</button></p></form>
"""
