"""From a refusal that the trade raised to the member of the result union that tells it: the one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strawberry.types.field import StrawberryField

from domain import errors
from schema.context import Info
from schema.types import refusals as types
from schema.types.seats import SeatState


class _Told:
    """Strawberry's exception handler for one kind of refusal."""

    def __init__(self, refusal: type[errors.Refusal], told_as: type[types.Refusal]) -> None:
        self.exception_type = refusal
        self.error_type = told_as

    def handle(self, exception: errors.Refusal, *, field: StrawberryField, info: Info) -> types.Refusal:
        """The refusal as a GraphQL value; the context hears of it."""
        info.context.refuse(exception.code)
        return self.error_type(
            code=exception.code,
            message=exception.message,
            path=list(exception.path) if exception.path else None,
            **_more(exception),
        )


def _more(refusal: errors.Refusal) -> Mapping[str, Any]:
    match refusal:
        case errors.SeatsUnavailable():
            return {
                "unavailable": SeatState.all_of(refusal.unavailable),
                "alternatives": SeatState.all_of(refusal.alternatives),
            }
        case errors.ReservationExpired():
            return {"expired_at": refusal.expired_at}
        case errors.ReservationLimitReached():
            return {"limit": refusal.limit, "retry_at": refusal.retry_at}
    return {}


TOLD = [
    _Told(errors.InvalidInput, types.InvalidInput),
    _Told(errors.NotFound, types.NotFound),
    _Told(errors.SeatsUnavailable, types.SeatsUnavailable),
    _Told(errors.ReservationExpired, types.ReservationExpired),
    _Told(errors.ReservationLimitReached, types.ReservationLimitReached),
    _Told(errors.Conflict, types.Conflict),
    _Told(errors.IdempotencyMismatch, types.IdempotencyMismatch),
    _Told(errors.PolicyViolation, types.PolicyViolation),
    _Told(errors.PortalUnavailable, types.PortalUnavailable),
    _Told(errors.CredentialsRefused, types.CredentialsRefused),
]
"""What ``strawberry.Schema(exception_handlers=...)`` takes. A refusal whose type is no member of the field's union
becomes a top-level error with its code."""
