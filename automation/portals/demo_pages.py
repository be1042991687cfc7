"""The demo portal's pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, time
from typing import Any

from playwright.async_api import Locator, Page

from automation.capture.masking import masked_picture
from automation.capture.qr import CodeWatch
from automation.portals.config import fits
from automation.portals.outcomes import KNOWN, TRIES, UNSCANNED, Moved, Steps
from domain.jobs import Slot
from domain.portals import (
    CaptchaShown,
    CapturedCode,
    CodeExpired,
    LoggedOut,
    LoginRefused,
    Person,
    Portal,
    PortalBooking,
    PortalChanged,
    PortalDown,
    SlotTaken,
)


class DemoVisit:
    """A visit to the demo portal."""

    def __init__(self, page: Page, portal: Portal) -> None:
        self._page = page
        self._url = portal.url.rstrip("/")
        self._signed_out = self._heading("You have been signed out")
        self._steps = Steps(
            page,
            {
                self._heading("Closed for maintenance"): PortalDown("it is closed for maintenance"),
                self._heading("Something went wrong"): PortalDown("it shows an error"),
                self._heading("Are you a person?"): CaptchaShown("it asks whether a person is at work"),
            },
        )
        self._inside = Steps(page, {**self._steps.standing, self._signed_out: LoggedOut("it asks to log in")})
        self._code = CodePage(page, self._inside)
        self._times = TimesPage(page, self._inside)

    async def arrive(self) -> None:
        """Open the front page, past its cookie bar."""
        await self._steps.open(self._url + "/")
        accept = self._page.get_by_role("button", name="Accept necessary cookies")
        login = self._page.get_by_role("link", name="Log in", exact=True)
        inside = self._page.get_by_role("link", name="My bookings", exact=True)
        while await self._steps.first(cookies=accept, login=login, menu=inside) == "cookies":
            await self._steps.do(accept.click(), "the answer to the cookie bar")
            await self._steps.do(accept.wait_for(state="hidden"), "getting rid of the cookie bar")

    async def open_login(self) -> None:
        """Go to where one signs in."""
        login = self._page.get_by_role("link", name="Log in", exact=True)
        if not await self._steps.visible(login):
            await self.arrive()
            await self._steps.first(login=login)
        await self._steps.follow(login)
        await self._steps.first(device=self._device)

    async def begin_identity_check(self) -> None:
        """Choose the login by code; returns when a code is being shown."""
        await self._steps.follow(self._device)
        await self._code.shows()

    def codes(self) -> AbstractAsyncContextManager[AsyncIterator[CapturedCode]]:
        """The codes from here on."""
        return self._code.watch()

    async def signed_in(self) -> Person:
        """Wait until the person has signed in."""
        await self._code.left_by(self._heading("Book a test"))
        who = self._page.get_by_label("Signed in", exact=True)
        await self._inside.first(person=who)
        return _person((await self._inside.texts(who))[0])

    async def configure(self, config: Mapping[str, Any]) -> None:
        """Choose licence and exam, and read them back."""
        await self._at_times()
        await self._times.configure(config)

    async def choose_places(self, config: Mapping[str, Any]) -> None:
        """Choose the places in their dialog, and read them back."""
        await self._times.choose_places(config)

    async def search(self, config: Mapping[str, Any]) -> Sequence[Slot]:
        """Look for times once; the soonest first."""
        for _ in range(TRIES):
            try:
                await self._at_times()
                found = await self._times.search(config)
            except Moved:
                continue
            return sorted((slot for slot in found if fits(slot, config)), key=lambda s: (s.date, s.time))
        raise PortalChanged("its page of times is loaded again and again")

    async def choose(self, slot: Slot) -> Slot:
        """Keep a slot; the one that the portal says it kept."""
        chosen = self._times.button_of(slot)
        if not await self._inside.visible(chosen):
            raise SlotTaken("the time is not listed any more")
        await self._inside.follow(chosen)
        outcome = await self._inside.first(
            kept=self._heading("Your time"),
            taken=self._heading("Somebody else was faster"),
            times=self._heading("Book a test"),
        )
        if outcome == "taken":
            raise SlotTaken("somebody else was faster")
        if outcome == "times":  # it was loaded anew at that moment: nobody knows what became of the click
            await self._inside.open(f"{self._url}/kept")
            await self._inside.first(kept=self._heading("Your time"))
        return await self._kept()

    async def confirm(self, slot: Slot) -> str:
        """The click that cannot be taken back: the booking number read from the confirmation."""
        if await self._kept() != slot:
            raise SlotTaken("another time is kept")
        await self._inside.follow(self._page.get_by_role("button", name="Confirm booking", exact=True))
        outcome = await self._inside.first(
            booked=self._heading("Your test is booked"), lapsed=self._heading("The time is no longer kept")
        )
        if outcome == "lapsed":
            raise SlotTaken("the time was not kept any more")
        return (await self._facts("Your booking"))["Booking number"]

    async def my_bookings(self) -> Sequence[PortalBooking]:
        """What the person has booked."""
        await self._inside.open(f"{self._url}/bookings")
        table = self._page.get_by_role("table", name="My bookings", exact=True)
        none = self._page.get_by_text("You have no bookings.", exact=True)
        if await self._inside.first(bookings=table, none=none) == "none":
            return ()
        rows = await self._inside.texts(table.get_by_role("row"))
        return [
            PortalBooking(number, _slot(day, clock, place))
            for number, _, _, day, clock, place in (row.split("\t")[:6] for row in rows[1:])
        ]

    async def sign_out(self) -> None:
        """Sign the person out."""
        leave = self._page.get_by_role("button", name="Sign out", exact=True)
        if await self._steps.visible(leave):
            await self._steps.follow(leave)
            await self._steps.first(front=self._heading("Welcome"))

    async def picture(self, *, with_code: bool) -> bytes:
        """The page as JPEG, without who is signed in, and without the code unless asked for."""
        code = () if with_code else (".qrcode", "iframe[title=BankID]")
        who = self._page.get_by_label("Signed in", exact=True)
        with self._steps.in_our_words():
            return await masked_picture(self._page, hidden=code, masked=[who])

    @property
    def _device(self) -> Locator:
        return self._page.get_by_role("button", name="BankID on another device", exact=True)

    def _heading(self, name: str) -> Locator:
        return self._page.get_by_role("heading", name=name, exact=True)

    async def _at_times(self) -> None:
        if not await self._inside.visible(self._heading("Book a test")):
            await self._inside.open(f"{self._url}/times")
        await self._inside.first(times=self._heading("Book a test"))

    async def _kept(self) -> Slot:
        none = self._page.get_by_text("No time is kept for you.", exact=True)
        if await self._inside.first(none=none, kept=self._table("Your time")) == "none":
            raise SlotTaken("no time is kept")
        facts = await self._facts("Your time")
        return _slot(facts["Date"], facts["Time"], facts["Place"])

    async def _facts(self, label: str) -> Mapping[str, str]:
        """A table of names and values. Raises PortalChanged where one is missing that is needed."""
        rows = await self._inside.texts(self._table(label).get_by_role("row"))
        facts = dict(row.split("\t", 1) for row in rows if "\t" in row)
        if missing := {"Date", "Time", "Place"} - facts.keys():
            raise PortalChanged(f"{label} does not tell {', '.join(sorted(missing))}")
        return facts

    def _table(self, label: str) -> Locator:
        return self._page.get_by_role("table", name=label, exact=True)


class CodePage:
    """The page that shows the login's code."""

    def __init__(self, page: Page, steps: Steps) -> None:
        self._page = page
        self._steps = steps
        said = page.get_by_role("status")
        self._scan = said.filter(has_text=re.compile("scan", re.IGNORECASE))
        self._cancelled = said.filter(has_text="You cancelled")
        self._expired = said.filter(has_text="not used in time")

    def watch(self) -> CodeWatch:
        """Its codes."""
        return CodeWatch(self._page, prefix="bankid.", autostart="a.autostart")

    async def shows(self) -> None:
        """Wait until a code is shown that can be read. Raises PortalChanged."""
        await self._steps.first(scan=self._scan)
        try:
            async with self.watch() as codes, asyncio.timeout(KNOWN):
                await anext(codes)
        except TimeoutError:
            raise PortalChanged("no code can be read where it shows one") from None

    async def left_by(self, inside: Locator) -> None:
        """Wait until the page is left for the inside. Raises LoginRefused, CodeExpired."""
        outcome = await self._steps.first(
            UNSCANNED, inside=inside, cancelled=self._cancelled, expired=self._expired
        )
        if outcome == "cancelled":
            raise LoginRefused("it was cancelled in the app")
        if outcome == "expired":
            raise CodeExpired("nobody used the code in time")


class TimesPage:
    """The page on which one chooses what to book, and sees the times."""

    def __init__(self, page: Page, steps: Steps) -> None:
        self._page = page
        self._steps = steps
        self._licence = page.get_by_label("Licence", exact=True)
        self._exam = page.get_by_label("Exam", exact=True)
        self._dialog = page.get_by_role("dialog", name="Places", exact=True)
        self._chosen = page.get_by_label("Chosen places", exact=True)
        self._search = page.get_by_role("button", name="Search", exact=True)
        self._times = page.get_by_role("table", name="Available times", exact=True)
        self._none = page.get_by_role("heading", name="No times found", exact=True)

    async def configure(self, config: Mapping[str, Any]) -> None:
        """Choose licence and exam."""
        for field, asked in ((self._licence, config["licence"]), (self._exam, config["exam"])):
            await self._steps.do(field.select_option(asked), f"choosing {asked}")
            if await self._steps.value(field) != asked:
                raise PortalChanged(f"{asked} was chosen, and is not")

    async def choose_places(self, config: Mapping[str, Any]) -> None:
        """Choose the places."""
        places = config["places"]
        await self._steps.do(
            self._page.get_by_role("button", name="Choose places").click(), "choosing places"
        )
        checked = self._dialog.get_by_role("checkbox", checked=True)
        while await self._steps.visible(checked):
            await self._steps.do(checked.first.uncheck(), "leaving a place out")
        for place in places:
            box = self._dialog.get_by_role("checkbox", name=place, exact=True)
            await self._steps.do(box.check(), f"choosing {place}")
        await self._steps.do(self._dialog.get_by_role("button", name="Done").click(), "closing the places")
        await self._steps.do(self._dialog.wait_for(state="hidden"), "closing the places")
        if not await self._has_places(places):
            raise PortalChanged("other places are chosen than were")

    async def search(self, config: Mapping[str, Any]) -> Sequence[Slot]:
        """Look once. Raises Moved where the page undid it by loading itself anew."""
        if not await self._agrees(config):
            await self.configure(config)
            await self.choose_places(config)
        await self._steps.first(search=self._search)
        await self._steps.follow(self._search)
        outcome = await self._steps.first(times=self._times, none=self._none, again=self._search)
        if outcome == "again" or not await self._agrees(config):
            raise Moved
        if outcome == "none":
            return ()
        rows = await self._steps.texts(self._times.get_by_role("row"))
        return [_slot(*row.split("\t")[:3]) for row in rows[1:]]

    def button_of(self, slot: Slot) -> Locator:
        """What keeps a slot."""
        name = f"Choose {slot.date.isoformat()} {slot.time:%H:%M} {slot.location}"
        return self._page.get_by_role("button", name=name, exact=True).first

    async def _agrees(self, config: Mapping[str, Any]) -> bool:
        """Whether the page shows what the config asks for."""
        return (
            await self._steps.value(self._licence) == config["licence"]
            and await self._steps.value(self._exam) == config["exam"]
            and await self._has_places(config["places"])
        )

    async def _has_places(self, places: Sequence[str]) -> bool:
        told = (await self._steps.texts(self._chosen))[:1]
        return bool(told) and set(told[0].split(", ")) == set(places)


def _person(told: str) -> Person:
    """From "Name (number)"."""
    name, _, number = told.removesuffix(")").rpartition(" (")
    return Person(name, number)


def _slot(day: str, clock: str, place: str) -> Slot:
    try:
        return Slot(date.fromisoformat(day.strip()), time.fromisoformat(clock.strip()), place.strip())
    except ValueError:
        raise PortalChanged("it tells a time in a way that is not known") from None
