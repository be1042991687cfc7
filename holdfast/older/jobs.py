"""The caller's own jobs, by the names that they gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.errors import Forbidden, NotFound, PortalUnavailable, Unauthenticated
from domain.jobs import Job
from domain.live import LoginCode
from domain.portals import Portal
from domain.reads import JobSearch, OwnedReads
from domain.scopes import Scope
from domain.viewer import Viewer
from holdfast.older.bodies import is_name, name_in, start_of
from schema.context import Services

MOST = 100


@dataclass(frozen=True, slots=True)
class OlderJobs:
    """The use cases as the older contract has them: one portal, and the caller's own jobs alone."""

    services: Services

    def admit(self, viewer: Viewer) -> None:
        """Raise Unauthenticated for a guest, Forbidden for a key that does not lend jobs."""
        if viewer.user_id is None:
            raise Unauthenticated("Send `Authorization: Bearer <access token or API key>`.")
        if viewer.grant is not None and not viewer.grant.covers(Scope.AUTOMATION):
            raise Forbidden(f"This needs a key with the scope {Scope.AUTOMATION}.")

    async def start(self, viewer: Viewer, body: Mapping[str, object]) -> tuple[Job, bool]:
        """A new job at the first portal that is on, and whether its steps are sent to a webhook.

        Raises what ``Automation.start`` does.
        """
        wish = start_of(body, self._portal())
        return await self.services.automation.start(viewer, wish), wish.webhook_url is not None

    async def stop(self, viewer: Viewer, body: Mapping[str, object]) -> Job:
        """The job, which is to stop. Raises InvalidInput, NotFound."""
        job = await self.find(viewer, name_in(body) or "")
        return await self.services.automation.stop(viewer, job.id)

    async def listed(self, viewer: Viewer) -> Sequence[Job]:
        """The newest hundred."""
        page = await self.services.owned.jobs(viewer, MOST, None, JobSearch(account_id=viewer.user_id))
        return [job for _, job in page.items]

    async def find(self, viewer: Viewer, name: str) -> Job:
        """A job by the id that its caller picked, else by ours. Raises NotFound, whoever else's it is."""
        job = await self.services.owned.job_by_reference(viewer, name) if is_name(name) else None
        if job is None and (id_ := _id(name)):
            job = await self._own(viewer, id_)
        if job is None:
            raise NotFound("No such job.", ("job_id",))
        return job

    async def again(self, viewer: Viewer, job: Job) -> Job:
        """The job as it is now, however long the database is away. Raises NotFound."""
        now = await self._own(viewer, job.id, self.services.owned.patient())
        if now is None:
            raise NotFound("No such job.", ("job_id",))
        return now

    async def code(self, job: Job) -> LoginCode:
        """The newest code. Raises NotFound where none is shown, Unavailable."""
        code = await self.services.live.code(job.id)
        if code is None:
            raise NotFound("No code is shown at the moment.")
        self.services.shown["code"] += 1
        return code

    async def _own(self, viewer: Viewer, job_id: UUID, owned: OwnedReads | None = None) -> Job | None:
        job = (await (owned or self.services.owned).jobs_by_id(viewer, [job_id])).get(job_id)
        return job if job is not None and job.account_id == viewer.user_id else None

    def _portal(self) -> Portal:
        for portal in self.services.automation.portals.values():
            return portal
        raise PortalUnavailable("No portal is switched on here.")


def _id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
