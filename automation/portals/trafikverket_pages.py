"""Trafikverket's pages, as far as public sources describe them; none of it was tried against the real site.

It is one page that draws itself anew, so nothing here waits for a navigation. What is done is read back; what is not
known is PortalChanged. A proof that a person is at work, and a queue, are the person's own to pass.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from playwright.async_api import Error, Locator, Page, Response

from automation.capture.masking import masked_picture
from automation.capture.qr import CodeWatch
from automation.portals.config import fits
from automation.portals.outcomes import KNOWN, UNSCANNED, Steps
from automation.portals.trafikverket import slot_in, slot_on_line
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
    VisitFailed,
)

LOGIN_REQUIRED: Final = "LoginRequiredException"
"""The type of the envelope in which an answer says, with status 200, that the session is over."""

LARGEST_ENVELOPE: Final = 4_096
"""Bytes: an answer that is longer tells of times, and is not read."""

_NUMBER = re.compile(r"[Bb]okningsnummer\W{0,3}([A-Z0-9][A-Z0-9-]{3,23})")
_TAKEN = re.compile("inte längre (ledig|tillgänglig)|hann före|redan bokad", re.IGNORECASE)

Done = TypeVar("Done")


class TrafikverketVisit:
    """A visit to Trafikverket's booking."""

    def __init__(self, page: Page, portal: Portal) -> None:
        self._page = page
        self._url = portal.url
        self._origin = portal.origins[0]
        self._places: Sequence[str] = ()
        self._searched = False
        self._inside = False
        self._session_over = asyncio.Event()
        self._steps = Steps(page, _standing(page))
        page.on("response", self._judge)

    async def arrive(self) -> None:
        """Open the front page, past its cookie bar."""
        self._inside = False
        self._session_over.clear()
        await self._steps.open(self._url)
        cookies = self._button("nödvändiga kakor|nödvändiga cookies|godkänn nödvändiga")
        while await self._first(cookies=cookies, login=self._login, inside=self._who) == "cookies":
            await self._click(cookies, "the answer to the cookie bar")
            await self._steps.do(cookies.wait_for(state="hidden"), "getting rid of the cookie bar")

    async def open_login(self) -> None:
        """Go to where one signs in."""
        if not await self._steps.visible(self._login):
            await self.arrive()
        await self._click(self._login, "opening the login")
        await self._first(on=self._go_on)

    async def begin_identity_check(self) -> None:
        """Go on to BankID; returns when a code can be read."""
        await self._click(self._go_on, "going on to BankID")
        await self._first(code=self._page.locator(".qrcode"))
        try:
            async with self._codes() as codes, asyncio.timeout(KNOWN):
                await anext(codes)
        except TimeoutError:
            raise PortalChanged("no code can be read where it shows one") from None

    def codes(self) -> AbstractAsyncContextManager[AsyncIterator[CapturedCode]]:
        """The codes from here on."""
        return self._codes()

    async def signed_in(self) -> Person:
        """Wait until the person has signed in: their name stands on the page."""
        outcome = await self._steps.first(
            UNSCANNED,
            inside=self._who,
            cancelled=self._page.get_by_text(re.compile("avbr(öts|uten|utits)", re.IGNORECASE)),
            expired=self._page.get_by_text(re.compile("tiden har gått ut|för lång tid", re.IGNORECASE)),
        )
        if outcome == "cancelled":
            raise LoginRefused("it was cancelled in the app")
        if outcome == "expired":
            raise CodeExpired("nobody used the code in time")
        told = (await self._steps.texts(self._who))[0]
        name = told.partition("som")[2].strip(" :\n")
        if not name:
            raise PortalChanged("it does not say who is signed in")
        self._inside = True
        return Person(name)

    async def configure(self, config: Mapping[str, Any]) -> None:
        """Choose licence, exam, vehicle and language, and read them back."""
        if not await self._steps.visible(self._exam):
            await self._to_search(config["licence"])
        wanted = {
            self._exam: config["exam"],
            self._page.locator("#vehicle-select"): config.get("vehicle"),
            self._page.locator("#language-select"): config.get("language"),
        }
        for field, label in wanted.items():
            if label is not None:
                await self._choose(field, label)

    async def choose_places(self, config: Mapping[str, Any]) -> None:
        """Choose the places in their dialog, and read them back."""
        self._places, self._searched = config["places"], False
        opens = self._page.locator("#select-location-search")
        await self._click(opens, "choosing places")
        sought, found = (
            self._page.locator("#location-search-input"),
            self._page.locator("#location-container"),
        )
        for place in self._places:
            await self._steps.do(sought.fill(place), "looking for a place")
            await self._click(found.get_by_role("button", name=place, exact=True), f"choosing {place}")
        await self._click(self._button("^bekräfta$"), "closing the places")
        await self._steps.do(sought.wait_for(state="hidden"), "closing the places")
        told = ", ".join(await self._steps.texts(opens))
        if missing := [place for place in self._places if place not in told]:
            raise PortalChanged(f"{missing[0]} was chosen, and is not")

    async def search(self, config: Mapping[str, Any]) -> Sequence[Slot]:
        """Look for times once. It looks by itself as soon as all is chosen: to look again is to choose again."""
        if self._searched:
            await self._steps.open(self._url)
            await self.configure(config)
            await self.choose_places(config)
        self._searched = True
        none = self._page.get_by_text(re.compile("hittar inga lediga tider", re.IGNORECASE))
        if await self._first(none=none, times=self._rows.first) == "none":
            return []
        listed = {slot_in(text, self._places) for text in await self._steps.texts(self._rows)}
        found = [slot for slot in listed if slot is not None]
        if not found:
            raise PortalChanged("it lists times in a way that is not known")
        return sorted((slot for slot in found if fits(slot, config)), key=lambda each: (each.date, each.time))

    async def choose(self, slot: Slot) -> Slot:
        """Keep a slot. Its answer may be empty while it keeps another time, so what it shows as kept is read."""
        for place, text in enumerate(await self._steps.texts(self._rows)):
            if slot_in(text, self._places) == slot:
                row = self._rows.nth(place)
                break
        else:
            raise SlotTaken("the time is not listed any more")
        await self._click(row.get_by_role("button", name="Välj", exact=True), "choosing a time")
        outcome = await self._first(taken=self._page.get_by_text(_TAKEN), kept=self._on)
        if outcome == "taken":
            raise SlotTaken("somebody else was faster")
        return await self._kept()

    async def confirm(self, slot: Slot) -> str:
        """Book it, to be paid later: the number read from the confirmation."""
        if await self._kept() != slot:
            raise SlotTaken("another time is kept")
        await self._click(self._on, "going on")
        await self._click(self._page.get_by_text("Betala senare", exact=True), "choosing to pay later")
        await self._repeat_phone()
        await self._click(self._button("^bekräfta"), "booking")
        booked = self._page.get_by_text(_NUMBER)
        if await self._first(taken=self._page.get_by_text(_TAKEN), booked=booked) == "taken":
            raise SlotTaken("the time was not kept any more")
        return _number_in((await self._steps.texts(booked))[0])

    async def my_bookings(self) -> Sequence[PortalBooking]:
        """What the person has booked. Raises PortalChanged where a line cannot be read: none is passed over."""
        await self._steps.open(self._url)
        link = self._page.get_by_role("link", name=re.compile("^mina (bokningar|prov)", re.IGNORECASE))
        await self._first(menu=link)
        await self._click(link, "opening the bookings")
        none = self._page.get_by_text(re.compile("inga (bokade prov|bokningar)", re.IGNORECASE))
        lines = self._smallest(self._page.get_by_text(_NUMBER))
        if await self._first(none=none, bookings=lines.first) == "none":
            return []
        return [_booking(text) for text in await self._steps.texts(lines)]

    async def sign_out(self) -> None:
        """Sign the person out."""
        leave = self._page.get_by_role("link", name="Logga ut", exact=True).or_(self._button("^logga ut$"))
        self._inside = False
        if await self._steps.visible(leave):
            await self._click(leave, "signing out")
            await self._steps.first(front=self._login)

    async def picture(self, *, with_code: bool) -> bytes:
        """The page as JPEG, without who is signed in, and without the code unless asked for."""
        hidden = () if with_code else (".qrcode",)
        with self._steps.in_our_words():
            return await masked_picture(self._page, hidden=hidden, masked=[self._who])

    # ------------------------------------------------------------------------------ places of the page

    @property
    def _login(self) -> Locator:
        by_name = self._page.get_by_role("link", name="Logga in", exact=True)
        return by_name.or_(self._page.get_by_role("button", name="Logga in", exact=True)).first

    @property
    def _go_on(self) -> Locator:
        return self._button("^fortsätt$")

    @property
    def _on(self) -> Locator:
        return self._button("^gå vidare$")

    @property
    def _who(self) -> Locator:
        return self._page.get_by_text(re.compile("^Inloggad som"))

    @property
    def _exam(self) -> Locator:
        return self._page.locator("#examination-type-select")

    @property
    def _rows(self) -> Locator:
        """The smallest parts of the page that have both a clock and what chooses it."""
        return self._smallest(self._page.get_by_role("button", name="Välj", exact=True))

    def _smallest(self, inner: Locator) -> Locator:
        """For each of these the nearest part around it, itself included, in which a day stands."""
        day = "contains(translate(., '0123456789', '##########'), '####-##-##')"
        return inner.locator(f"xpath=ancestor-or-self::*[{day}][1]")

    def _button(self, name: str) -> Locator:
        return self._page.get_by_role("button", name=re.compile(name, re.IGNORECASE))

    # ----------------------------------------------------------------------------------------- the steps

    def _codes(self) -> CodeWatch:
        return CodeWatch(self._page, prefix="bankid.")

    async def _to_search(self, licence: str) -> None:
        book = self._page.get_by_role("link", name="Boka prov", exact=True).or_(self._button("^boka prov$"))
        if not await self._steps.visible(book):
            await self._steps.open(self._url)
        await self._first(book=book)
        await self._click(book.first, "going on to book")
        kind = self._page.get_by_title(licence, exact=True)
        await self._first(licences=kind)
        await self._click(kind, f"choosing licence {licence}")
        await self._first(exam=self._exam)

    async def _choose(self, field: Locator, label: str) -> None:
        await self._steps.do(field.select_option(label=label), f"choosing {label}")
        if label not in await self._steps.texts(field.locator("option:checked")):
            raise PortalChanged(f"{label} was chosen, and is not")

    async def _kept(self) -> Slot:
        """The time in the part of the page that leads on from it."""
        texts = await self._steps.texts(self._smallest(self._on))
        kept = slot_in(texts[0], self._places) if texts else None
        if kept is None:
            raise PortalChanged("it does not say which time it keeps")
        return kept

    async def _repeat_phone(self) -> None:
        """Give the number that it has once more. Raises PortalChanged where it has none: it is not ours to give."""
        phone, again = self._page.locator("#input-phone"), self._page.locator("#input-second-phone")
        if await self._first(again=again, ready=self._button("^bekräfta")) == "ready":
            return
        number = await self._steps.value(phone)
        if not number:
            raise PortalChanged("it has no phone number of the person, who must give it there first")
        await self._steps.do(again.fill(number), "repeating the phone number")

    async def _click(self, what: Locator, doing: str) -> None:
        await self._while_signed_in(self._steps.do(what.click(no_wait_after=True), doing))

    async def _first(self, **wanted: Locator) -> str:
        """Which of these is shown. Raises LoggedOut where somebody who was inside stands before the login."""
        if not self._inside:
            return await self._steps.first(None, **wanted)
        outcome = await self._while_signed_in(self._steps.first(None, signed_out=self._login, **wanted))
        if outcome == "signed_out":
            raise LoggedOut("it asks to log in")
        return outcome

    async def _while_signed_in(self, step: Awaitable[Done]) -> Done:
        """A step, unless an answer says meanwhile that the session is over. Raises LoggedOut."""
        doing = asyncio.ensure_future(step)
        over = asyncio.ensure_future(self._session_over.wait())
        try:
            await asyncio.wait((doing, over), return_when=asyncio.FIRST_COMPLETED)
            if self._session_over.is_set():
                raise LoggedOut("it says that the session is over")
            return doing.result()
        finally:
            over.cancel()
            doing.cancel()
            await asyncio.gather(doing, over, return_exceptions=True)

    async def _judge(self, response: Response) -> None:
        """Look into its short answers for the envelope that ends a session."""
        if (
            not self._inside
            or not response.url.startswith(self._origin)
            or response.request.resource_type
            not in (
                "xhr",
                "fetch",
            )
        ):
            return
        try:
            body = await response.body()
        except Error:
            return  # the page has moved on
        if len(body) <= LARGEST_ENVELOPE and LOGIN_REQUIRED.encode() in body:
            self._session_over.set()


def _standing(page: Page) -> Mapping[Locator, VisitFailed]:
    """What any step may come upon."""

    def told(words: str) -> Locator:
        return page.get_by_text(re.compile(words, re.IGNORECASE))

    return {
        page.locator("iframe[src*=captcha i], iframe[title*=captcha i]"): CaptchaShown("it shows a captcha"),
        told("inte är en robot"): CaptchaShown("it asks whether a person is at work"),
        told("du (står|är) i kö"): CaptchaShown("it has a queue"),
        told("driftstopp|tillfälligt stängd|underhållsarbete"): PortalDown("it is closed for the moment"),
    }


def _number_in(text: str) -> str:
    found = _NUMBER.search(text)
    if found is None:
        raise PortalChanged("it confirms without a number")
    return found[1]


def _booking(text: str) -> PortalBooking:
    """A line of the person's own bookings."""
    slot = slot_on_line(text)
    if slot is None:
        raise PortalChanged("it lists a booking in a way that is not known")
    return PortalBooking(_number_in(text), slot)
