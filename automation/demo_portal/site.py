"""The site: its addresses and what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from automation.demo_portal.code_events import code_events
from automation.demo_portal.diary import Happening
from automation.demo_portal.pages import LICENCES, MOST_PLACES, Pages
from automation.demo_portal.people import Person
from automation.demo_portal.portal import Page, Portal, Session, Trouble, TroubleKind
from automation.demo_portal.times import EXAMS, Taken

COOKIE = "demo-portal"
OTHER_NAME = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}

Answer = Callable[["Visitor"], Awaitable[Response]]


class Visitor:
    """One request, of somebody or of a stranger."""

    def __init__(self, portal: Portal, request: Request) -> None:
        self.portal = portal
        self.request = request
        self.session = portal.session(request.cookies.get(COOKIE))
        consent = "consent" in request.cookies
        person = self.session.person if self.session else None
        self.pages = Pages(portal.scenario, consent=consent, person=person)

    @property
    def signed_in(self) -> tuple[Session, Person] | None:
        """Session and person."""
        if self.session is None or self.session.person is None:
            return None
        return self.session, self.session.person

    async def form(self) -> dict[str, str]:
        """What was sent."""
        return dict(parse_qsl((await self.request.body()).decode(errors="replace")))


class Site:
    """The pages that people see, over one portal."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> list[BaseRoute]:
        """Its addresses."""
        page = self._page
        return [
            Route("/", page(Page.FRONT, _front)),
            Route("/login", page(Page.LOGIN, _login)),
            Route("/login", page(Page.LOGIN, _begin_login), methods=["POST"]),
            Route("/login/code", page(Page.CODE, _code)),
            Route("/login/done", page(Page.CODE, _done)),
            Route("/login/{login}/frame", self._frame),
            Route("/login/{login}/events", self._events),
            Route("/times", page(Page.TIMES, _times)),
            Route("/kept", page(Page.KEEP, _keep), methods=["POST"]),
            Route("/kept", page(Page.KEPT, _kept)),
            Route("/bookings", page(Page.BOOK, _book), methods=["POST"]),
            Route("/bookings", page(Page.BOOKINGS, _bookings)),
            Route("/cancelled", page(Page.BOOKINGS, _cancel), methods=["POST"]),
            Route("/booked/{number}", page(Page.BOOKED, _booked)),
            Route("/sign-out", page(Page.FRONT, _sign_out), methods=["POST"]),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]

    def _page(self, page: Page, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            portal = self._portal
            if portal.scenario.slow_seconds:
                await asyncio.sleep(portal.scenario.slow_seconds)
            visitor = Visitor(portal, request)
            trouble = portal.trouble(page)
            if trouble is None or trouble.after:
                response = await answer(visitor)
            if trouble is not None:
                await asyncio.sleep(trouble.seconds)
                if trouble.kind is TroubleKind.SLOW:
                    return response if trouble.after else await answer(visitor)
                return _in_trouble(visitor, trouble)
            return response

        return endpoint

    async def _frame(self, request: Request) -> Response:
        login = self._portal.login(request.path_params["login"])
        if login is None:
            raise HTTPException(404)
        pages = Pages(self._portal.scenario, consent=True)
        return HTMLResponse(pages.frame(login.id), headers={"content-security-policy": FRAMED})

    async def _events(self, request: Request) -> Response:
        login = self._portal.login(request.path_params["login"])
        if login is None:
            raise HTTPException(404)
        return StreamingResponse(
            code_events(self._portal, login),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )


LOOPBACK = "http://127.0.0.1:* http://localhost:*"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    f" form-action 'self'; base-uri 'none'; frame-src {LOOPBACK}; frame-ancestors "
)
GUARDED = POLICY + "'none'"
FRAMED = POLICY + LOOPBACK


async def _front(visitor: Visitor) -> Response:
    return HTMLResponse(visitor.pages.front())


async def _login(visitor: Visitor) -> Response:
    return HTMLResponse(visitor.pages.login())


async def _begin_login(visitor: Visitor) -> Response:
    form = await visitor.form()
    if visitor.session is not None:
        visitor.portal.end(visitor.session)
    session = visitor.portal.begin_login()
    device = "" if form.get("device") == "another" else "?device=this"
    return _with_cookie(_to(f"/login/code{device}"), session)


async def _code(visitor: Visitor) -> Response:
    session = visitor.session
    if session is None or session.login is None:
        return HTMLResponse(visitor.pages.signed_out())
    url = visitor.request.url
    host = OTHER_NAME.get(url.hostname or "", url.hostname)
    frame = str(url.replace(hostname=host, path=f"/login/{session.login.id}/frame", query=""))
    other_device = visitor.request.query_params.get("device") != "this"
    return HTMLResponse(visitor.pages.code(session.login.id, frame, other_device=other_device))


async def _done(visitor: Visitor) -> Response:
    signed_in = visitor.session and visitor.portal.finish_login(visitor.session)
    return _with_cookie(_to("/times"), signed_in) if signed_in else _to("/login")


async def _times(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    asked = visitor.request.query_params
    licence, exam, places = asked.get("licence"), asked.get("exam"), asked.getlist("place")
    if licence not in LICENCES or exam not in EXAMS:
        return HTMLResponse(visitor.pages.times("", "", places, None))
    if len(places) > MOST_PLACES:
        raise HTTPException(400)
    found = visitor.portal.times.free(exam, places)
    visitor.portal.diary.note(Happening.SEARCHED, who[1].number, exam=exam, places=places, found=len(found))
    return HTMLResponse(visitor.pages.times(licence, exam, places, found))


async def _keep(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    form = await visitor.form()
    try:
        visitor.portal.keep(*who, id=form.get("time", ""), licence=form.get("licence", ""))
    except Taken:
        return HTMLResponse(visitor.pages.taken())
    return _to("/kept")


async def _kept(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    session, _ = who
    return HTMLResponse(visitor.pages.kept(visitor.portal.times.kept(session.token), session.licence))


async def _book(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    try:
        booking = visitor.portal.book(*who)
    except Taken:
        return HTMLResponse(visitor.pages.lapsed())
    return _to(f"/booked/{booking.number}")


async def _booked(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    for booking in visitor.portal.bookings_of(who[1]):
        if booking.number == visitor.request.path_params["number"]:
            return HTMLResponse(visitor.pages.booked(booking))
    raise HTTPException(404)


async def _bookings(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    return HTMLResponse(visitor.pages.bookings(visitor.portal.bookings_of(who[1])))


async def _cancel(visitor: Visitor) -> Response:
    if (who := visitor.signed_in) is None:
        return HTMLResponse(visitor.pages.signed_out())
    visitor.portal.cancel_booking(who[1], (await visitor.form()).get("number", ""))
    return _to("/bookings")


async def _sign_out(visitor: Visitor) -> Response:
    if who := visitor.signed_in:
        visitor.portal.end(who[0])
        visitor.portal.diary.note(Happening.SIGNED_OUT, who[1].number)
    response = _to("/")
    response.delete_cookie(COOKIE)
    return response


def _in_trouble(visitor: Visitor, trouble: Trouble) -> Response:
    match trouble.kind:
        case TroubleKind.MAINTENANCE:
            return HTMLResponse(visitor.pages.maintenance(), 503)
        case TroubleKind.CAPTCHA:
            return HTMLResponse(visitor.pages.captcha())
        case TroubleKind.SIGNED_OUT:
            if visitor.session is not None:
                visitor.portal.end(visitor.session)
            return HTMLResponse(Pages(visitor.portal.scenario, consent=True).signed_out())
        case TroubleKind.BROKEN:
            return PlainTextResponse("Bad gateway", 502)
        case TroubleKind.UNDONE:
            return _to("/times")
        case _:
            return HTMLResponse(visitor.pages.error(), 500)


def _to(path: str) -> Response:
    return RedirectResponse(path, 303)


def _with_cookie(response: Response, session: Session) -> Response:
    response.set_cookie(COOKIE, session.token, httponly=True, samesite="lax")
    return response
