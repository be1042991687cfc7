"""Webhooks: what their owners do with endpoints and deliveries."""

from __future__ import annotations

from schema.context import Info
from schema.types.ids import known_id
from schema.types.webhooks import (
    Delivery,
    DeliveryResult,
    IdInput,
    ReplayEventsInput,
    UpdateWebhookEndpointInput,
    WebhookEndpoint,
    WebhookEndpointInput,
    WebhookEndpointResult,
    WebhookEndpointSaved,
    replay_place,
)


async def webhook_endpoints(info: Info) -> list[WebhookEndpoint]:
    """Your own endpoints and those of organizations whose staff you are, the newest first, up to 100."""
    context = info.context
    return [WebhookEndpoint.of(each) for each in await context.services.endpoints.all_of(context.viewer)]


async def create_webhook_endpoint(info: Info, input: WebhookEndpointInput) -> WebhookEndpointResult:
    """Make an endpoint."""
    context = info.context
    saved = await context.services.endpoints.create(context.viewer, input.value(), input.idempotency_key)
    return WebhookEndpointSaved.of(saved)


async def update_webhook_endpoint(info: Info, input: UpdateWebhookEndpointInput) -> WebhookEndpointResult:
    """Change an endpoint, pause it, or let it go on: then it is told what it missed."""
    context = info.context
    saved = await context.services.endpoints.update(context.viewer, input.value(), input.idempotency_key)
    return WebhookEndpointSaved.of(saved)


async def delete_webhook_endpoint(info: Info, input: IdInput) -> WebhookEndpointResult:
    """Remove an endpoint with all its deliveries."""
    context, id_ = info.context, known_id(input.id, "WebhookEndpoint")
    saved = await context.services.endpoints.delete(context.viewer, id_, input.idempotency_key)
    return WebhookEndpointSaved.of(saved)


async def rotate_webhook_secret(info: Info, input: IdInput) -> WebhookEndpointResult:
    """Give an endpoint a new secret; for 24 hours the one before signs, too."""
    context, id_ = info.context, known_id(input.id, "WebhookEndpoint")
    saved = await context.services.endpoints.rotate(context.viewer, id_, input.idempotency_key)
    return WebhookEndpointSaved.of(saved)


async def test_webhook_endpoint(info: Info, input: IdInput) -> DeliveryResult:
    """Send a sample event now, and report the attempt."""
    context, id_ = info.context, known_id(input.id, "WebhookEndpoint")
    sent = await context.services.endpoints.test(context.viewer, id_, input.idempotency_key)
    return Delivery.of(sent, context.services.feed.epoch)


async def retry_delivery(info: Info, input: IdInput) -> DeliveryResult:
    """Send a delivery again now, and, if that fails, as often as a new one."""
    context, id_ = info.context, known_id(input.id, "Delivery")
    retried = await context.services.endpoints.retry(context.viewer, id_, input.idempotency_key)
    return Delivery.of(retried, context.services.feed.epoch)


async def replay_events(info: Info, input: ReplayEventsInput) -> WebhookEndpointResult:
    """Send again every event after a cursor, in order, as far back as the log goes."""
    context, id_ = info.context, known_id(input.endpoint_id, "WebhookEndpoint")
    after = replay_place(input.after, context.services.feed.epoch)
    saved = await context.services.endpoints.replay(context.viewer, id_, after, input.idempotency_key)
    return WebhookEndpointSaved.of(saved)
