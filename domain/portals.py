"""Somebody else's portal: what an adapter promises, and what a visit may meet.

An adapter is split in two. Its *terms* (``Portal``) are known to every process, browser or not; its *visits*
(``Visit``) exist in a worker alone. ``domain/journey.py`` walks every portal in the same order over these two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.jobs import Artifact, Job, Slot


@dataclass(frozen=True, slots=True)
class Politeness:
    """A walking pace. Settings may slow a portal down; nothing goes under its floors."""

    between_searches: timedelta = timedelta(seconds=30)
    """Mean pause between two searches of a job; varied by a fifth."""
    least_between_searches: timedelta = timedelta(seconds=10)
    between_requests: timedelta = timedelta(seconds=3)
    """Between two requests to the site, over all jobs and workers."""


class Portal(Protocol):
    """The terms of one portal. ``key`` is its name in settings, inputs and logs."""

    @property
    def key(self) -> str:
        """Lower-case letters."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def url(self) -> str:
        """Its front page, which people are sent to."""

    @property
    def origins(self) -> Sequence[str]:
        """The origins that its pages need; a browser reaches nothing else."""

    @property
    def time_zone(self) -> str:
        """Its IANA zone."""

    @property
    def currency(self) -> str:
        """ISO 4217."""

    @property
    def politeness(self) -> Politeness:
        """Its pace."""

    @property
    def config_schema(self) -> Mapping[str, object]:
        """JSON Schema (2020-12) of a job's config."""

    def checked(self, config: object) -> Mapping[str, object]:
        """The config with its defaults. Raises InvalidInput with the path (``config``, ...) of what is wrong."""

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        """Whose login this job is for: the config's person, else the owner's own name; None if nobody said."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in, as the portal shows it. Never logged; ``number`` is the portal's own key of a person."""

    name: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class CapturedCode:
    """A login code as it just appeared: its text, the picture (PNG), and when the page changed (UTC)."""

    text: str = field(repr=False)
    image: bytes = field(repr=False)
    shown_at: datetime
    life: timedelta
    autostart_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PortalBooking:
    """A line of the portal's "my bookings"."""

    number: str
    slot: Slot


class VisitFailed(Exception):
    """What ends or interrupts a visit; the words say what was seen, and nothing personal."""


class PortalDown(VisitFailed):
    """It does not answer, answers with an error, or shows a maintenance page."""


class PortalChanged(VisitFailed):
    """It shows something that this adapter does not know."""


class LoggedOut(VisitFailed):
    """The portal ended the person's session."""


class CaptchaShown(VisitFailed):
    """It asks for a proof that a person is at work. Only the person can go on, on their own."""


class LoginRefused(VisitFailed):
    """The person cancelled, or the login was refused for good."""


class CodeExpired(VisitFailed):
    """The order of the login ran out unscanned; the page may start another."""


class BrowserCrashed(VisitFailed):
    """The browser, or its page, is gone."""


class SlotTaken(VisitFailed):
    """Somebody else has the slot."""


class Visit(Protocol):
    """One visit to a portal in one page. Every step races its possible outcomes and reads its result back.

    ``arrive``, ``open_login``, ``configure``, ``search`` and ``my_bookings`` begin from whatever page is shown, so that
    they can be taken again after an interruption; each other step follows the one before it here.

    Any of them raises PortalDown, PortalChanged, LoggedOut, CaptchaShown, BrowserCrashed.
    """

    async def arrive(self) -> None:
        """Open the front page, past its cookie bar."""

    async def open_login(self) -> None:
        """Go to where one signs in."""

    async def begin_identity_check(self) -> None:
        """Choose the login by code; returns when a code is being shown."""

    def codes(self) -> AbstractAsyncContextManager[AsyncIterator[CapturedCode]]:
        """The codes from here on, the one that is shown now first; none is repeated."""

    async def signed_in(self) -> Person:
        """Wait until the person has signed in. Raises LoginRefused, CodeExpired (no new order can be started)."""

    async def configure(self, config: Mapping[str, object]) -> None:
        """Choose what is to be booked (licence, exam), and read it back."""

    async def choose_places(self, config: Mapping[str, object]) -> None:
        """Choose the places, and read them back."""

    async def search(self, config: Mapping[str, object]) -> Sequence[Slot]:
        """Look for times once; those that fit the config, best first."""

    async def choose(self, slot: Slot) -> Slot:
        """Keep a slot; the one that the portal says it kept, which may be another. Raises SlotTaken."""

    async def confirm(self, slot: Slot) -> str:
        """The click that cannot be taken back: the booking number read from the confirmation. Raises SlotTaken."""

    async def my_bookings(self) -> Sequence[PortalBooking]:
        """What the person has booked, by the portal's own list."""

    async def sign_out(self) -> None:
        """Sign the person out."""

    async def picture(self, *, with_code: bool) -> bytes:
        """The page as JPEG, personal fields masked, and the code too unless asked for."""


class Visits(Protocol):
    """Opens visits, each in a browser of its own or a context of a shared one; at most so many at once."""

    def __call__(self, job: Job, portal: Portal) -> AbstractAsyncContextManager[Visit]:
        """A visit for a job; leaving closes the browser within a second whatever it does. Raises BrowserCrashed."""

    async def witness(self, job_id: UUID) -> Sequence[Artifact]:
        """Keep what a job's visit shows, veiled, and how it came there; the visit is of no use any more.

        Takes up to 3 s, and never fails: what cannot be had is not among the files.
        """
