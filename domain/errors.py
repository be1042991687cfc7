"""Everything the trade can refuse or fail with.

::

    HoldfastError
    |- Refusal                        an expected outcome; becomes a member of the mutation's result union
    |  |- InvalidInput
    |  |- NotFound
    |  |- SeatsUnavailable
    |  |- ReservationExpired
    |  |- ReservationLimitReached
    |  |- Conflict
    |  |- IdempotencyMismatch
    |  |- PolicyViolation
    |  |- PortalUnavailable
    |  '- CredentialsRefused
    '- Denial                         no outcome of the trade; becomes a top-level error with ``extensions.code``
       |- Unauthenticated
       |- Forbidden
       |- RateLimited
       |- BadRequest
       |- TimedOut
       '- Unavailable
          |- Contended
          '- Interrupted
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from domain.seats import SeatState


class RefusalCode(StrEnum):
    """The machine-readable name of a refusal, as the contract lists them."""

    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    SEATS_UNAVAILABLE = "SEATS_UNAVAILABLE"
    TIME_UNAVAILABLE = "TIME_UNAVAILABLE"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    RESERVATION_LIMIT_REACHED = "RESERVATION_LIMIT_REACHED"
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    POLICY_VIOLATION = "POLICY_VIOLATION"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    WEAK_PASSWORD = "WEAK_PASSWORD"  # noqa: S105 - the name of a refusal
    PORTAL_UNAVAILABLE = "PORTAL_UNAVAILABLE"


class HoldfastError(Exception):
    """Anything this program says no with."""


@dataclass(eq=False)
class Refusal(HoldfastError):
    """An expected outcome. ``message`` says what to do; ``path`` names the input's place, outermost first."""

    message: str
    path: Sequence[str] | None = None
    code: ClassVar[RefusalCode]
    passing: ClassVar[bool] = False
    """Whether it says nothing of the request: the same one, with its idempotency key, may be sent again later."""

    def __str__(self) -> str:
        return self.message


class InvalidInput(Refusal):
    """A value that no state of the system would accept."""

    code = RefusalCode.INVALID_INPUT


class NotFound(Refusal):
    """Nothing of that id that this caller may see."""

    code = RefusalCode.NOT_FOUND


@dataclass(eq=False)
class SeatsUnavailable(Refusal):
    """Seats that are not free, and up to five that are."""

    unavailable: Sequence[SeatState] = ()
    alternatives: Sequence[SeatState] = ()
    code = RefusalCode.SEATS_UNAVAILABLE


@dataclass(eq=False, kw_only=True)
class ReservationExpired(Refusal):
    """The hold ran out at ``expired_at`` (UTC) by the database's clock."""

    expired_at: datetime
    code = RefusalCode.RESERVATION_EXPIRED


@dataclass(eq=False, kw_only=True)
class ReservationLimitReached(Refusal):
    """The caller has ``limit`` active reservations; ``retry_at`` (UTC) is when the first of them runs out."""

    limit: int
    retry_at: datetime | None = None
    code = RefusalCode.RESERVATION_LIMIT_REACHED


class Conflict(Refusal):
    """The thing changed in between, or collides with another."""

    code = RefusalCode.CONFLICT


class IdempotencyMismatch(Refusal):
    """An idempotency key that was used with another input."""

    code = RefusalCode.IDEMPOTENCY_MISMATCH


class PolicyViolation(Refusal):
    """Possible in itself, but against a rule of the house."""

    code = RefusalCode.POLICY_VIOLATION


class PortalUnavailable(Refusal):
    """Nobody can work at this portal for now."""

    code = RefusalCode.PORTAL_UNAVAILABLE
    passing = True


@dataclass(eq=False)
class CredentialsRefused(Refusal):
    """Sign-up or sign-in that is refused; ``reason`` is the code a client may act on."""

    reason: RefusalCode = RefusalCode.INVALID_CREDENTIALS

    @property
    def code(self) -> RefusalCode:  # type: ignore[override]
        """INVALID_CREDENTIALS, EMAIL_TAKEN or WEAK_PASSWORD."""
        return self.reason


class Denial(HoldfastError):
    """No outcome of the trade: a top-level error. ``extensions`` go out with the code, as they are."""

    code: ClassVar[str]

    def __init__(self, message: str, **extensions: object) -> None:
        super().__init__(message)
        self.message = message
        self.extensions: Mapping[str, object] = extensions


class Unauthenticated(Denial):
    """No valid access token stands behind the request."""

    code = "UNAUTHENTICATED"


class Forbidden(Denial):
    """The caller is known and may not."""

    code = "FORBIDDEN"


class RateLimited(Denial):
    """Too many tries; ``retryAfter`` says how many seconds to wait."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message, retryAfter=max(1, ceil(retry_after.total_seconds())))


class BadRequest(Denial):
    """A query argument out of its range."""

    code = "BAD_USER_INPUT"


class TimedOut(Denial):
    """It took longer than an operation may."""

    code = "TIMED_OUT"


class Unavailable(Denial):
    """A part we depend on does not answer; the same request, with the same idempotency key, may be sent again."""

    code = "UNAVAILABLE"


class Contended(Unavailable):
    """Others were in the way for too long, and nothing was changed."""


class Interrupted(Unavailable):
    """The database left a transaction before it was asked to keep it: nothing was changed."""
