"""What is read of jobs in the name of who asks, and of portals, which are everybody's to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from db import job_rows
from db.engine import Pool
from db.job_rows import JOB_BY_REFERENCE, JOB_COLUMNS
from db.patience import PATIENCE, patiently
from db.portals import AVAILABLE, PORTALS
from db.search import Query
from db.transaction import asking
from domain.jobs import Artifact, Job, PortalState
from domain.reads import JobSearch, Key, Page
from domain.viewer import Viewer

_JOBS_BY_ID = f"SELECT {JOB_COLUMNS} FROM automation_job j WHERE j.id = ANY ($1::uuid[])"
_JOBS_BY_BOOKING = f"SELECT {JOB_COLUMNS} FROM automation_job j WHERE j.booking_id = ANY ($1::uuid[])"
_ARTIFACTS = "SELECT * FROM artifact WHERE job_id = ANY ($1::uuid[]) ORDER BY taken_at, id"


class JobReads:
    """Reads over the pool, each in a transaction that knows who asks."""

    def __init__(self, pool: Pool, patience: float = PATIENCE) -> None:
        self._pool = pool
        self._patience = patience

    async def jobs(self, viewer: Viewer, first: int, after: Key | None, search: JobSearch) -> Page[Job]:
        """Jobs that fit, newest first."""
        query = Query(f"SELECT {JOB_COLUMNS} FROM automation_job j")
        query.where("j.account_id = {}", search.account_id)
        query.where("j.organization_id = {}", search.organization_id)
        query.where("j.status = ANY ({}::text[])", search.status)
        if after is not None:
            query.where("(j.created_at, j.id) < ({}, {})", *after)
        query.order("j.created_at DESC, j.id DESC", first + 1)
        found = await self._jobs(viewer, query.text, *query.values)
        return Page([((job.created_at, job.id), job) for job in found[:first]], len(found) > first)

    async def jobs_by_id(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Job]:
        """Those that the caller may see."""
        return {job.id: job for job in await self._jobs(viewer, _JOBS_BY_ID, ids)}

    async def jobs_by_booking(self, viewer: Viewer, ids: Sequence[UUID]) -> Mapping[UUID, Job]:
        """The job behind each booking that a portal made."""
        found = await self._jobs(viewer, _JOBS_BY_BOOKING, ids)
        return {job.outcome.booking_id: job for job in found if job.outcome and job.outcome.booking_id}

    async def job_by_reference(self, viewer: Viewer, reference: str) -> Job | None:
        """The caller's newest job with an id that they picked."""
        if viewer.user_id is None:
            return None
        found = await self._jobs(viewer, JOB_BY_REFERENCE, viewer.user_id, reference)
        return found[0] if found else None

    async def artifacts_by_job(
        self, viewer: Viewer, ids: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[Artifact]]:
        """What is kept of each job, the oldest first."""
        kept: dict[UUID, list[Artifact]] = {id_: [] for id_ in ids}
        for row in await self._fetch(viewer, _ARTIFACTS, ids):
            kept[row["job_id"]].append(job_rows.artifact(row))
        return kept

    async def portal_states(self) -> Mapping[str, PortalState]:
        """All portals that were registered, by key."""
        return {row["key"]: job_rows.portal_state(row) for row in await self._fetch(None, PORTALS)}

    async def automation_available(self) -> bool:
        """Whether a worker with a browser was alive of late."""
        return bool((await self._fetch(None, AVAILABLE))[0][0])

    async def _jobs(self, viewer: Viewer, statement: str, *values: object) -> Sequence[Job]:
        async def attempt() -> Sequence[Job]:
            async with asking(self._pool, viewer) as connection:
                found = [job_rows.job(row) for row in await connection.fetch(statement, *values)]
                return await job_rows.placed(connection, found)

        return await patiently(attempt, self._patience)

    async def _fetch(self, viewer: Viewer | None, statement: str, *values: object) -> list[asyncpg.Record]:
        async def attempt() -> list[asyncpg.Record]:
            async with asking(self._pool, viewer) as connection:
                return await connection.fetch(statement, *values)

        return await patiently(attempt, self._patience)
