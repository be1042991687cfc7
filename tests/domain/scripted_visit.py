"""A portal at the edge of what we own: it does as it is told, and keeps its own count of what was booked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from io import BytesIO
from time import monotonic
from typing import Any

from domain.jobs import Slot
from domain.portals import CapturedCode, Person, Politeness, PortalBooking

UPPSALA = Slot(date(2031, 3, 12), time(8, 15), "Uppsala")
KISTA = Slot(date(2031, 3, 13), time(10, 0), "Kista")
FARSTA = Slot(date(2031, 3, 14), time(11, 30), "Farsta")


class ScriptedPortal:
    """Terms without a site behind them; no pause but those that a test asks for."""

    key = "demo"
    name = "Scripted"
    url = "https://portal.example"
    origins: Sequence[str] = ("https://portal.example",)
    time_zone = "Europe/Stockholm"
    currency = "SEK"
    config_schema: Mapping[str, object] = {}

    def __init__(self, politeness: Politeness | None = None) -> None:
        self.politeness = politeness or Politeness(timedelta(0), timedelta(0), timedelta(0))

    def checked(self, config: object) -> Mapping[str, object]:
        assert isinstance(config, Mapping)
        return config

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        return str(config["person"]) if "person" in config else owner_name


@dataclass
class Ledger:
    """What the portal has in its own books, whoever asks."""

    booked: list[PortalBooking] = field(default_factory=list)

    def book(self, slot: Slot) -> str:
        number = f"N{len(self.booked) + 1}"
        self.booked.append(PortalBooking(number, slot))
        return number


@dataclass
class After:
    """Do the step as usual, and then raise."""

    error: Exception


Outcome = Exception | After | Callable[[], Awaitable[Any]] | object


class ScriptedVisit:
    """Each step takes the next outcome from its script: raises it, awaits it, or returns it; else all goes well."""

    def __init__(self, ledger: Ledger, **script: Sequence[Outcome]) -> None:
        self.ledger = ledger
        self.person = Person("Ada Lindström", "19900101-0017")
        self.free: list[Slot] = [UPPSALA, KISTA]
        self.script = {name: list(outcomes) for name, outcomes in script.items()}
        self.taken: list[str] = []
        """The names of the steps that were taken."""
        self.asked: list[float] = []
        """When requests were sent, by ``monotonic``."""
        self.shown: list[CapturedCode] = [_code(number) for number in range(3)]

    async def _step(self, name: str, usual: Callable[[], Any] = lambda: None) -> Any:
        self.taken.append(name)
        if name not in ("start", "code", "signed_in"):
            self.asked.append(monotonic())
        await asyncio.sleep(0)
        outcomes = self.script.get(name)
        if not outcomes:
            return usual()
        match outcomes.pop(0):
            case After(error):
                usual()
                raise error
            case Exception() as error:
                raise error
            case outcome if callable(outcome):
                return await outcome()
            case outcome:
                return usual() if outcome is None else outcome

    async def start(self) -> None:
        """Start the browser."""
        await self._step("start")

    async def arrive(self) -> None:
        await self._step("arrive")

    async def open_login(self) -> None:
        await self._step("open_login")

    async def begin_identity_check(self) -> None:
        await self._step("begin_identity_check")

    @asynccontextmanager
    async def codes(self) -> AsyncIterator[AsyncIterator[CapturedCode]]:
        yield self._codes()

    async def _codes(self) -> AsyncIterator[CapturedCode]:
        for code in self.shown:
            await self._step("code")
            yield code

    async def signed_in(self) -> Person:
        for _ in range(4 * len(self.shown)):
            await asyncio.sleep(0)  # the codes come first
        return await self._step("signed_in", lambda: self.person)  # type: ignore[no-any-return]

    async def configure(self, config: Mapping[str, object]) -> None:
        await self._step("configure")

    async def choose_places(self, config: Mapping[str, object]) -> None:
        await self._step("choose_places")

    async def search(self, config: Mapping[str, object]) -> Sequence[Slot]:
        return await self._step("search", lambda: list(self.free))  # type: ignore[no-any-return]

    async def choose(self, slot: Slot) -> Slot:
        return await self._step("choose", lambda: slot)  # type: ignore[no-any-return]

    async def confirm(self, slot: Slot) -> str:
        return await self._step("confirm", lambda: self.ledger.book(slot))  # type: ignore[no-any-return]

    async def my_bookings(self) -> Sequence[PortalBooking]:
        return await self._step("my_bookings", lambda: list(self.ledger.booked))  # type: ignore[no-any-return]

    async def sign_out(self) -> None:
        await self._step("sign_out")

    async def picture(self, *, with_code: bool) -> bytes:
        from PIL import Image

        picture = BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "JPEG")
        return picture.getvalue()


def _code(number: int) -> CapturedCode:
    return CapturedCode(f"bankid.token.{number}.mac", b"PNG", datetime.now(UTC), timedelta(seconds=2))
