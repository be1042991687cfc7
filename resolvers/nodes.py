"""Anything by its id, as far as the caller may see it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from strawberry import ID

from domain.errors import BadRequest
from domain.events import LoggedEvent
from resolvers.visibility import (
    is_staff,
    owns_booking,
    owns_job,
    owns_reservation,
    sees_booking,
    sees_job,
    sees_reservation,
)
from schema.context import Context, Info
from schema.ids import MalformedId, decode
from schema.scopes import NODES
from schema.types.accounts import User
from schema.types.api_keys import ApiKey
from schema.types.automation import AutomationJob
from schema.types.bookings import Booking, Reservation
from schema.types.catalogue import Offering, Resource
from schema.types.events import Event, event_position
from schema.types.node import Node
from schema.types.organizations import Organization
from schema.types.paging import MOST
from schema.types.schedules import Schedule
from schema.types.seats import SeatLayout
from schema.types.webhooks import Delivery, WebhookEndpoint


async def node(info: Info, id: ID) -> Node | None:
    """Anything by its id; null where there is nothing that the caller may see."""
    try:
        type_name, uuid = decode(id)
    except MalformedId:
        return None
    grant = info.context.viewer.grant
    if grant is not None and not grant.covers(NODES.get(type_name)):
        return None
    find = _FINDERS.get(type_name)
    return await find(info.context, uuid) if find else None


async def nodes(info: Info, ids: list[ID]) -> list[Node | None]:
    """Several things by their ids, up to 100, in the same order."""
    if len(ids) > MOST:
        raise BadRequest(f"At most {MOST} ids at once.")
    return list(await asyncio.gather(*(node(info, id_) for id_ in ids)))


async def _organization(context: Context, id: UUID) -> Organization | None:
    found = await context.load.organization.load(id)
    return Organization.of(found) if found else None


async def _resource(context: Context, id: UUID) -> Resource | None:
    found = await context.load.resource.load(id)
    return Resource.of(found) if found else None


async def _layout(context: Context, id: UUID) -> SeatLayout | None:
    found = await context.load.layout.load(id)
    return SeatLayout.of(found) if found else None


async def _offering(context: Context, id: UUID) -> Offering | None:
    found = await context.load.offering.load(id)
    return Offering.of(found) if found else None


async def _schedule(context: Context, id: UUID) -> Schedule | None:
    found = await context.load.schedule.load(id)
    return Schedule.of(found) if found else None


async def _reservation(context: Context, id: UUID) -> Reservation | None:
    found = await context.load.reservation.load(id)
    if found is None or not await sees_reservation(context, found):
        return None
    return Reservation.of(found, own=owns_reservation(context, found))


async def _booking(context: Context, id: UUID) -> Booking | None:
    found = await context.load.booking.load(id)
    if found is None or not await sees_booking(context, found):
        return None
    return Booking.of(found, own=owns_booking(context, found))


async def _automation_job(context: Context, id: UUID) -> AutomationJob | None:
    found = await context.load.job.load(id)
    if found is None or not await sees_job(context, found):
        return None
    return AutomationJob.of(found, own=owns_job(context, found))


async def _event(context: Context, id: UUID) -> Event | None:
    position = event_position(id)
    found = await context.owned.event_at(context.viewer, position) if position else None
    if found is None or not await _hears(context, found):
        return None
    return Event.of(found, context.services.feed.epoch)


async def _hears(context: Context, event: LoggedEvent) -> bool:
    if event.account_id is not None and event.account_id == context.viewer.user_id:
        return True
    return event.organization_id is not None and await is_staff(context, event.organization_id)


async def _user(context: Context, id: UUID) -> User | None:
    if context.viewer.user_id != id:
        return None
    found = await context.accounts.user(context.viewer)
    return User.of(found) if found else None


async def _api_key(context: Context, id: UUID) -> ApiKey | None:
    found = await context.services.api_keys.find(context.viewer, id)
    return ApiKey.of(found) if found else None


async def _webhook_endpoint(context: Context, id: UUID) -> WebhookEndpoint | None:
    found = await context.services.endpoints.endpoint(context.viewer, id)
    return WebhookEndpoint.of(found) if found else None


async def _delivery(context: Context, id: UUID) -> Delivery | None:
    found = await context.services.endpoints.delivery(context.viewer, id)
    return Delivery.of(found, context.services.feed.epoch) if found else None


_FINDERS: dict[str, Callable[[Context, UUID], Awaitable[Node | None]]] = {
    "Organization": _organization,
    "Resource": _resource,
    "SeatLayout": _layout,
    "Offering": _offering,
    "Schedule": _schedule,
    "Reservation": _reservation,
    "Booking": _booking,
    "AutomationJob": _automation_job,
    "Event": _event,
    "User": _user,
    "ApiKey": _api_key,
    "WebhookEndpoint": _webhook_endpoint,
    "Delivery": _delivery,
}
