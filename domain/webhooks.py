"""Webhooks: endpoints that are told of events, and deliveries, each one event on its way to one endpoint.

The values, the rules and the port; the use cases are in ``domain/endpoints.py``, the words that are sent in
``domain/messages.py``, and what sends them is ``automation/webhooks/courier.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from domain.errors import InvalidInput
from domain.events import LoggedEvent, Position
from domain.reads import Key, Page

QR_CODE = "automation.qr_code"
"""What an endpoint lists to be sent login codes too; no pattern stands for it."""

TESTED = "webhook.tested"
DISABLED = "webhook.disabled"

MOST_TYPES = 50
LONGEST_URL = 2_048
MOST_ENDPOINTS = 50

_TYPE = re.compile(r"\*|[a-z][a-z_]{0,40}(\.\*|(\.[a-z][a-z_]{0,40}){1,3})")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\]")

RETRIES: Sequence[timedelta] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long to wait after each failed attempt; with the last one a delivery has been tried for about three days."""

JITTER = 0.2
LONGEST_WAIT = timedelta(hours=24)
"""The longest that a receiver may ask us to stay away (Retry-After)."""

PATIENCE = timedelta(days=5)
"""How long an endpoint may fail without a single success before it is disabled."""


class WebhookStatus(StrEnum):
    """Whether an endpoint is told of events."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    DISABLED_FAILING = "DISABLED_FAILING"


class DeliveryStatus(StrEnum):
    """What became of a delivery so far."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    RETRYING = "RETRYING"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that is told of events: of an organization, of an account, or of one job of an account.

    Its secret is derived from ``generation``, and is stored nowhere; the one before is good for 24 hours after
    ``rotated_at``. ``older`` sends what the older systems sent.
    """

    id: UUID
    url: str
    types: Sequence[str]
    status: WebhookStatus = WebhookStatus.ACTIVE
    organization_id: UUID | None = None
    account_id: UUID | None = None
    job_id: UUID | None = None
    older: bool = False
    failing_since: datetime | None = None
    generation: int = 1
    rotated_at: datetime | None = None
    version: int = 0
    """Of its own story in the log."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when (UTC), how long it took, and what came back: a status code, or a short class of error."""

    at: datetime
    duration: timedelta
    status_code: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it: any 2xx."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants to hear nothing any more (410)."""
        return self.status_code == 410


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint, with its last attempts."""

    id: UUID
    endpoint_id: UUID
    status: DeliveryStatus
    event: LoggedEvent
    attempts: Sequence[Attempt] = ()
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OlderJob:
    """What the older systems' payloads say of a job beside its events."""

    reference: str
    user: str
    config: Mapping[str, object]
    booking_number: str | None = None
    exam_date: str | None = None
    exam_time: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be sent now: nothing earlier of its subject waits. ``tries`` counts what failed before."""

    number: int
    endpoint_id: UUID
    event: LoggedEvent
    tries: int
    job: OlderJob | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt means for its delivery; ``after`` is when it is tried again, None if it is not."""

    number: int
    status: DeliveryStatus
    attempt: Attempt
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a look at the log led to: the endpoints that have new deliveries, and how many events were looked at.

    ``behind`` says whether any of them was told of what it had missed.
    """

    endpoints: Sequence[UUID]
    events: int
    behind: bool


def outcome(number: int, tries: int, attempt: Attempt, chance: float) -> Outcome:
    """What becomes of a delivery after its attempt number ``tries`` + 1; ``chance`` in [0, 1) is the jitter's."""
    if attempt.succeeded:
        return Outcome(number, DeliveryStatus.SUCCEEDED, attempt)
    if attempt.gone or tries >= len(RETRIES):
        return Outcome(number, DeliveryStatus.DEAD, attempt)
    after = RETRIES[tries] * (1 + JITTER * (2 * chance - 1))
    if attempt.retry_after is not None:
        after = min(max(after, attempt.retry_after), LONGEST_WAIT)
    return Outcome(number, DeliveryStatus.RETRYING, attempt, after)


def checked_types(types: Sequence[str], *, older: bool = False) -> Sequence[str]:
    """The types without repeats, in their order; the ``older`` systems knew jobs alone. Raises InvalidInput."""
    kept = tuple(dict.fromkeys(types))
    if not 1 <= len(kept) <= MOST_TYPES:
        raise InvalidInput(f"Name 1 to {MOST_TYPES} types of events.", ("types",))
    for each in kept:
        if not _TYPE.fullmatch(each):
            raise InvalidInput(
                "A type is a name such as `booking.confirmed`, all of a kind such as `booking.*`, or `*`.",
                ("types",),
            )
        if older and not each.startswith("automation."):
            raise InvalidInput("The older systems knew jobs alone: name types of `automation.`.", ("types",))
    return kept


def checked_url(url: str, *, http: bool, path: Sequence[str] = ("url",)) -> str:
    """The URL as it was given. Where it leads to is only known, and checked, when it is called.

    Raises InvalidInput for anything but an absolute https URL (with ``http`` also an http one) of at most 2,048 ASCII
    characters, without credentials or a fragment, whose host is a name or an address in its usual form.
    """
    schemes = ("https", "http") if http else ("https",)
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidInput(f"A URL has at most {LONGEST_URL} ASCII characters, and no spaces.", path)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("This is no URL.", path) from None
    if parts.scheme not in schemes:
        raise InvalidInput(f"The URL must begin with {' or '.join(f'{each}://' for each in schemes)}.", path)
    if "@" in parts.netloc or parts.fragment:
        raise InvalidInput("The URL must hold no user, no password and no fragment.", path)
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    if not _HOST.fullmatch(host) or port == 0:
        raise InvalidInput("The URL needs a host, and a port from 1 to 65535 if any.", path)
    return url


class WebhookStore(Protocol):
    """Endpoints and deliveries in the database."""

    async def add(self, endpoint: Endpoint) -> datetime:
        """Write a new endpoint; it hears what this transaction does, and all that is later. The instant of it (UTC)."""

    async def endpoint(self, endpoint_id: UUID, *, lock: bool = False) -> Endpoint | None:
        """An endpoint that the caller may see, locked to the transaction's end if asked for; None if there is none."""

    async def endpoints(self, limit: int) -> Sequence[Endpoint]:
        """Those that the caller may see, the newest first."""

    async def count(self, organization_id: UUID | None, account_id: UUID | None) -> int:
        """How many endpoints an organization, or an account, has, without those of jobs; others who ask wait."""

    async def count_of_jobs(self, account_id: UUID, within: timedelta, most: int) -> int:
        """How many endpoints of an account's jobs were made lately, up to ``most``."""

    async def save(self, endpoint: Endpoint) -> datetime:
        """Replace an endpoint; one that is told no more is told later what it misses. The instant of it (UTC)."""

    async def remove(self, endpoint_id: UUID) -> None:
        """Remove an endpoint and its deliveries."""

    async def rewind(self, endpoint_id: UUID, after: Position) -> None:
        """Let an endpoint hear once more everything after a place of the log."""

    async def deliveries(
        self, endpoints: Sequence[UUID], first: int, after: Key | None, status: DeliveryStatus | None
    ) -> Sequence[Page[Delivery]]:
        """A page of each endpoint's deliveries that the caller may see, in the order of the ids, the newest first."""

    async def delivery(self, delivery_id: UUID) -> Delivery | None:
        """A delivery that the caller may see."""

    async def retry(self, delivery_id: UUID) -> None:
        """Send a delivery again, and, if that fails, as often as a new one."""

    async def sample(self, endpoint: Endpoint) -> UUID:
        """A delivery of the endpoint's newest own event, which nobody but the caller sends."""

    async def settle(self, delivery_id: UUID, outcome: Outcome) -> None:
        """Write what became of a sample."""

    async def told(self) -> bool:
        """Whether there is anybody to tell."""

    async def tell(self, limit: int, *, behind: bool) -> Told:
        """Make deliveries of the next events of the log, up to ``limit``; ``behind`` also of what endpoints missed.

        To look for these costs as much as they have unsent.
        """

    async def claim(self, worker: UUID, touched: Sequence[UUID], lease: timedelta) -> Sequence[Endpoint]:
        """Take, or keep, for a while the right to send to these endpoints, if nobody else has it."""

    async def waiting(self, limit: int, slow: Sequence[UUID]) -> Sequence[UUID]:
        """Active endpoints to which something is to be sent now, and which nobody sends to.

        Those that are ``slow``, or fail, come last; the others by how long they have waited.
        """

    async def due(
        self, worker: UUID, room: Mapping[UUID, tuple[int, Collection[int]]]
    ) -> tuple[Sequence[Endpoint], Sequence[Due]]:
        """Those endpoints that are this worker's, and what is to be sent to them now.

        ``room`` says how many deliveries of each are wanted, and which are in hand already.
        """

    async def finish(self, worker: UUID, outcomes: Sequence[Outcome]) -> None:
        """Write what became of deliveries, and let the next of their subjects go on. Others' endpoints are left out."""

    async def fail(
        self, worker: UUID, failed: Sequence[UUID], recovered: Sequence[UUID], gone: Sequence[UUID]
    ) -> Sequence[tuple[Endpoint, datetime]]:
        """Note which endpoints fail or do so no more; those that are disabled by that, as of when."""

    async def release(self, worker: UUID, endpoints: Sequence[UUID]) -> None:
        """Give up the right to send to these."""

    async def forget(self, keep: timedelta, limit: int) -> int:
        """Drop deliveries that are older than ``keep``, and endpoints of jobs that ended before; how many.

        Up to ``limit`` of each.
        """

    async def code_endpoints(self, job_id: UUID) -> Sequence[tuple[Endpoint, OlderJob]]:
        """Active endpoints of its owner that asked for the login codes of a job, and what they are told of it."""
