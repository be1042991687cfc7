"""The site's pages, as HTML."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from automation.demo_portal import markup
from automation.demo_portal.markup import button, facts, shell, table
from automation.demo_portal.orders import Hint
from automation.demo_portal.people import Person
from automation.demo_portal.portal import Booking
from automation.demo_portal.scenario import CodeLayout, Scenario
from automation.demo_portal.times import EXAMS, PLACES, Kept, Time

LICENCES = ("AM", "A1", "A2", "A", "B", "BE", "C")
MOST_PLACES = 4

MESSAGES = {
    Hint.OUTSTANDING: "Start the BankID app and scan the code.",
    Hint.START_FAILED: "The code was too old when it was scanned. Scan the one that is shown now.",
    Hint.USER_SIGN: "Write your security code in the BankID app.",
    Hint.USER_CANCEL: "You cancelled in the BankID app.",
    Hint.EXPIRED: "The BankID app was not used in time. Please try again.",
    Hint.COMPLETE: "You are signed in.",
}


class Pages:
    """Makes pages under a scenario; ``consent`` is whether the cookie bar has been answered."""

    def __init__(self, scenario: Scenario, *, consent: bool, person: Person | None = None) -> None:
        self._scenario = scenario
        self._cookies = "" if consent else markup.cookie_bar(self._label("Accept necessary cookies"))
        self._person = person

    def front(self) -> str:
        """Where everybody arrives."""
        return self._page(
            "Welcome",
            "<p>Book your driving test and your theory test here.</p>"
            f'<p><a class="button" href="/login">{escape(self._label("Log in"))}</a></p>',
        )

    def login(self) -> str:
        """The ways to log in."""
        return self._page(
            "Log in",
            '<p>Choose how.</p><div class="row">'
            + button(self._label("BankID on another device"), "/login", {"device": "another"})
            + button(self._label("BankID on this device"), "/login", {"device": "this"})
            + "</div>",
        )

    def code(self, login: str, frame: str, *, other_device: bool) -> str:
        """The code, and where its order stands; ``frame`` is where a frame would get it from."""
        shown = ""
        if other_device:
            layout = self._scenario.code
            shown = (
                f'<iframe title="BankID" src="{escape(frame)}"></iframe>'
                if layout is CodeLayout.FRAME
                else _qrcode(layout)
            )
        return self._page(
            "BankID",
            f'<p role="status"></p>{shown}'
            f'<p><a class="autostart" hidden>{escape(self._label("Open BankID on this device"))}</a></p>'
            f'<p class="again" hidden><a href="/login">Try again</a></p><p><a href="/">Cancel</a></p>',
            scripts=("site.js", "code.js"),
            data={"events": f"/login/{login}/events", "next": "/login/done"} | self._refresh(),
        )

    def frame(self, login: str) -> str:
        """What is in the frame."""
        return markup.bare(_qrcode(CodeLayout.CANVAS), ("code.js",), {"events": f"/login/{login}/events"})

    def times(self, licence: str, exam: str, places: Collection[str], found: Sequence[Time] | None) -> str:
        """The choices, and what was found with them; None before a search."""
        result = ""
        if found:
            rows = (
                (
                    f"{time.starts:%Y-%m-%d}",
                    f"{time.starts:%H:%M}",
                    escape(time.place),
                    button(
                        self._label("Choose"),
                        "/kept",
                        {"time": time.id, "licence": licence},
                        f"{self._label('Choose')} {time.starts:%Y-%m-%d %H:%M} {time.place}",
                    ),
                )
                for time in found
            )
            heading = self._label("Available times")
            result = f"<h2>{escape(heading)}</h2>" + table(heading, ("Date", "Time", "Place", ""), rows)
        elif found is not None:
            result = f"<h2>{escape(self._label('No times found'))}</h2><p>Try other places, or try later.</p>"
        return self._page("Book a test", self._choices(licence, exam, places) + result, data=self._refresh())

    def kept(self, kept: Kept | None, licence: str) -> str:
        """The time that is kept."""
        if kept is None:
            return self._page("Your time", '<p>No time is kept for you.</p><a href="/times">Book a test</a>')
        return self._page(
            "Your time",
            facts("Your time", [*_facts(licence, kept.time), ("Kept until", f"{kept.until:%H:%M:%S} UTC")])
            + '<div class="row">'
            + button(self._label("Confirm booking"), "/bookings")
            + '<a href="/times">Choose another time</a></div>',
        )

    def taken(self) -> str:
        """Another customer has the time."""
        return self._page(
            "Somebody else was faster",
            '<p role="alert">The time is no longer available.</p><a href="/times">Back to the times</a>',
        )

    def lapsed(self) -> str:
        """There is no time to be booked."""
        return self._page(
            "The time is no longer kept",
            '<p role="alert">Nothing was booked.</p><a href="/times">Back to the times</a>',
        )

    def booked(self, booking: Booking) -> str:
        """The confirmation."""
        return self._page(
            "Your test is booked",
            facts(
                "Your booking", [("Booking number", booking.number), *_facts(booking.licence, booking.time)]
            ),
        )

    def bookings(self, bookings: Sequence[Booking]) -> str:
        """What the person has booked."""
        if not bookings:
            return self._page("My bookings", "<p>You have no bookings.</p>")
        rows = (
            [
                escape(each.number),
                *(escape(value) for _, value in _facts(each.licence, each.time)),
                button(self._label("Cancel"), "/cancelled", {"number": each.number}, f"Cancel {each.number}"),
            ]
            for each in bookings
        )
        columns = ("Booking number", "Licence", "Exam", "Date", "Time", "Place", "")
        return self._page("My bookings", table("My bookings", columns, rows))

    def signed_out(self) -> str:
        """What somebody gets in place of a page who is not, or no longer, signed in."""
        return self._page(
            "You have been signed out",
            f'<p>Please log in.</p><a class="button" href="/login">{escape(self._label("Log in"))}</a>',
        )

    def maintenance(self) -> str:
        """The site is closed."""
        return self._page("Closed for maintenance", "<p>We are back soon.</p>")

    def error(self) -> str:
        """The site has failed."""
        return self._page("Something went wrong", "<p>Please try again later.</p>")

    def captcha(self) -> str:
        """Proof that a person is at work is asked for."""
        return self._page(
            "Are you a person?",
            '<label><input type="checkbox"> I am not a robot</label>'
            f'<p><a href="/times">{escape("Continue")}</a></p>',
        )

    def _choices(self, licence: str, exam: str, places: Collection[str]) -> str:
        boxes = "".join(
            f'<label><input type="checkbox" name="place" value="{escape(place)}"'
            f"{' checked' if place in places else ''}>{escape(place)}</label>"
            for place in PLACES
        )
        return (
            '<form method="get" action="/times">'
            + markup.select(self._label("Licence"), "licence", LICENCES, licence)
            + markup.select(self._label("Exam"), "exam", EXAMS, exam)
            + '<p>Places: <output class="places" aria-label="Chosen places"></output> '
            f'<button type="button" class="places quiet">{escape(self._label("Choose places"))}</button></p>'
            f'<dialog class="places" aria-label="Places" data-most="{MOST_PLACES}">'
            f"<h2>Places</h2><p>At most {MOST_PLACES}.</p>{boxes}"
            f'<p><button type="button" class="done">{escape(self._label("Done"))}</button></p></dialog>'
            f"<button>{escape(self._label('Search'))}</button></form>"
        )

    def _refresh(self) -> dict[str, str]:
        seconds = self._scenario.refresh_seconds
        return {"refresh": f"{seconds:g}"} if seconds else {}

    def _label(self, label: str) -> str:
        return f"{label[::-1].lower()}" if label == self._scenario.renamed else label

    def _page(
        self,
        title: str,
        body: str,
        *,
        scripts: Sequence[str] = ("site.js",),
        data: dict[str, str] | None = None,
    ) -> str:
        return shell(
            self._label(title), body, person=self._person, cookies=self._cookies, scripts=scripts, data=data
        )


def _qrcode(layout: CodeLayout) -> str:
    return f'<div class="qrcode" data-layout="{layout.value}"></div>'


def _facts(licence: str, time: Time) -> list[tuple[str, str]]:
    return [
        ("Licence", licence),
        ("Exam", time.exam),
        ("Date", f"{time.starts:%Y-%m-%d}"),
        ("Time", f"{time.starts:%H:%M}"),
        ("Place", time.place),
    ]
