"""Book, cancel, and look at what one has booked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from strawberry import ID

from domain.access import Role, signed_in_user
from domain.reads import BookingSearch
from domain.reference import normalize_reference
from resolvers.visibility import must_be_member, owns_booking, sees_booking
from schema.context import Context, Info
from schema.types.bookings import (
    Booking,
    BookingFilter,
    BookInput,
    BookResult,
    CancelBookingInput,
    CancelResult,
)
from schema.types.ids import known_id
from schema.types.paging import Connection, First, Keyset, checked_first

BOOKINGS = Keyset("bookings", (datetime, UUID))


async def booking(info: Info, id: ID) -> Booking | None:
    """One's own booking, or one that a member of its organization may see."""
    known = known_id(id, "Booking")
    found = await info.context.load.booking.load(known) if known else None
    if found is None or not await sees_booking(info.context, found):
        return None
    return Booking.of(found, own=owns_booking(info.context, found))


async def booking_by_reference(info: Info, reference: str, email: str) -> Booking | None:
    """A guest's way to a booking."""
    known = normalize_reference(reference)
    if known is None:
        return None
    found = await info.context.owned.booking_by_reference(info.context.viewer, known, email.strip())
    return Booking.of(found, own=True) if found else None


async def bookings(
    info: Info, first: First, after: str | None = None, filter: BookingFilter | None = None
) -> Connection[Booking]:
    """One's own bookings, or those that a member of an organization may see; newest first."""
    context, place = info.context, BOOKINGS.read(after)
    search = await whose(context, filter or BookingFilter())
    page = await context.owned.bookings(context.viewer, checked_first(first), place, search)
    return BOOKINGS.page(page, after, lambda found: Booking.of(found, own=owns_booking(context, found)))


async def book(info: Info, input: BookInput) -> BookResult:
    """Turn a reservation into a booking, once."""
    use = info.context.services.bookings
    return Booking.of(await use.book(info.context.viewer, input.value(), input.idempotency_key), own=True)


async def cancel_booking(info: Info, input: CancelBookingInput) -> CancelResult:
    """Cancel a booking; its seats are free for others at once."""
    use = info.context.services.bookings
    cancelled = await use.cancel(info.context.viewer, input.value(), input.idempotency_key)
    own = use.owned(info.context.viewer, input.token, cancelled)
    return Booking.of(cancelled, own=own)


async def whose(context: Context, asked: BookingFilter) -> BookingSearch:
    """The search that the caller may make. Raises Unauthenticated, Forbidden."""
    user = signed_in_user(context.viewer)
    search = BookingSearch(status=asked.status, start=asked.from_, end=asked.to)
    if asked.organization_id is None:
        return replace(search, account_id=user)
    organization = known_id(asked.organization_id, "Organization")
    role = await must_be_member(context, organization)
    return replace(search, organization_id=organization, provider_id=user if role is Role.PROVIDER else None)
