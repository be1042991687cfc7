"""Webhooks as their owners see them: endpoints, deliveries, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from domain import endpoints as use_cases
from domain import errors
from domain import webhooks as domain
from domain.errors import BadRequest
from domain.events import Position
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.scalars import URL, Cursor
from schema.types.events import Event, read_log_cursor
from schema.types.ids import known_id, optional_id
from schema.types.node import Node
from schema.types.paging import Connection, First, Keyset, checked_first
from schema.types.refusals import IdempotencyMismatch, InvalidInput, NotFound

DELIVERIES = Keyset("deliveries", (int,))

WebhookStatus = domain.WebhookStatus
strawberry.enum(WebhookStatus, name="WebhookStatus", description="Whether an endpoint is told of events.")
DeliveryStatus = domain.DeliveryStatus
strawberry.enum(DeliveryStatus, name="DeliveryStatus", description="What became of a delivery so far.")


@strawberry.type
class DeliveryAttempt:
    """One request to an endpoint. Nothing of what it answered is kept but the status."""

    at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None = strawberry.field(
        description="A short class of what went wrong before there was a status."
    )

    @classmethod
    def of(cls, value: domain.Attempt) -> Self:
        """From the trade's value."""
        return cls(
            at=value.at,
            status_code=value.status_code,
            duration_ms=round(value.duration.total_seconds() * 1_000),
            error=value.error,
        )


@strawberry.type
class Delivery(Node):
    """One event on its way to one endpoint."""

    status: DeliveryStatus
    event: Event
    attempts: list[DeliveryAttempt] = strawberry.field(description="The last twenty, the oldest first.")
    next_attempt_at: datetime | None = strawberry.field(
        description="Null where none is to come, and while an earlier event of the same subject is being retried."
    )

    @classmethod
    def of(cls, value: domain.Delivery, epoch: UUID) -> Self:
        """From the trade's value."""
        return cls(
            id=strawberry.ID(encode("Delivery", value.id)),
            status=value.status,
            event=Event.of(value.event, epoch),
            attempts=[DeliveryAttempt.of(each) for each in value.attempts],
            next_attempt_at=value.next_attempt_at,
        )


@strawberry.type
class WebhookEndpoint(Node):
    """A URL that is told of events, by Standard Webhooks (https://www.standardwebhooks.com)."""

    url: URL
    types: list[str]
    status: WebhookStatus
    failing_since: datetime | None
    older: bool = strawberry.field(description="Whether it gets the older systems' event names and envelope.")
    organization_id: strawberry.ID | None
    job_id: strawberry.ID | None = strawberry.field(description="The one job of whose events it is told.")
    value: strawberry.Private[domain.Endpoint]

    @batched
    @staticmethod
    async def deliveries(
        endpoints: Sequence[WebhookEndpoint],
        context: Context,
        first: First,
        after: str | None = None,
        status: DeliveryStatus | None = None,
    ) -> list[Connection[Delivery]]:
        """What was sent, and is still to be sent, the newest first."""
        use, epoch = context.services.endpoints, context.services.feed.epoch
        values, place = [one.value for one in endpoints], DELIVERIES.read(after)
        pages = await use.deliveries(context.viewer, values, checked_first(first), place, status)
        return [DELIVERIES.page(page, after, lambda each: Delivery.of(each, epoch)) for page in pages]

    @classmethod
    def of(cls, value: domain.Endpoint) -> Self:
        """From the trade's value."""
        return cls(
            id=strawberry.ID(encode("WebhookEndpoint", value.id)),
            url=URL(value.url),
            types=list(value.types),
            status=value.status,
            failing_since=value.failing_since,
            older=value.older,
            organization_id=_optional("Organization", value.organization_id),
            job_id=_optional("AutomationJob", value.job_id),
            value=value,
        )


def _optional(type_name: str, id_: UUID | None) -> strawberry.ID | None:
    return strawberry.ID(encode(type_name, id_)) if id_ else None


@strawberry.type
class WebhookEndpointSaved:
    """An endpoint as it is now, or, once deleted, as it was."""

    endpoint: WebhookEndpoint
    secret: str | None = strawberry.field(description="Shown once, at creation and rotation.")

    @classmethod
    def of(cls, value: use_cases.SavedEndpoint) -> Self:
        """From the trade's value."""
        return cls(endpoint=WebhookEndpoint.of(value.endpoint), secret=value.secret)


@strawberry.input
class WebhookEndpointInput:
    """An endpoint of an organization, made by its staff; without one, of your own account's events."""

    organization_id: strawberry.ID | None = None
    url: URL
    types: list[str] = strawberry.field(
        description=(
            "Names such as `booking.confirmed`, all of a kind such as `booking.*`, or `*`. Login codes of your own "
            "jobs are sent only where `automation.qr_code` itself is listed: whoever reads one can sign in with it."
        )
    )
    older: bool = False
    idempotency_key: str | None = None

    def value(self) -> use_cases.EndpointWish:
        """As the trade's value."""
        organization_id = optional_id(self.organization_id, "Organization", ("organizationId",))
        return use_cases.EndpointWish(organization_id, str(self.url), self.types, self.older)


@strawberry.input
class UpdateWebhookEndpointInput:
    """What is to be different; `paused: false` lets one go on that was paused or disabled."""

    id: strawberry.ID
    url: URL | None = None
    types: list[str] | None = None
    paused: bool | None = None
    idempotency_key: str | None = None

    def value(self) -> use_cases.EndpointChange:
        """As the trade's value."""
        url = None if self.url is None else str(self.url)
        return use_cases.EndpointChange(known_id(self.id, "WebhookEndpoint"), url, self.types, self.paused)


@strawberry.input
class ReplayEventsInput:
    """From where on an endpoint is to be told again: the cursor of an event."""

    endpoint_id: strawberry.ID
    after: Cursor
    idempotency_key: str | None = None


@strawberry.input
class IdInput:
    """One thing."""

    id: strawberry.ID
    idempotency_key: str | None = None


def replay_place(after: str, epoch: UUID) -> Position:
    """The place in a cursor of this log. Raises InvalidInput for any other."""
    try:
        log, place = read_log_cursor(after)
    except BadRequest:
        log, place = "", Position(0, 0)
    if log != epoch.hex[:8]:
        raise errors.InvalidInput(
            "Take a cursor from `events`; one from before a restore leads nowhere.", ("after",)
        )
    return place


WebhookEndpointResult = Annotated[
    WebhookEndpointSaved | InvalidInput | NotFound | IdempotencyMismatch,
    strawberry.union("WebhookEndpointResult"),
]
DeliveryResult = Annotated[
    Delivery | InvalidInput | NotFound | IdempotencyMismatch, strawberry.union("DeliveryResult")
]
