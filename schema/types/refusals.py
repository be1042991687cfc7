"""Refusals: expected outcomes that are members of a mutation's result union."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain.errors import RefusalCode as Code
from schema.types.seats import SeatState

RefusalCode = Code
strawberry.enum(RefusalCode, name="RefusalCode", description="What a program may act on.")


@strawberry.interface
class Refusal:
    """Whatever a mutation answers in place of what was asked for."""

    code: RefusalCode
    message: str
    path: list[str] | None


@strawberry.type
class InvalidInput(Refusal):
    """A value that no state of the system would accept."""


@strawberry.type
class NotFound(Refusal):
    """Nothing of that id that the caller may see."""


@strawberry.type
class SeatsUnavailable(Refusal):
    """Which of the wanted seats are not free, why, and up to five that are."""

    unavailable: list[SeatState]
    alternatives: list[SeatState]


@strawberry.type
class ReservationExpired(Refusal):
    """The hold has run out."""

    expired_at: datetime


@strawberry.type
class ReservationLimitReached(Refusal):
    """As many active reservations as the caller may have."""

    limit: int
    retry_at: datetime | None


@strawberry.type
class Conflict(Refusal):
    """It changed in between, or collides with another."""


@strawberry.type
class IdempotencyMismatch(Refusal):
    """The key was used with another input."""


@strawberry.type
class PolicyViolation(Refusal):
    """Against a rule of the house."""


@strawberry.type
class CredentialsRefused(Refusal):
    """Sign-up or sign-in that is refused."""


@strawberry.type
class PortalUnavailable(Refusal):
    """The portal cannot be used now."""
