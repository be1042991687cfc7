"""A run: one attempt at a job by one worker, and how it walks through a portal, politely and telling each step."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

from domain.jobs import AutomationFailure, AutomationStatus, Outcome, Slot
from domain.portals import CapturedCode, Person, Portal, Visit

Answer = TypeVar("Answer")


class Run(Protocol):
    """What a run may write and ask. Each raises LeaseLost once the job is another worker's."""

    @property
    def fence(self) -> Slot | None:
        """The slot whose click may have happened, with an outcome that is not known yet."""

    @property
    def left(self) -> float:
        """Seconds until the job's deadline."""

    async def step(self, status: AutomationStatus, message: str) -> None:
        """Tell where the job stands."""

    async def show_code(self, code: CapturedCode) -> None:
        """Hand a login code to the job's owner. Raises Unavailable where it cannot reach them now."""

    async def hide_code(self) -> None:
        """No code is valid any more. Never fails."""

    async def turn(self) -> None:
        """Wait until a request may be sent to the portal."""

    async def portal_answers(self, answers: bool) -> timedelta:
        """Tell the circuit breaker; for how long the portal is to be left in peace."""

    async def identify(self, person: Person) -> None:
        """Note who signed in. Raises PolicyViolation where this is not their job, or not their only one."""

    async def raise_fence(self, slot: Slot, message: str) -> None:
        """Commit that the click for a slot is about to happen; when this returns, it may."""

    async def lift_fence(self, message: str) -> None:
        """The click had no effect: SEARCHING again."""

    async def complete(self, outcome: Outcome, message: str) -> None:
        """The portal confirmed it, and its own list shows it: COMPLETED, with a Booking."""

    async def fail(self, failure: AutomationFailure, message: str) -> None:
        """FAILED."""

    async def time_out(self, message: str) -> None:
        """TIMED_OUT."""


class JourneyEnded(Exception):
    """No way leads on; ``message`` tells people why."""

    def __init__(self, failure: AutomationFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run bears what. Times in seconds."""

    orders: int = 10
    """Login orders that may run out unscanned."""
    login: float = 600.0
    """For the person to sign in."""
    sessions: int = 5
    """Sessions that the portal may end within one run."""
    readings: tuple[float, ...] = (0.0, 2.0, 4.0, 8.0, 16.0)
    """Pauses before each look for an outcome; a click may still be on its way for as long as they take together."""
    first_pause: float = 2.0
    """After the portal did not answer; doubled each time."""
    longest_pause: float = 120.0


@dataclass(slots=True)
class Walk:
    """A visit within a run."""

    visit: Visit
    run: Run
    portal: Portal
    config: Mapping[str, object]
    patience: Patience = field(default_factory=Patience)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[float, float], float] = random.uniform
    status: AutomationStatus = AutomationStatus.STARTING
    _message: str | None = None
    _answering: bool = False
    _silences: int = 0

    @property
    def silent(self) -> bool:
        """Whether the portal has not answered since it was last left in peace."""
        return self._silences > 0 and not self._answering

    async def say(self, status: AutomationStatus, message: str) -> None:
        """Tell where the job stands, unless that is known."""
        if (status, message) != (self.status, self._message):
            await self.run.step(status, message)
            self.status, self._message = status, message

    async def fence(self, slot: Slot, message: str) -> None:
        """Commit that the click for a slot is about to happen."""
        await self.run.raise_fence(slot, message)
        self.status, self._message = AutomationStatus.BOOKING, message

    async def unfence(self, message: str) -> None:
        """Commit that the click had no effect."""
        await self.run.lift_fence(message)
        self.status, self._message = AutomationStatus.SEARCHING, message

    async def ask(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Take a step at the portal when it is our turn."""
        await self.run.turn()
        answer = await step()
        if not self._answering:
            self._answering, self._silences = True, 0
            await self.run.portal_answers(True)
        return answer

    async def bear_silence(self) -> None:
        """Leave a portal that does not answer in peace, each time for longer."""
        self._answering = False
        peace = (await self.run.portal_answers(False)).total_seconds()
        pause = min(self.patience.first_pause * 2**self._silences, self.patience.longest_pause)
        self._silences += 1
        pause = max(self.vary(pause), peace)
        await self.say(
            self.status, f"The portal does not answer at the moment; trying again in {_told(pause)}."
        )
        await self.pause(pause)

    def vary(self, seconds: float) -> float:
        """About so many, by a fifth more or less."""
        return seconds * self.chance(0.8, 1.2)


def _told(seconds: float) -> str:
    return f"about {round(seconds)} seconds" if seconds < 90 else f"about {round(seconds / 60)} minutes"
