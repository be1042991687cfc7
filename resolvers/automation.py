"""Start and stop jobs, look at one's own, and, for staff, switch a portal off."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from strawberry import ID

from domain.access import may_manage, signed_in_user
from domain.errors import Forbidden
from domain.reads import JobSearch
from resolvers.visibility import must_be_member, owns_job, sees_job
from schema.context import Context, Info
from schema.types.automation import (
    AutomationJob,
    AutomationJobResult,
    AutomationStartInput,
    AutomationStatus,
    StopAutomationInput,
)
from schema.types.ids import known_id
from schema.types.paging import Connection, First, Keyset, checked_first
from schema.types.portals import Portal, SwitchPortalInput, SwitchPortalResult

JOBS = Keyset("automationJobs", (datetime, UUID))


async def portals(info: Info) -> list[Portal]:
    """The portals that jobs may be started at, with what each asks for."""
    return [Portal.of(terms) for terms in info.context.services.automation.portals.values()]


async def automation_job(info: Info, id: ID) -> AutomationJob | None:
    """One's own job, or one that staff of the portal's organization may see."""
    known = known_id(id, "AutomationJob")
    found = await info.context.load.job.load(known) if known else None
    if found is None or not await sees_job(info.context, found):
        return None
    return AutomationJob.of(found, own=owns_job(info.context, found))


async def automation_jobs(
    info: Info,
    first: First,
    after: str | None = None,
    status: list[AutomationStatus] | None = None,
    organization_id: ID | None = None,
) -> Connection[AutomationJob]:
    """One's own jobs, or, for staff, those at the portal of an organization; newest first."""
    context, place = info.context, JOBS.read(after)
    search = await _whose(context, organization_id, status)
    page = await context.owned.jobs(context.viewer, checked_first(first), place, search)
    return JOBS.page(page, after, lambda found: AutomationJob.of(found, own=owns_job(context, found)))


async def start_automation_job(info: Info, input: AutomationStartInput) -> AutomationJobResult:
    """Have a worker book on a portal; the job is QUEUED until one takes it."""
    use = info.context.services.automation
    return AutomationJob.of(
        await use.start(info.context.viewer, input.value(), input.idempotency_key), own=True
    )


async def stop_automation_job(info: Info, input: StopAutomationInput) -> AutomationJobResult:
    """Stop a job, wherever it stands; one behind its booking click first finds out what became of that."""
    context, use = info.context, info.context.services.automation
    stopped = await use.stop(context.viewer, known_id(input.id, "AutomationJob"), input.idempotency_key)
    return AutomationJob.of(stopped, own=owns_job(context, stopped))


async def switch_portal(info: Info, input: SwitchPortalInput) -> SwitchPortalResult:
    """Switch a portal off, with every job at it, or on again; for staff of its organization."""
    context = info.context
    await context.services.automation.switch_portal(context.viewer, input.portal_key, input.enabled)
    return Portal.named(input.portal_key, context)


async def _whose(
    context: Context, organization_id: str | None, status: list[AutomationStatus] | None
) -> JobSearch:
    """The search that the caller may make. Raises Unauthenticated, Forbidden."""
    user = signed_in_user(context.viewer)
    if organization_id is None:
        return JobSearch(account_id=user, status=status)
    organization = known_id(organization_id, "Organization")
    if not may_manage(await must_be_member(context, organization)):
        raise Forbidden("Only staff of the organization may see its jobs.")
    return JobSearch(organization_id=organization, status=status)
