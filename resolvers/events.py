"""The pull side of the log."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from domain.access import Role, may_manage, signed_in_user
from domain.events import Position
from domain.feed import Audience
from domain.reads import Key
from resolvers.visibility import must_be_member
from schema.context import Context, Info
from schema.ids import MalformedId, decode
from schema.scalars import Cursor
from schema.types.events import Event, EventFilter, log_cursor, read_log_cursor
from schema.types.ids import known_id
from schema.types.paging import Connection, First, checked_first, connection


async def events(
    info: Info, first: First, after: Cursor | None = None, filter: EventFilter | None = None
) -> Connection[Event]:
    """What happened, in order, as far as the caller may see it."""
    epoch = info.context.services.feed.epoch
    audience = await audience_of(info.context, filter)
    place = read_log_cursor(after)[1] if after else None
    page = await info.context.owned.events(info.context.viewer, checked_first(first), place, audience)

    def cursor(key: Key) -> str:
        xid, id_ = key
        return log_cursor(epoch, Position(cast("int", xid), cast("int", id_)))

    return connection(page, after, cursor, lambda event: Event.of(event, epoch))


async def audience_of(context: Context, asked: EventFilter | None) -> Audience:
    """What the caller may hear of what is asked for. Raises Unauthenticated, Forbidden."""
    user, asked = signed_in_user(context.viewer), asked or EventFilter()
    subject = _subject(asked.subject_id)
    if asked.organization_id is None:
        staffed = [organization for organization, role in (await context.roles()).items() if may_manage(role)]
        return Audience(staffed, user, types=asked.types, subject_id=subject)
    return await audience_of_organization(context, asked.organization_id, asked.types, subject)


async def audience_of_organization(
    context: Context, organization_id: str, types: list[str] | None = None, subject: UUID | None = None
) -> Audience:
    """What a member may hear of an organization; a provider what concerns their resources."""
    organization = known_id(organization_id, "Organization")
    role = await must_be_member(context, organization)
    assert organization is not None  # noqa: S101 - a role was found for it
    if role is not Role.PROVIDER:
        return Audience([organization], types=types, subject_id=subject)
    provided = await context.reads.provided_by(signed_in_user(context.viewer), organization)
    return Audience(resources=provided, types=types, subject_id=subject)


def _subject(gid: str | None) -> UUID | None:
    """The id inside a global id of any type; for what is no id, one that nothing has."""
    if gid is None:
        return None
    try:
        return decode(gid)[1]
    except MalformedId:
        return UUID(int=0)
