"""One run of a job: its lease, what it writes, and the ways in which it is broken off."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

import structlog

from domain.automation import Automation
from domain.errors import Unavailable
from domain.jobs import (
    Advance,
    Artifact,
    AutomationFailure,
    AutomationStatus,
    Claim,
    Lease,
    LeaseLost,
    Outcome,
    PortalState,
    Slot,
)
from domain.live import Live
from domain.portal_login import folded
from domain.portals import CapturedCode, Person, Portal

MARGIN = 1.5
"""Seconds before a lease ends by which a run that cannot renew it is over: a browser closes within one."""
LAST_WORDS = 2.5
"""Seconds that a run which is to stop gets behind the fence, to read what was booked."""
AGAIN = 0.2
HIDING = 1.0

Answer = TypeVar("Answer")
log = structlog.get_logger("holdfast.jobs")


class Ending(Enum):
    """Why a run was broken off."""

    STOP = auto()
    """Somebody asked for it."""
    LEAVE = auto()
    """This worker shuts down: another goes on."""
    LOST = auto()
    """The lease is, or may soon be, another worker's."""


@dataclass(eq=False, slots=True)
class JobRun:
    """``domain.runs.Run`` over the use cases. ``lease_ends`` and ``deadline`` are by this machine's ``monotonic``."""

    automation: Automation
    live: Live
    portal: Portal
    secret: bytes = field(repr=False)
    """Key under which it is kept who signed in."""
    witness: Callable[[], Awaitable[Sequence[Artifact]]]
    """Keeps what the visit shows, as long as it is open."""
    claim: Claim
    lease_ends: float
    lease_for: timedelta
    lease: Lease = field(init=False)
    fence: Slot | None = field(init=False)
    deadline: float = field(init=False)
    ending: Ending | None = field(init=False, default=None)
    over: bool = field(init=False, default=False)
    """Whether its last word is written."""
    walking: asyncio.Task[None] = field(init=False)
    """The journey, which is what is cancelled."""
    _seen: Sequence[Artifact] = field(init=False, default=())
    _watchdog: asyncio.TimerHandle | None = field(init=False, default=None)
    _stepped_at: float = field(init=False, default_factory=monotonic)

    def __post_init__(self) -> None:
        job, self.lease = self.claim.job, self.claim.lease
        self.fence = job.fence
        claimed_at = self.lease.until - self.lease_for  # the deadline is by the database's clock
        self.deadline = self.lease_ends + (job.deadline_at - claimed_at - self.lease_for).total_seconds()
        self.renewed(self.lease, self.lease_ends)

    @property
    def job_id(self) -> UUID:
        """Whose run it is."""
        return self.lease.job_id

    @property
    def left(self) -> float:
        """Seconds until the job's deadline."""
        return self.deadline - monotonic()

    def renewed(self, lease: Lease, ends: float) -> None:
        """Go on until ``ends``, at most."""
        self.lease, self.lease_ends = lease, ends
        if self._watchdog is not None:
            self._watchdog.cancel()
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(max(0.0, ends - MARGIN - monotonic()), self.lost)

    def stop(self) -> None:
        """Break off since somebody asked for it; behind the fence, after a last look at what was booked."""
        if self.ending is None:
            self.ending = Ending.STOP
            if self.fence is None:
                self.break_off()
            else:
                asyncio.get_running_loop().call_later(LAST_WORDS, self.break_off)

    def leave(self) -> None:
        """Break off so that another worker can go on; behind the fence, only when ``break_off`` follows."""
        if self.ending is None:
            self.ending = Ending.LEAVE
            if self.fence is None:
                self.break_off()

    def lost(self) -> None:
        """Break off at once, and write nothing more."""
        self.ending = Ending.LOST
        self.break_off()

    def break_off(self) -> None:
        """Break off wherever it is."""
        self.walking.cancel()

    def done(self) -> None:
        """Nothing watches over it any more."""
        if self._watchdog is not None:
            self._watchdog.cancel()

    async def step(self, status: AutomationStatus, message: str) -> None:
        """Tell where the job stands."""
        await self._write(Advance(status, message))

    async def show_code(self, code: CapturedCode) -> None:
        """Hand a login code to the job's owner. Raises Unavailable."""
        await self.live.show_code(self.job_id, code)

    async def hide_code(self) -> None:
        """No code is valid any more. One that cannot be taken back runs out by itself."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(HIDING):
                await self.live.hide_code(self.job_id)

    async def turn(self) -> None:
        """Wait until a request may be sent to the portal."""
        gap = self.portal.politeness.between_requests
        while gap and (wait := await self._patiently(partial(self._turn, gap))):  # noqa: ASYNC110 # told so by the row  # noqa: ASYNC110 - the turn comes by the clock
            await asyncio.sleep(wait.total_seconds())

    async def portal_answers(self, answers: bool) -> timedelta:
        """Tell the circuit breaker; for how long the portal is to be left in peace."""
        return (await self._patiently(partial(self._note, answers))).peace

    async def identify(self, person: Person) -> None:
        """Note who signed in. Raises PolicyViolation."""
        await self._patiently(partial(self._identify, person))

    async def raise_fence(self, slot: Slot, message: str) -> None:
        """Commit that the click for a slot is about to happen; when this returns, it may."""
        self.fence = slot  # from here on it may have been committed
        await self._write(Advance(AutomationStatus.BOOKING, message, fence=slot))
        if monotonic() > self.lease_ends - MARGIN:
            raise LeaseLost
        if self.ending is not None:
            await self.lift_fence("Stopping before anything is booked.")
            raise asyncio.CancelledError

    async def lift_fence(self, message: str) -> None:
        """The click had no effect: SEARCHING again."""
        await self._write(Advance(AutomationStatus.SEARCHING, message, lift_fence=True))
        self.fence = None

    async def complete(self, outcome: Outcome, message: str) -> None:
        """COMPLETED, with a Booking."""
        await self._patiently(lambda: self.automation.complete(self.lease, outcome, message))
        self.over = True
        self._log_step(AutomationStatus.COMPLETED)

    async def fail(self, failure: AutomationFailure, message: str) -> None:
        """FAILED, with what the page shows."""
        await self.look()
        if self._seen:
            await self._patiently(lambda: self.automation.keep(self.lease, self._seen))
        await self._end(Advance(AutomationStatus.FAILED, message, failure))

    async def look(self) -> None:
        """Keep what the page shows, while there is one."""
        self._seen = self._seen or await self.witness()

    async def time_out(self, message: str) -> None:
        """TIMED_OUT."""
        await self._end(Advance(AutomationStatus.TIMED_OUT, message))

    async def stopped(self) -> None:
        """STOPPED, unless nobody knows what was booked."""
        if self.fence is None:
            await self._end(Advance(AutomationStatus.STOPPED, "Stopped."))
        else:
            await self.fail(AutomationFailure.UNKNOWN_OUTCOME, f"Stopped. {UNKNOWN}")

    async def _turn(self, gap: timedelta) -> timedelta:
        async with self.automation.begin(None) as tx:
            return await tx.jobs.turn(self.portal.key, gap)

    async def _note(self, answers: bool) -> PortalState:
        async with self.automation.begin(None) as tx:
            return await tx.jobs.note_portal(self.portal.key, down=not answers)

    async def _identify(self, person: Person) -> None:
        who = f"{self.portal.key} {person.number or folded(person.name)}"
        async with self.automation.begin(None) as tx:
            await tx.jobs.identify(self.lease, hmac.digest(self.secret, who.encode(), "sha256"))

    async def _end(self, advance: Advance) -> None:
        await self._write(advance)
        self.over = True

    async def _write(self, advance: Advance) -> None:
        await self._patiently(lambda: self.automation.advance(self.lease, advance))
        self._log_step(advance.status)

    async def _patiently(self, write: Callable[[], Awaitable[Answer]]) -> Answer:
        """Bear a database that is away for as long as the lease lasts. Raises LeaseLost."""
        while True:
            try:
                return await write()
            except Unavailable:
                if monotonic() + AGAIN > self.lease_ends:
                    raise LeaseLost from None
                await asyncio.sleep(AGAIN)

    def _log_step(self, status: AutomationStatus) -> None:
        now = monotonic()
        log.info(
            "job.step", job=str(self.job_id), status=status.value, ms=round((now - self._stepped_at) * 1000)
        )
        self._stepped_at = now


UNKNOWN = "It is not known whether the portal has booked: look at your bookings there before you try again."
