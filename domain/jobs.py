"""Automation jobs: somebody's wish to be booked on a portal, and what became of it so far.

A worker runs a job under a *lease*. Each lease has a fencing token, larger than every earlier one of that job; every
write of a run names it, so that a worker that was given up for dead cannot write after its successor has begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class AutomationStatus(StrEnum):
    """Where a job stands, in the order of a run without surprises."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    NAVIGATING = "NAVIGATING"
    LOGIN = "LOGIN"
    BANKID = "BANKID"
    QR_WAITING = "QR_WAITING"
    AUTHENTICATED = "AUTHENTICATED"
    CONFIGURING = "CONFIGURING"
    LOCATIONS = "LOCATIONS"
    SEARCHING = "SEARCHING"
    BOOKING = "BOOKING"
    RECONCILING = "RECONCILING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    TIMED_OUT = "TIMED_OUT"


FINAL = frozenset(
    {
        AutomationStatus.COMPLETED,
        AutomationStatus.FAILED,
        AutomationStatus.STOPPED,
        AutomationStatus.TIMED_OUT,
    }
)
"""What no job leaves any more."""

PROGRESS: Mapping[AutomationStatus, int] = {
    AutomationStatus.QUEUED: 0,
    AutomationStatus.STARTING: 5,
    AutomationStatus.NAVIGATING: 10,
    AutomationStatus.LOGIN: 15,
    AutomationStatus.BANKID: 20,
    AutomationStatus.QR_WAITING: 25,
    AutomationStatus.AUTHENTICATED: 40,
    AutomationStatus.CONFIGURING: 50,
    AutomationStatus.LOCATIONS: 60,
    AutomationStatus.SEARCHING: 70,
    AutomationStatus.BOOKING: 85,
    AutomationStatus.RECONCILING: 90,
    AutomationStatus.COMPLETED: 100,
}
"""Percent done on entering a status; FAILED, STOPPED and TIMED_OUT keep what was reached."""


class AutomationFailure(StrEnum):
    """Why a job FAILED."""

    LOGIN_REFUSED = "LOGIN_REFUSED"
    QR_TIMEOUT = "QR_TIMEOUT"
    NO_SLOT_FOUND = "NO_SLOT_FOUND"
    SLOT_LOST = "SLOT_LOST"
    PORTAL_CHANGED = "PORTAL_CHANGED"
    PORTAL_DOWN = "PORTAL_DOWN"
    BROWSER_CRASHED = "BROWSER_CRASHED"
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    INTERNAL = "INTERNAL"
    CAPTCHA = "CAPTCHA"


@dataclass(frozen=True, slots=True)
class JobStep:
    """One status a job was in, with a sentence for people."""

    status: AutomationStatus
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Slot:
    """A time at a portal: what is booked there. Local to the portal's time zone."""

    date: date
    time: time
    location: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a portal confirmed: its own booking number, and the slot as its "my bookings" shows it."""

    booking_number: str
    slot: Slot
    booking_id: UUID | None = None
    """Our Booking; None until it is made."""


class ArtifactKind(StrEnum):
    """What is kept of a failure."""

    SCREENSHOT = "SCREENSHOT"
    TRACE = "TRACE"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a failed attempt, masked; it is in the data directory's ``artifacts/<job>/<id>``."""

    id: UUID
    job_id: UUID
    kind: ArtifactKind
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is now. ``config`` is what the portal's schema asks for.

    ``account_id`` owns it. ``subject`` is empty for the owner's own job, or names, in an integrator's own words, for
    whom it is; ``reference`` is an id that the caller picked. ``fence`` is the slot whose booking click was about to
    happen: from then on nobody clicks again before the portal's own list was read. ``place`` is the place in the
    queue (1 is next) while QUEUED.
    """

    id: UUID
    account_id: UUID
    organization_id: UUID
    portal_key: str
    config: Mapping[str, object]
    status: AutomationStatus
    message: str
    progress: int
    attempt: int
    created_at: datetime
    deadline_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: AutomationFailure | None = None
    fence: Slot | None = None
    stop_asked: bool = False
    outcome: Outcome | None = None
    subject: str = ""
    reference: str | None = None
    steps: Sequence[JobStep] = ()
    place: int | None = None
    version: int = 1
    now: datetime | None = field(default=None, compare=False, repr=False)
    """The database's clock when it was read or written (UTC)."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job about to be written, QUEUED; ``life`` is the time that all its attempts together may take."""

    id: UUID
    account_id: UUID
    organization_id: UUID
    portal_key: str
    config: Mapping[str, object]
    life: timedelta
    subject: str = ""
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a job until ``until`` (UTC, the database's clock); ``token`` fences off earlier holders."""

    job_id: UUID
    worker: UUID
    token: int
    until: datetime


class LeaseLost(Exception):
    """Another worker has the job, or it is over: this run must stop and write nothing more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker may run now, as it was found; ``owner_name`` is the name of its owner's account."""

    job: Job
    lease: Lease
    owner_name: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Advance:
    """A step of a run: the new status (or the same again), a sentence, and what it brings along."""

    status: AutomationStatus
    message: str
    failure: AutomationFailure | None = None
    fence: Slot | None = None
    """Set before the click that cannot be taken back."""
    lift_fence: bool = False
    """The portal's own list shows that the click had no effect."""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a portal's booking is put here: its offering, and the first resource of its place that is free then.

    A place has as many resources, its lanes, as it had bookings at one time; ``number`` is that of the resource, or of
    the one to be made. None is what is to be made.
    """

    offering_id: UUID | None
    resource_id: UUID | None
    number: int


class JobStore(Protocol):
    """Jobs in the database. Each write that changes what watchers see gives the job with its next version; the use
    case emits the event. What is said to be refused by the database is refused when the transaction ends.
    """

    async def add(self, job: NewJob) -> Job:
        """Write a new job, QUEUED. Raises PolicyViolation where the subject has one that is not over at the portal."""

    async def unfinished(self, account_id: UUID) -> int:
        """How many of an account's jobs are not over; until the transaction ends, nobody else counts them."""

    async def job(self, job_id: UUID) -> Job | None:
        """A job as the caller may see it, locked until the transaction ends; None if there is none."""

    async def by_reference(self, account_id: UUID, reference: str) -> Job | None:
        """An account's newest job with an id that they picked."""

    async def ask_to_stop(self, job_id: UUID) -> Job:
        """Note that a job that is locked and not over is to stop.

        Before a fence it has ended at once, whoever runs it: STOPPED. Behind one whoever runs it is to find out what
        was booked; where nobody does, it has ended as FAILED (UNKNOWN_OUTCOME).
        """

    async def ask_all_to_stop(self, portal: str) -> Sequence[Job]:
        """The same for all jobs of a portal that somebody runs; those that were not asked before."""

    async def claim(self, worker: UUID, portals: Sequence[str], lease: timedelta) -> Claim | None:
        """Take the next job: one whose lease ran out, else of the account that has run least, the oldest; or None.

        Skips what others are taking, portals that are off, and jobs whose deadline passed (see ``overdue``). Its
        attempt grows by one, and it becomes STARTING, or RECONCILING behind a fence.
        """

    async def overdue(self, limit: int) -> Sequence[Job]:
        """End jobs without a live lease whose deadline passed (TIMED_OUT), or that were to stop (STOPPED).

        Behind a fence either is FAILED (UNKNOWN_OUTCOME).
        """

    async def renew(self, leases: Sequence[Lease], by: timedelta) -> Mapping[UUID, tuple[Lease, bool]]:
        """Prolong leases; by job the new lease, and whether it is to stop, if only since its portal is off.

        What is missing is lost. One that ran out may be prolonged as long as nobody else took the job.
        """

    async def advance(self, lease: Lease, advance: Advance) -> Job:
        """Write a step of a run. A final status ends the lease. Raises LeaseLost.

        A fence needs a lease that has not run out: whoever takes the job over must find it.
        """

    async def identify(self, lease: Lease, person: bytes) -> None:
        """Note who signed in (a keyed hash).

        Raises PolicyViolation if another job of theirs is not over, or if an earlier attempt was somebody else's: what
        that one booked is not in this person's list. Raises LeaseLost.
        """

    async def keep(self, lease: Lease, artifacts: Sequence[Artifact]) -> Job:
        """Note files that were kept. Raises LeaseLost."""

    async def forget_artifacts(self, keep: timedelta, limit: int) -> int:
        """Drop up to ``limit`` of those older than ``keep``, but not their files; how many were dropped."""

    async def give_back(self, leases: Sequence[Lease]) -> Sequence[Job]:
        """End leases of runs that were broken off on purpose (a worker's shutdown): QUEUED again, first in line."""

    async def report(self, worker: UUID, slots: int, busy: int) -> None:
        """A worker that has a browser is alive: what ``available`` looks at."""

    async def available(self) -> bool:
        """Whether any worker with a browser reported within the last 30 s."""

    async def lane(self, organization_id: UUID, place: str, start: datetime, end: datetime) -> Lane:
        """Where a booking at a place of a portal is put that runs over [start, end).

        Until the transaction ends, nobody else looks for a lane of this portal.
        """

    async def turn(self, portal: str, gap: timedelta) -> timedelta:
        """Take a turn at a portal, ``gap`` after the last one of anybody.

        How long to wait, and then to ask again; zero where it was taken.
        """

    async def portal(self, key: str) -> PortalState | None:
        """Whether a portal is on, and whose it is; None for one that was never registered."""

    async def portals(self) -> Sequence[PortalState]:
        """All that were registered."""

    async def register_portal(self, key: str, name: str, time_zone: str, currency: str) -> PortalState:
        """The portal's row, made with an organization of that name where it is missing."""

    async def switch_portal(self, key: str, on: bool) -> PortalState | None:
        """Kill switch: no job of an off portal starts."""

    async def note_portal(self, key: str, down: bool) -> PortalState:
        """Count what a visit found: five failures in a row shut the portal for 60 s.

        After that one job may try it; each failure then doubles the time, up to 30 min.
        """


@dataclass(frozen=True, slots=True)
class PortalState:
    """A portal as the database knows it: ``on`` is its kill switch; ``shut_until`` (UTC) while its circuit is open."""

    key: str
    organization_id: UUID
    on: bool
    shut_until: datetime | None = None
    now: datetime | None = field(default=None, compare=False, repr=False)
    """The database's clock when it was read or written (UTC)."""

    @property
    def peace(self) -> timedelta:
        """For how long it is to be left in peace."""
        return timedelta(0) if self.shut_until is None or self.now is None else self.shut_until - self.now
