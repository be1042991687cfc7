"""Reserve, extend, release, and look at what one has reserved."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from strawberry import ID

from domain.access import may_manage, signed_in_user
from domain.errors import Forbidden
from domain.ledger import Reservation as Held
from domain.reads import ReservationSearch
from resolvers.visibility import must_be_member, owns_reservation, sees_reservation
from schema.context import Context, Info
from schema.types.bookings import (
    ExtendReservationInput,
    ForceReleaseInput,
    ReleaseReservationInput,
    Reservation,
    ReservationResult,
    ReservationStatus,
    ReserveInput,
    ReserveResult,
)
from schema.types.ids import known_id
from schema.types.paging import Connection, First, Keyset, checked_first

RESERVATIONS = Keyset("reservations", (datetime, UUID))


async def reservation(info: Info, id: ID, token: str | None = None) -> Reservation | None:
    """One's own reservation, or one of an organization whose staff one is; a guest shows its token."""
    found = await visible(info.context, id, token)
    return Reservation.of(found, own=owns_reservation(info.context, found, token)) if found else None


async def reservations(
    info: Info,
    first: First,
    after: str | None = None,
    status: ReservationStatus | None = None,
    organization_id: ID | None = None,
) -> Connection[Reservation]:
    """One's own reservations, or, with organizationId, those with it for its staff; newest first."""
    context, place = info.context, RESERVATIONS.read(after)
    search = ReservationSearch(account_id=signed_in_user(context.viewer), status=status)
    if organization_id is not None:
        organization = known_id(organization_id, "Organization")
        if not may_manage(await must_be_member(context, organization)):
            raise Forbidden("Only staff of the organization may see its reservations.")
        search = ReservationSearch(organization_id=organization, status=status)
    page = await context.owned.reservations(context.viewer, checked_first(first), place, search)
    return RESERVATIONS.page(
        page, after, lambda found: Reservation.of(found, own=owns_reservation(context, found))
    )


async def reserve(info: Info, input: ReserveInput) -> ReserveResult:
    """Hold seats for some minutes, all of them or none."""
    context, use = info.context, info.context.services.reservations
    made = await use.reserve(context.viewer, input.value(), input.idempotency_key)
    token = None if context.viewer.signed_in else context.services.guests.token(made.id)
    return _own(context, made, token)


async def extend_reservation(info: Info, input: ExtendReservationInput) -> ReservationResult:
    """Start the time of a reservation anew, at most twice."""
    use = info.context.services.reservations
    extended = await use.extend(info.context.viewer, input.value(), input.idempotency_key)
    return _own(info.context, extended)


async def release_reservation(info: Info, input: ReleaseReservationInput) -> ReservationResult:
    """Give the seats back."""
    use = info.context.services.reservations
    released = await use.release(info.context.viewer, input.value(), input.idempotency_key)
    return _own(info.context, released)


async def force_release_reservation(info: Info, input: ForceReleaseInput) -> ReservationResult:
    """End anybody's reservation, as staff."""
    use = info.context.services.reservations
    released = await use.force_release(info.context.viewer, input.value(), input.idempotency_key)
    return Reservation.of(released, own=owns_reservation(info.context, released))


async def visible(context: Context, id: str, token: str | None) -> Held | None:
    """The reservation if the caller may see it."""
    known = known_id(id, "Reservation")
    if known and context.services.guests.admits(token, known):
        context.show(known)
    found = await context.load.reservation.load(known) if known else None
    return found if found and await sees_reservation(context, found, token) else None


def _own(context: Context, made: Held, token: str | None = None) -> Reservation:
    """The caller's own: what hangs on it is theirs to read as well."""
    context.show(made.id)
    return Reservation.of(made, own=True, token=token)
