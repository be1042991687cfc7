"""Whose a reservation, a booking or a job is, and who else may see it."""

from __future__ import annotations

from uuid import UUID

from domain.access import Role, may_manage, may_see_bookings, signed_in_user
from domain.errors import Forbidden
from domain.jobs import Job
from domain.ledger import Booking, Reservation
from schema.context import Context


async def sees_reservation(context: Context, reservation: Reservation, token: str | None = None) -> bool:
    """Whether the caller owns it, shows its token, or is staff of its organization."""
    if owns_reservation(context, reservation, token):
        return True
    return await is_staff(context, reservation.organization_id)


def owns_reservation(context: Context, reservation: Reservation, token: str | None = None) -> bool:
    """Whether the caller reserved it, or shows its token."""
    return context.services.reservations.owned(context.viewer, token, reservation)


async def sees_booking(context: Context, booking: Booking) -> bool:
    """Whether the caller booked it, is staff of its organization, or the provider behind its resource."""
    if owns_booking(context, booking):
        return True
    role = (await context.roles()).get(booking.organization_id)
    if role is not Role.PROVIDER:
        return may_manage(role)
    schedule = await context.load.schedule.load(booking.schedule_id)
    resource = await context.load.resource.load(schedule.resource_id) if schedule else None
    return resource is not None and may_see_bookings(role, context.viewer.user_id, resource.provider_id)


def owns_booking(context: Context, booking: Booking) -> bool:
    """Whether the caller booked it."""
    return context.services.bookings.owned(context.viewer, None, booking)


async def sees_job(context: Context, job: Job) -> bool:
    """Whether the caller started it, or is staff of the portal's organization."""
    return owns_job(context, job) or await is_staff(context, job.organization_id)


def owns_job(context: Context, job: Job) -> bool:
    """Whether the caller started it."""
    return job.account_id == context.viewer.user_id


async def is_staff(context: Context, organization_id: UUID) -> bool:
    """Whether the caller is staff or admin of an organization."""
    return may_manage((await context.roles()).get(organization_id))


async def must_be_member(context: Context, organization_id: UUID | None) -> Role:
    """The caller's role. Raises Unauthenticated for a guest, Forbidden for everybody without one."""
    signed_in_user(context.viewer)
    role = (await context.roles()).get(organization_id) if organization_id else None
    if role is None:
        raise Forbidden("Only members of the organization may see this.")
    return role
