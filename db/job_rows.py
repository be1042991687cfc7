"""Rows of jobs and portals as values of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any

from db.engine import Connection
from domain.jobs import (
    Artifact,
    ArtifactKind,
    AutomationFailure,
    AutomationStatus,
    Job,
    JobStep,
    Outcome,
    PortalState,
    Slot,
)

JOB_COLUMNS = """j.id, j.account_id, j.organization_id, j.portal_key, j.config, j.status, j.message, j.progress,
  j.attempt, j.created_at, j.deadline_at, j.started_at, j.finished_at, j.failure, j.fence, j.stop_asked, j.outcome,
  j.booking_id, j.subject, j.reference, j.steps, j.version, clock_timestamp() AS now"""

JOB_BY_REFERENCE = f"""
SELECT {JOB_COLUMNS} FROM automation_job j WHERE j.account_id = $1 AND j.reference = $2
ORDER BY j.created_at DESC, j.id DESC LIMIT 1
"""

PORTAL_COLUMNS = """p.key, p.organization_id, p.enabled,
  CASE WHEN p.shut_until > clock_timestamp() THEN p.shut_until END AS shut_until, clock_timestamp() AS now"""

PLACES = "SELECT id, place FROM automation_queue() WHERE id = ANY ($1::uuid[])"


def job(row: Any) -> Job:
    """A row with ``JOB_COLUMNS``; its place in the queue is another question (``PLACES``)."""
    return Job(
        id=row["id"],
        account_id=row["account_id"],
        organization_id=row["organization_id"],
        portal_key=row["portal_key"],
        config=row["config"],
        status=AutomationStatus(row["status"]),
        message=row["message"],
        progress=row["progress"],
        attempt=row["attempt"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        failure=AutomationFailure(row["failure"]) if row["failure"] else None,
        fence=_slot(row["fence"]) if row["fence"] else None,
        stop_asked=row["stop_asked"],
        outcome=_outcome(row) if row["outcome"] else None,
        subject=row["subject"],
        reference=row["reference"],
        steps=[_step(step) for step in row["steps"]],
        version=row["version"],
        now=row["now"],
    )


def portal_state(row: Any) -> PortalState:
    """A row with ``PORTAL_COLUMNS``."""
    return PortalState(row["key"], row["organization_id"], row["enabled"], row["shut_until"], row["now"])


def artifact(row: Any) -> Artifact:
    """A row of ``artifact``."""
    return Artifact(row["id"], row["job_id"], ArtifactKind(row["kind"]), row["taken_at"])


def slot_json(slot: Slot) -> Mapping[str, str]:
    """A slot as it is kept."""
    return {"date": slot.date.isoformat(), "time": slot.time.isoformat(), "location": slot.location}


def _slot(kept: Mapping[str, str]) -> Slot:
    return Slot(date.fromisoformat(kept["date"]), time.fromisoformat(kept["time"]), kept["location"])


def _step(kept: Mapping[str, str]) -> JobStep:
    return JobStep(AutomationStatus(kept["status"]), kept["message"], datetime.fromisoformat(kept["at"]))


def _outcome(row: Any) -> Outcome:
    return Outcome(row["outcome"]["number"], _slot(row["outcome"]["slot"]), row["booking_id"])


async def placed(connection: Connection, jobs: Sequence[Job]) -> Sequence[Job]:
    """The same jobs; those that wait with their places in the queue, which nobody asks for where none does."""
    waiting = [each.id for each in jobs if each.status is AutomationStatus.QUEUED]
    if not waiting:
        return jobs
    places = {row["id"]: row["place"] for row in await connection.fetch(PLACES, waiting)}
    return [replace(each, place=places.get(each.id)) for each in jobs]
