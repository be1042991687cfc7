"""Jobs that book on somebody else's portal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated, Self

import strawberry

from domain import jobs
from domain.automation import StartJob
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.scalars import JSON, URL
from schema.types.bookings import Booking
from schema.types.codes import QrCode
from schema.types.node import Node
from schema.types.portals import Portal
from schema.types.refusals import (
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PolicyViolation,
    PortalUnavailable,
)

AutomationStatus = jobs.AutomationStatus
strawberry.enum(AutomationStatus, description="Where a job stands, in the order of a run without surprises.")
AutomationFailure = jobs.AutomationFailure
strawberry.enum(AutomationFailure, description="Why a job failed.")
ArtifactKind = jobs.ArtifactKind
strawberry.enum(ArtifactKind, description="What is kept of a failure.")


@strawberry.type
class AutomationStep:
    """One status that a job was in."""

    status: AutomationStatus
    message: str
    at: datetime


@strawberry.type
class Artifact:
    """A file kept of a failed attempt; personal fields and the code are masked."""

    kind: ArtifactKind
    url: URL = strawberry.field(description="Signed, short-lived.")
    taken_at: datetime


@strawberry.type
class AutomationOutcome:
    """What the portal confirmed, as its own list of bookings shows it."""

    booking_id: str = strawberry.field(description="The portal's own booking number.")
    exam_date: date
    exam_time: time
    location: str
    value: strawberry.Private[jobs.Outcome]
    own: strawberry.Private[bool]

    @batched
    @staticmethod
    async def booking(outcomes: Sequence[AutomationOutcome], context: Context) -> list[Booking | None]:
        """The booking that it became here."""
        made = [one.value.booking_id for one in outcomes]
        found = await context.load.booking.many([id_ for id_ in made if id_ is not None])
        by_id = {one.id: one for one in found if one is not None}
        return [
            Booking.of(by_id[id_], own=one.own) if id_ in by_id else None
            for one, id_ in zip(outcomes, made, strict=True)
        ]

    @classmethod
    def of(cls, value: jobs.Outcome, *, own: bool) -> Self:
        """From the trade's value; ``own`` if the job is the caller's."""
        return cls(
            booking_id=value.booking_number,
            exam_date=value.slot.date,
            exam_time=value.slot.time,
            location=value.slot.location,
            value=value,
            own=own,
        )


@strawberry.type
class AutomationJob(Node):
    """Somebody's wish to be booked on a portal, and what became of it so far."""

    status: AutomationStatus
    message: str
    progress: int = strawberry.field(description="0..100")
    attempt: int
    config: JSON
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failure: AutomationFailure | None
    version: int
    subject: str | None = strawberry.field(
        description="For whom it is, in an integrator's own words; null for the owner's own job."
    )
    reference: str | None = strawberry.field(description="The id that the caller picked.")
    queue_place: int | None = strawberry.field(description="The place in the queue while QUEUED; 1 is next.")
    value: strawberry.Private[jobs.Job]
    own: strawberry.Private[bool]

    @batched
    @staticmethod
    async def portal(jobs: Sequence[AutomationJob], context: Context) -> list[Portal]:
        """Where it books."""
        return [Portal.named(one.value.portal_key, context) for one in jobs]

    @strawberry.field
    def steps(self) -> list[AutomationStep]:
        """The statuses that it was in, in order."""
        return [AutomationStep(status=one.status, message=one.message, at=one.at) for one in self.value.steps]

    @batched
    @staticmethod
    async def qr_code(jobs: Sequence[AutomationJob], context: Context) -> list[QrCode | None]:
        """The newest code, while one is valid; the owner's alone."""
        return [await _code(one, context) for one in jobs]

    @strawberry.field
    def result(self) -> AutomationOutcome | None:
        """What was booked."""
        outcome = self.value.outcome
        return AutomationOutcome.of(outcome, own=self.own) if outcome else None

    @batched
    @staticmethod
    async def artifacts(jobs: Sequence[AutomationJob], context: Context) -> list[list[Artifact]]:
        """What was kept of its failures."""
        found = await context.load.artifacts.many([one.value.id for one in jobs])
        sign = context.services.artifact_url
        return [
            [Artifact(kind=each.kind, url=URL(sign(each)), taken_at=each.taken_at) for each in kept or ()]
            for kept in found
        ]

    @classmethod
    def of(cls, value: jobs.Job, *, own: bool) -> Self:
        """From the trade's value; ``own`` if it is the caller's."""
        return cls(
            id=strawberry.ID(encode("AutomationJob", value.id)),
            status=value.status,
            message=value.message,
            progress=value.progress,
            attempt=value.attempt,
            config=JSON(value.config),
            created_at=value.created_at,
            started_at=value.started_at,
            finished_at=value.finished_at,
            failure=value.failure,
            version=value.version,
            subject=value.subject or None,
            reference=value.reference,
            queue_place=value.place,
            value=value,
            own=own,
        )


async def _code(job: AutomationJob, context: Context) -> QrCode | None:
    if not job.own or job.status is not AutomationStatus.QR_WAITING:
        return None
    code = await context.services.live.code(job.value.id)
    return QrCode.of(code) if code else None


@strawberry.input
class AutomationStartInput:
    """What is to be booked, and where."""

    portal_key: str
    config: JSON
    webhook_url: URL | None = strawberry.field(
        default=None, description="Called with every event of this job."
    )
    subject: str | None = strawberry.field(
        default=None, description="For whom it is, in an integrator's own words; null for oneself."
    )
    reference: str | None = strawberry.field(
        default=None, description="An id of the caller's own for this job."
    )
    idempotency_key: str | None = None

    def value(self) -> StartJob:
        """As the trade's value."""
        return StartJob(
            self.portal_key,
            self.config,
            self.webhook_url,
            reference=self.reference,
            subject=self.subject,
        )


@strawberry.input
class StopAutomationInput:
    """Which job."""

    id: strawberry.ID
    idempotency_key: str | None = None


AutomationJobResult = Annotated[
    AutomationJob | PortalUnavailable | InvalidInput | PolicyViolation | NotFound | IdempotencyMismatch,
    strawberry.union("AutomationJobResult"),
]
