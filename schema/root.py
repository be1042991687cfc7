"""The table of contents: a line a field."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

import resolvers.accounts
import resolvers.api_keys
import resolvers.automation
import resolvers.automation_streams
import resolvers.bookings
import resolvers.catalogue
import resolvers.events
import resolvers.nodes
import resolvers.reservations
import resolvers.schedules
import resolvers.server
import resolvers.streams
import resolvers.webhooks
from schema.descriptions import describe
from schema.refusals import TOLD
from schema.scalars import SCALARS
from schema.serial import Anew


@strawberry.type
class Query:
    """What can be read."""

    node = strawberry.field(resolvers.nodes.node)
    nodes = strawberry.field(resolvers.nodes.nodes)
    viewer = strawberry.field(resolvers.accounts.viewer)
    server = strawberry.field(resolvers.server.server)
    organizations = strawberry.field(resolvers.catalogue.organizations)
    offerings = strawberry.field(resolvers.catalogue.offerings)
    resources = strawberry.field(resolvers.catalogue.resources)
    schedules = strawberry.field(resolvers.schedules.schedules)
    schedule = strawberry.field(resolvers.schedules.schedule)
    reservation = strawberry.field(resolvers.reservations.reservation)
    reservations = strawberry.field(resolvers.reservations.reservations)
    booking = strawberry.field(resolvers.bookings.booking)
    booking_by_reference = strawberry.field(resolvers.bookings.booking_by_reference)
    bookings = strawberry.field(resolvers.bookings.bookings)
    portals = strawberry.field(resolvers.automation.portals)
    automation_job = strawberry.field(resolvers.automation.automation_job)
    automation_jobs = strawberry.field(resolvers.automation.automation_jobs)
    events = strawberry.field(resolvers.events.events)
    api_keys = strawberry.field(resolvers.api_keys.api_keys)
    webhook_endpoints = strawberry.field(resolvers.webhooks.webhook_endpoints)


def _mutation(resolver: Callable[..., Awaitable[object]]) -> Any:
    return strawberry.mutation(resolver, extensions=[Anew()])


@strawberry.type
class Mutation:
    """What can be done."""

    register = _mutation(resolvers.accounts.register)
    login = _mutation(resolvers.accounts.login)
    refresh_session = _mutation(resolvers.accounts.refresh_session)
    logout = _mutation(resolvers.accounts.logout)
    change_password = _mutation(resolvers.accounts.change_password)
    reserve = _mutation(resolvers.reservations.reserve)
    extend_reservation = _mutation(resolvers.reservations.extend_reservation)
    release_reservation = _mutation(resolvers.reservations.release_reservation)
    book = _mutation(resolvers.bookings.book)
    cancel_booking = _mutation(resolvers.bookings.cancel_booking)
    save_resource = _mutation(resolvers.catalogue.save_resource)
    save_offering = _mutation(resolvers.catalogue.save_offering)
    open_schedules = _mutation(resolvers.schedules.open_schedules)
    block_seats = _mutation(resolvers.schedules.block_seats)
    force_release_reservation = _mutation(resolvers.reservations.force_release_reservation)
    start_automation_job = _mutation(resolvers.automation.start_automation_job)
    stop_automation_job = _mutation(resolvers.automation.stop_automation_job)
    switch_portal = _mutation(resolvers.automation.switch_portal)
    create_api_key = _mutation(resolvers.api_keys.create_api_key)
    revoke_api_key = _mutation(resolvers.api_keys.revoke_api_key)
    create_webhook_endpoint = _mutation(resolvers.webhooks.create_webhook_endpoint)
    update_webhook_endpoint = _mutation(resolvers.webhooks.update_webhook_endpoint)
    delete_webhook_endpoint = _mutation(resolvers.webhooks.delete_webhook_endpoint)
    rotate_webhook_secret = _mutation(resolvers.webhooks.rotate_webhook_secret)
    test_webhook_endpoint = _mutation(resolvers.webhooks.test_webhook_endpoint)
    retry_delivery = _mutation(resolvers.webhooks.retry_delivery)
    replay_events = _mutation(resolvers.webhooks.replay_events)


@strawberry.type
class Subscription:
    """What can be watched."""

    seat_changes = strawberry.subscription(resolvers.streams.seat_changes)
    reservation = strawberry.subscription(resolvers.streams.reservation)
    bookings = strawberry.subscription(resolvers.streams.bookings)
    automation_job = strawberry.subscription(resolvers.automation_streams.automation_job)
    qr_codes = strawberry.subscription(resolvers.automation_streams.qr_codes)
    automation_screen = strawberry.subscription(resolvers.automation_streams.automation_screen)
    events = strawberry.subscription(resolvers.streams.events)


schema = describe(
    strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALARS),
        exception_handlers=TOLD,
    )
)
