"""All that a demo portal knows: sessions, logins, times, bookings, and the trouble it is in."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from secrets import token_urlsafe

from automation.demo_portal.clock import Clock, steady_clock
from automation.demo_portal.diary import Diary, Happening
from automation.demo_portal.orders import AUTOSTART, Hint, Login, Order, ScanRefused
from automation.demo_portal.people import Person
from automation.demo_portal.scenario import Scenario
from automation.demo_portal.times import Taken, Time, Times

WAITING = {Hint.OUTSTANDING, Hint.START_FAILED}


class Page(StrEnum):
    """The site's answers, as trouble names them."""

    FRONT = "front"
    LOGIN = "login"
    CODE = "code"
    TIMES = "times"
    KEEP = "keep"
    KEPT = "kept"
    BOOK = "book"
    BOOKED = "booked"
    BOOKINGS = "bookings"


class TroubleKind(StrEnum):
    """What a page may answer with in place of itself."""

    ERROR = "error"
    MAINTENANCE = "maintenance"
    CAPTCHA = "captcha"
    SIGNED_OUT = "signed-out"
    SLOW = "slow"
    BROKEN = "broken"
    """Something before the site answers 502, in plain words."""
    UNDONE = "undone"
    """What was sent is lost: the page of times comes back as it is at first."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Trouble with one answer: before anything was done, or ``after`` it was done all the same."""

    kind: TroubleKind
    after: bool = False
    seconds: float = 0


@dataclass(slots=True)
class Session:
    """Somebody's browser: signed in once ``person`` is known."""

    token: str
    seen: datetime
    login: Login | None = None
    person: Person | None = None
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """A booked time."""

    number: str
    person: Person
    licence: str
    time: Time


@dataclass
class Portal:
    """One demo portal. Everything that happens by itself follows from ``seed``."""

    seed: int = 1
    scenario: Scenario = field(default_factory=Scenario)
    clock: Clock = field(default_factory=steady_clock)

    def __post_init__(self) -> None:
        self._begin()

    def begin_anew(self, seed: int, scenario: Scenario) -> None:
        """Forget everything."""
        self.changed()
        self.seed, self.scenario = seed, scenario
        self._begin()

    def _begin(self) -> None:
        self.diary = Diary(self.clock)
        self.times = Times(self.seed, self.clock, self.diary, lambda: self.scenario)
        self.troubles: Mapping[Page, deque[Trouble]] = defaultdict(deque)
        self.bookings: list[Booking] = []
        self._sessions: dict[str, Session] = {}
        self._logins: dict[str, Login] = {}
        self._changed = asyncio.Event()
        self._numbers = Random(f"{self.seed}:numbers")
        self._errors = Random(f"{self.seed}:errors")

    # Sessions

    def session(self, token: str | None) -> Session | None:
        """The session of a cookie; each request prolongs it."""
        session = self._sessions.get(token or "")
        if session is None:
            return None
        now = self.clock()
        if now - session.seen >= timedelta(seconds=self.scenario.session_seconds):
            self.end(session)
            return None
        session.seen = now
        return session

    def begin_login(self) -> Session:
        """A session that is about to sign in."""
        session = self._session()
        session.login = Login(lambda: self.scenario)
        self._logins[session.login.id] = session.login
        return session

    def finish_login(self, session: Session) -> Session | None:
        """The session of who has signed in, under a new token; None while nobody has."""
        order = session.login.order(self.clock()) if session.login else None
        if order is None or order.person is None or order.ended is not Hint.COMPLETE:
            return None
        self.end(session)
        return self.enter(order.person)

    def enter(self, person: Person) -> Session:
        """A session of somebody who is signed in."""
        session = self._session()
        session.person = person
        self.diary.note(Happening.SIGNED_IN, person.number)
        return session

    def end(self, session: Session) -> None:
        """Sign somebody out."""
        self._sessions.pop(session.token, None)
        self.times.release(session.token)
        if session.login is not None:
            self._logins.pop(session.login.id, None)

    def end_all(self) -> None:
        """Sign everybody out."""
        for session in list(self._sessions.values()):
            self.end(session)

    def _session(self) -> Session:
        session = Session(token_urlsafe(), self.clock())
        self._sessions[session.token] = session
        return session

    # The phone

    def login(self, id: str) -> Login | None:
        """A login page by its id."""
        return self._logins.get(id)

    def scan(self, text: str, person: Person) -> Order:
        """A phone reads a code, or opens the app on this device. Raises ScanRefused."""
        try:
            order, age = self._scanned(text)
        except ScanRefused as refused:
            self.diary.note(Happening.SCAN, person.number, age=refused.age, refused=refused.hint)
            self.changed()
            raise
        order.scanned_at, order.person, order.too_old = self.clock(), person, False
        self.diary.note(Happening.SCAN, person.number, age=age)
        self.changed()
        return order

    def confirm(self, person: Person) -> bool:
        """The person types their code into the phone; whether an order was waiting for it."""
        return self._end_order(person, Hint.COMPLETE)

    def cancel(self, person: Person) -> bool:
        """The person cancels in the phone; whether there was an order to cancel."""
        return self._end_order(person, Hint.USER_CANCEL)

    def _scanned(self, text: str) -> tuple[Order, float | None]:
        now = self.clock()
        orders = [login.order(now) for login in self._logins.values()]
        if text.startswith(AUTOSTART):
            token = text.removeprefix(AUTOSTART).partition("&")[0]
            found = next((each for each in orders if each.autostart_token == token), None)
            if found is None or found.hint(now) not in WAITING:
                raise ScanRefused(Hint.START_FAILED)
            return found, None
        scheme, _, rest = text.partition(".")
        start_token, _, sealed = rest.partition(".")
        second, _, seal = sealed.partition(".")
        by_token = {each.start_token: each for login in self._logins.values() for each in login.orders}
        if scheme != "bankid" or start_token not in by_token:
            raise ScanRefused("invalidCode")
        order = by_token[start_token]
        return order, order.scan(second, seal, now)

    def _end_order(self, person: Person, hint: Hint) -> bool:
        now = self.clock()
        orders = [login.order(now) for login in self._logins.values()]
        theirs = [each for each in orders if each.person == person and each.hint(now) is Hint.USER_SIGN]
        if not theirs:
            return False
        theirs[-1].ended = hint
        self.changed()
        return True

    def changed(self) -> None:
        """Wake who waits for a change of an order."""
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    async def change(self, seconds: float) -> None:
        """Wait for a change of any order, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    # Booking

    def keep(self, session: Session, person: Person, id: str, licence: str) -> None:
        """Keep a time for somebody. Raises Taken."""
        try:
            kept = self.times.keep(id, session.token)
        except Taken:
            self.diary.note(Happening.KEEP_REFUSED, person.number, time=id)
            raise
        session.licence = licence
        self.diary.note(Happening.KEPT, person.number, asked=id, time=kept.time.id)

    def book(self, session: Session, person: Person) -> Booking:
        """Book what is kept. Raises Taken: nothing is."""
        self.diary.note(Happening.CLICKED, person.number)
        try:
            time = self.times.book(session.token)
        except Taken:
            self.diary.note(Happening.BOOKING_REFUSED, person.number)
            raise
        booking = Booking(f"DLA-{self._numbers.randrange(10**8):08}", person, session.licence, time)
        self.bookings.append(booking)
        self.diary.note(Happening.BOOKED, person.number, number=booking.number, time=time.id)
        return booking

    def cancel_booking(self, person: Person, number: str) -> None:
        """Take a booking of theirs back; its time can be booked again."""
        for booking in self.bookings_of(person):
            if booking.number == number:
                self.bookings.remove(booking)
                self.times.add(booking.time)
                self.diary.note(Happening.CANCELLED, person.number, number=number)

    def bookings_of(self, person: Person) -> list[Booking]:
        """What a person has booked, the soonest first."""
        return sorted((b for b in self.bookings if b.person == person), key=lambda b: b.time.starts)

    # Trouble

    def trouble(self, page: Page) -> Trouble | None:
        """What goes wrong with this answer: what was ordered for it, else what the scenario brings."""
        found = self._trouble(page)
        if found is not None and found.kind is not TroubleKind.SLOW:
            self.diary.note(Happening.TROUBLE, page=page.value, kind=found.kind.value)
        return found

    def _trouble(self, page: Page) -> Trouble | None:
        if self.troubles[page]:
            return self.troubles[page].popleft()
        if self.scenario.maintenance:
            return Trouble(TroubleKind.MAINTENANCE)
        if self.scenario.errors and self._errors.random() < self.scenario.errors:
            return Trouble(TroubleKind.ERROR)
        return None
