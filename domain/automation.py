"""Having a portal booked: what callers ask for, and what workers do about it. Each use case is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.access import is_staff, must_be_staff, signed_in_user
from domain.endpoints import endpoint_of_job
from domain.errors import Conflict, InvalidInput, NotFound, PolicyViolation, PortalUnavailable
from domain.events import Event, Stream
from domain.fulfilment import fulfil
from domain.ids import new_id
from domain.jobs import (
    Advance,
    Artifact,
    AutomationStatus,
    Claim,
    Job,
    Lease,
    LeaseLost,
    NewJob,
    Outcome,
    PortalState,
)
from domain.once import Once
from domain.portal_login import folded
from domain.portals import Portal
from domain.ports import Begin, Transaction
from domain.text import checked_optional_text
from domain.viewer import Viewer

MAX_REFERENCE = 200
MOST_WEBHOOKS = 60
"""Jobs an hour with a webhook of their own, for each that an account may have at once: a job takes a minute or more."""
OVERDUE_AT_ONCE = 100
_ENDS = {
    AutomationStatus.COMPLETED: "automation.completed",
    AutomationStatus.FAILED: "automation.failed",
    AutomationStatus.TIMED_OUT: "automation.failed",
    AutomationStatus.STOPPED: "automation.stopped",
}


@dataclass(frozen=True, slots=True)
class StartJob:
    """A wish to be booked. ``subject`` names in the caller's words for whom, ``reference`` is an id of their own.

    ``webhook_url`` is told of every event of the job; where ``older``, as the older systems did it.
    """

    portal_key: str
    config: object
    webhook_url: str | None = None
    older: bool = False
    reference: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class StopJob:
    """A wish to stop."""

    id: UUID | None


@dataclass(frozen=True, slots=True)
class Automation:
    """The use cases, over the ``portals`` of this installation by key. ``life`` is the time that a job may take.

    ``http`` says that webhooks may go to ``http:`` addresses, as in development.
    """

    begin: Begin
    once: Once
    portals: Mapping[str, Portal]
    life: timedelta
    jobs_per_account: int
    http: bool = False

    async def register(self) -> None:
        """Give each portal its row and its organization, where they are missing."""
        async with self.begin(None) as tx:
            for portal in self.portals.values():
                await tx.jobs.register_portal(portal.key, portal.name, portal.time_zone, portal.currency)

    # ------------------------------------------------------------------------------------------ callers

    async def start(self, viewer: Viewer, request: StartJob, key: str | None = None) -> Job:
        """Put a job into the queue.

        Raises Unauthenticated, NotFound (no such portal), InvalidInput (the config, the webhook's address,
        nobody's name), PortalUnavailable, PolicyViolation (too many jobs, or one for the same person),
        IdempotencyMismatch.
        """
        signed_in_user(viewer)

        async def work(tx: Transaction) -> Job:
            return await self._start(tx, viewer, request)

        return await self.once.run(viewer, "startAutomationJob", request, key, work, _job)

    async def stop(self, viewer: Viewer, job_id: UUID | None, key: str | None = None) -> Job:
        """Have a job end as soon as may be, as its owner or as staff. Stopping twice is stopping once.

        Raises NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Job:
            return await _stop(tx, viewer, job_id)

        return await self.once.run(viewer, "stopAutomationJob", StopJob(job_id), key, work, _job)

    async def switch_portal(self, viewer: Viewer, key: str, on: bool) -> PortalState:
        """The kill switch, for staff of the portal's organization. Switched off, it stops what is under way.

        Raises NotFound, Unauthenticated, Forbidden.
        """
        async with self.begin(viewer) as tx:
            state = await tx.jobs.portal(key)
            if state is None:
                raise NotFound("No such portal.", ("portalKey",))
            await must_be_staff(tx, viewer, state.organization_id)
            stopping = [] if on else await tx.jobs.ask_all_to_stop(key)
            tx.emit(*(job_event("automation.stop_asked", job) for job in stopping))
            return await tx.jobs.switch_portal(key, on) or state

    # ------------------------------------------------------------------------------------------ workers

    async def claim(self, worker: UUID, lease: timedelta) -> Claim | None:
        """Take the next job; None if there is none."""
        async with self.begin(None) as tx:
            claim = await tx.jobs.claim(worker, list(self.portals), lease)
            if claim is not None:
                first = claim.job.attempt == 1
                tx.emit(job_event("automation.started" if first else "automation.updated", claim.job))
            return claim

    async def renew(self, leases: Sequence[Lease], by: timedelta) -> Mapping[UUID, tuple[Lease, bool]]:
        """Prolong leases; by job the new lease, and whether it is to stop. What is missing is lost."""
        async with self.begin(None) as tx:
            return await tx.jobs.renew(leases, by)

    async def identify(self, lease: Lease, person: bytes) -> None:
        """Note who signed in, as a keyed hash.

        Raises PolicyViolation where another job of theirs is not over, LeaseLost.
        """
        async with self.begin(None) as tx:
            await tx.jobs.identify(lease, person)

    async def advance(self, lease: Lease, advance: Advance) -> Job:
        """Write a step of a run, any but COMPLETED. Raises LeaseLost."""
        async with self.begin(None) as tx:
            return _told(tx, await tx.jobs.advance(lease, advance))

    async def keep(self, lease: Lease, artifacts: Sequence[Artifact]) -> Job:
        """Note files that were kept of a run. Raises LeaseLost."""
        async with self.begin(None) as tx:
            return _told(tx, await tx.jobs.keep(lease, artifacts))

    async def complete(self, lease: Lease, outcome: Outcome, message: str) -> Job:
        """COMPLETED, with its Booking, once: who completes again gets the same. Raises LeaseLost."""
        try:
            return await self._complete(lease, outcome, message)
        except Conflict:  # staff have just opened a schedule of their own where the booking was to go
            return await self._complete(lease, outcome, message)

    async def give_back(self, leases: Sequence[Lease]) -> Sequence[Job]:
        """Put jobs that were broken off on purpose back into the queue, in front."""
        async with self.begin(None) as tx:
            return [_told(tx, job) for job in await tx.jobs.give_back(leases)]

    async def overdue(self) -> Sequence[Job]:
        """End up to 100 jobs that nobody runs and whose time is over, or that were to stop."""
        async with self.begin(None) as tx:
            return [_told(tx, job) for job in await tx.jobs.overdue(OVERDUE_AT_ONCE)]

    async def _complete(self, lease: Lease, outcome: Outcome, message: str) -> Job:
        async with self.begin(None) as tx:
            job = await tx.jobs.job(lease.job_id)
            if job is None:
                raise LeaseLost
            if job.status is AutomationStatus.COMPLETED:
                return job
            booking = await fulfil(tx, job, outcome, self.portals[job.portal_key])
            outcome = replace(outcome, booking_id=booking.id)
            completed = Advance(AutomationStatus.COMPLETED, message, outcome=outcome)
            return _told(tx, await tx.jobs.advance(lease, completed))

    async def _start(self, tx: Transaction, viewer: Viewer, request: StartJob) -> Job:
        account_id = signed_in_user(viewer)
        portal = self.portals.get(request.portal_key)
        state = await tx.jobs.portal(request.portal_key) if portal else None
        if portal is None or state is None:
            raise NotFound("No such portal.", ("portalKey",))
        config = portal.checked(request.config)
        _must_be_somebodys(portal.expected_name(config, (await tx.accounts.contact(account_id)).name))
        await _must_be_open(tx, portal, state)
        if await tx.jobs.unfinished(account_id) >= self.jobs_per_account:
            raise PolicyViolation(
                f"At most {self.jobs_per_account} jobs of an account may be under way; stop one, or wait for an end."
            )
        reference = checked_optional_text(request.reference, ("reference",), MAX_REFERENCE)
        if reference and (known := await tx.jobs.by_reference(account_id, reference)) and not known.over:
            raise PolicyViolation(
                "A job of yours that is not over has this id; stop it, or pick another.", ("reference",)
            )
        new = NewJob(
            id=new_id(),
            account_id=account_id,
            organization_id=state.organization_id,
            portal_key=portal.key,
            config=config,
            life=self.life,
            subject=checked_optional_text(request.subject, ("subject",)) or "",
            reference=reference,
        )
        job = await tx.jobs.add(new)
        if request.webhook_url:
            await endpoint_of_job(
                tx,
                viewer,
                job.id,
                request.webhook_url,
                most=MOST_WEBHOOKS * self.jobs_per_account,
                http=self.http,
                older=request.older,
            )
        tx.emit(job_event("automation.queued", job))
        return job


def job_event(type_: str, job: Job) -> Event:
    """A step of a job's story. Nothing personal is in it, and no code."""
    data: dict[str, object] = {
        "status": job.status.value,
        "progress": job.progress,
        "attempt": job.attempt,
        "message": job.message,
        "portal": job.portal_key,
    }
    if job.failure is not None:
        data["failure"] = job.failure.value
    if job.outcome is not None and job.outcome.booking_id is not None:
        data["bookingId"] = str(job.outcome.booking_id)
    return Event(
        Stream.AUTOMATION,
        job.id,
        job.version,
        type_,
        _instant(job),
        data,
        organization_id=job.organization_id,
        account_id=job.account_id,
    )


def _told(tx: Transaction, job: Job) -> Job:
    """The job as a step left it, of which the log hears."""
    tx.emit(job_event(_ENDS.get(job.status, "automation.updated"), job))
    return job


async def _stop(tx: Transaction, viewer: Viewer, job_id: UUID | None) -> Job:
    job = await tx.jobs.job(job_id) if job_id else None
    if job is None or not (
        job.account_id == viewer.user_id or await is_staff(tx, viewer, job.organization_id)
    ):
        raise _no_such_job()
    if job.over or job.stop_asked:
        return job
    asked = await tx.jobs.ask_to_stop(job.id)
    tx.emit(job_event(_ENDS.get(asked.status, "automation.stop_asked"), asked))
    return asked


def _must_be_somebodys(name: str | None) -> None:
    if not folded(name or ""):
        raise InvalidInput(
            "Your account has no name that could be compared with who signs in: say in `person` who will.",
            ("config", "person"),
        )


async def _must_be_open(tx: Transaction, portal: Portal, state: PortalState) -> None:
    path = ("portalKey",)
    if not state.on:
        raise PortalUnavailable(f"{portal.name} is switched off here.", path)
    if state.shut_until is not None:
        raise PortalUnavailable(
            f"{portal.name} does not answer at the moment; try again in some minutes.", path
        )
    if not await tx.jobs.available():
        raise PortalUnavailable("Nobody is there to work at portals at the moment; try again later.", path)


async def _job(tx: Transaction, job_id: UUID) -> Job:
    job = await tx.jobs.job(job_id)
    if job is None:
        raise _no_such_job()
    return job


def _no_such_job() -> NotFound:
    return NotFound("No such job, or it is not yours.", ("id",))


def _instant(job: Job) -> datetime:
    assert job.now is not None  # noqa: S101 - what is told was just written
    return job.now
