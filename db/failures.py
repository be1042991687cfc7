"""What a failure of the database means to a caller: one table from constraint to refusal, and what is worth a retry."""

from __future__ import annotations

import asyncpg

from domain.errors import (
    BadRequest,
    Conflict,
    Contended,
    HoldfastError,
    NotFound,
    PolicyViolation,
    SeatsUnavailable,
    Unavailable,
)

CONSTRAINTS: dict[str, HoldfastError] = {
    "schedule_resource_runs_one_at_a_time": Conflict(
        "The resource runs another schedule at that time; choose other starts.", ("localStarts",)
    ),
    "resource_provider_id_fkey": NotFound("No such user.", ("providerId",)),
    "automation_job_one_a_subject": PolicyViolation(
        "There is a job for this person at this portal that is not over; wait for its end, or stop it.",
        ("portalKey",),
    ),
    "automation_job_one_a_person": PolicyViolation(
        "Another job for the person who signed in is not over at this portal."
    ),
    "allocation_pkey": SeatsUnavailable("A seat was taken in this moment; choose again.", ("target",)),
}

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has said why it ends the session, but not yet hung up
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    ConnectionError,
    OSError,
    TimeoutError,
)
"""The database, or the way to it, is away for the moment."""

CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Others were in the way for too long; nothing was changed."""

CLOSED = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
"""The database answers, and takes nothing in: its disk is full, or it is a copy."""


def is_gone(error: BaseException) -> bool:
    """Whether the database, or the way to it, is away; a value that asyncpg cannot encode is no such thing."""
    return isinstance(error, GONE) and not isinstance(error, ValueError)


class NotApplied(Exception):
    """A write under a lock met another number of rows than the lock had shown: the guard behind the guard."""


def meaning(error: BaseException) -> HoldfastError | None:
    """What to tell the caller instead of ``error``; None where it is a defect of ours."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return CONSTRAINTS.get(error.constraint_name or "")
    if isinstance(error, NotApplied):
        return SeatsUnavailable("A seat was taken in this moment; choose again.", ("target",))
    if _is_unstorable_text(error):
        return BadRequest("Text here has neither NUL nor half of a surrogate pair.")
    if isinstance(error, CONTENDED):
        return Contended("Too many at once for this; send the same request again.")
    if isinstance(error, CLOSED) and not is_gone(error):
        return Unavailable("The database takes no changes at the moment; send the same request again later.")
    if is_gone(error):
        return Unavailable(
            "The database does not answer; send the same request, with the same idempotency key, again."
        )
    return None


def _is_unstorable_text(error: BaseException) -> bool:
    """Whether a text holds what PostgreSQL's UTF-8 cannot."""
    return isinstance(error, asyncpg.CharacterNotInRepertoireError) or (
        isinstance(error, asyncpg.DataError) and isinstance(error.__cause__, UnicodeEncodeError)
    )
