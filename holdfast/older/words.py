"""What the older systems' front ends read: their names of statuses and fields."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from domain.jobs import AutomationStatus, Job
from domain.live import LoginCode

Told: TypeAlias = dict[str, Any]

_OTHERWISE: Mapping[AutomationStatus, str] = {
    AutomationStatus.QUEUED: "starting",
    AutomationStatus.RECONCILING: "booking",
}
"""What they have no word for; everything else is the status in small letters."""


_FIELDS: Mapping[str, str] = {
    "reference": "job_id",
    "subject": "user_id",
    "webhookUrl": "webhook_url",
    "licence": "license_type",
    "places": "locations",
}
"""Our names of what they send."""


def field_of(path: Sequence[str]) -> str | None:
    """What they call the place in a request that a refusal names; None for the portal, which they do not name."""
    return ".".join(_FIELDS.get(part, part) for part in path if part != "portalKey") or None


def name_of(job: Job) -> str:
    """What its caller calls a job: the id that they picked, else ours."""
    return job.reference or str(job.id)


def status_of(job: Job) -> str:
    """A status in their words."""
    return _OTHERWISE.get(job.status, job.status.value.lower())


def started(job: Job, *, webhook: bool) -> Told:
    """The answer to a start."""
    name = name_of(job)
    return {
        "job_id": name,
        "status": status_of(job),
        "message": job.message,
        "webhook_configured": webhook,
        "websocket_url": f"/ws/{name}",
        "qr_polling_url": f"/api/v1/booking/{name}/qr",
    }


def stopped(job: Job) -> Told:
    """The answer to a stop: "stopping" while it is found out what was booked."""
    return {
        "job_id": name_of(job),
        "status": status_of(job) if job.over else "stopping",
        "message": job.message,
    }


def status(job: Job) -> Told:
    """How a job is doing."""
    told: Told = {
        "job_id": name_of(job),
        "user_id": job.subject or None,
        "status": status_of(job),
        "message": job.message,
        "progress": job.progress,
        "created_at": _instant(job.created_at),
        "started_at": _instant(job.started_at),
        "finished_at": _instant(job.finished_at),
        "booking_result": None,
    }
    if job.outcome is not None:
        slot = job.outcome.slot
        told["booking_result"] = {
            "booking_id": job.outcome.booking_number,
            "exam_date": slot.date.isoformat(),
            "exam_time": f"{slot.time:%H:%M}",
            "location": slot.location,
        }
    return told


def status_update(job: Job) -> Told:
    """The same as a message of the socket."""
    return {"type": "status_update", **status(job), "timestamp": _instant(datetime.now(UTC))}


def qr_update(job: Job, code: LoginCode) -> Told:
    """A login code, polled or as a message of the socket; ``timestamp`` is when the portal's page changed."""
    return {
        "type": "qr_update",
        "job_id": name_of(job),
        "image_data": f"data:image/png;base64,{b64encode(code.image).decode()}",
        "timestamp": _instant(code.shown_at),
    }


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
