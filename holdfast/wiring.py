"""The composition: everything that serves or works is put together here, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version

from automation.portals import portals
from automation.webhooks.codes import CodesToWebhooks
from automation.webhooks.courier import Courier
from automation.webhooks.post import Post
from automation.worker import Worker
from db.broker import Broker, make_broker
from db.caller import ALL_SEEING
from db.engine import Pool, PoolSize, open_pool
from db.feed import Feed
from db.layouts import Layouts
from db.live import open_live
from db.owned_reads import OwnedReads
from db.reads import Reads
from db.unit_of_work import Database
from domain.api_keys import ApiKeys
from domain.automation import Automation
from domain.bookings import Bookings
from domain.curation import Curation
from domain.endpoints import Endpoints
from domain.events import Stream
from domain.expiry import Expiry
from domain.guests import Guests
from domain.housekeeping import Housekeeping
from domain.messages import Messages
from domain.once import Once
from domain.rates import Rates
from domain.reservations import Reservations
from domain.reserving import ReservationLimits, Reserving
from domain.timetable import Timetable
from holdfast.artifacts import SignedArtifacts
from holdfast.identity import Identity, wire_identity
from holdfast.job_running import runner_of
from holdfast.keys import server_secret
from holdfast.settings import Settings
from schema.context import Services
from schema.ids import encode
from schema.types.events import told_elsewhere

VERSION = version("holdfast")


@dataclass(frozen=True, slots=True)
class App:
    """One process' parts.

    ``probe`` has connections for questions about health alone: a process under load is not one that fails.
    """

    settings: Settings
    pool: Pool
    probe: Pool
    broker: Broker
    feed: Feed
    database: Database
    identity: Identity
    rates: Rates
    services: Services
    artifacts: SignedArtifacts
    worker: Worker


@asynccontextmanager
async def wire(settings: Settings, dsn: str) -> AsyncIterator[App]:
    """Connect everything, hand it over, and close it in reverse. ``dsn`` is where the database is."""
    secret = server_secret(settings)
    layouts, guests = Layouts(), Guests(secret)
    size = PoolSize(settings.database_pool_min, settings.database_pool_max)
    async with (
        open_pool(dsn, size) as pool,
        open_pool(dsn, PoolSize(1, 2), ALL_SEEING) as log,
        open_pool(dsn, PoolSize(0, 2), ALL_SEEING) as probe,
        make_broker(settings.redis_url) as broker,
        open_live(settings.redis_url, secret) as live,
        _post(settings) as post_events,
        _post(settings) as post_codes,
        _post(settings) as post_samples,
    ):
        feed = Feed(log, broker)
        await feed.start()
        database = Database(pool, layouts, feed.committed)
        identity = await wire_identity(settings, database, feed, secret)
        once = Once(database.begin, guests)
        limits = ReservationLimits(
            settings.max_active_reservations, settings.max_active_reservations_per_address
        )
        reservations = Reservations(once, guests, Reserving(database.begin, guests, limits))
        automation = Automation(
            database.begin,
            once,
            portals(settings.portals, settings.demo_portal_url),
            timedelta(minutes=settings.job_minutes),
            settings.jobs_per_account,
            http=settings.webhooks_over_http,
        )
        await automation.register()
        artifacts = SignedArtifacts(settings.artifacts, secret, settings.public_origin)
        messages = Messages(secret, told_elsewhere, partial(encode, "AutomationJob"))
        services = Services(
            version=VERSION,
            reads=Reads(pool, layouts),
            owned=OwnedReads(pool),
            feed=feed,
            guests=guests,
            accounts=identity.accounts,
            curation=Curation(once, settings.max_seats_per_reservation),
            timetable=Timetable(once),
            reservations=reservations,
            bookings=Bookings(once, reservations),
            api_keys=ApiKeys(database.begin, once, identity.ended),
            endpoints=Endpoints(database.begin, once, messages, post_samples, settings.webhooks_over_http),
            automation=automation,
            live=live,
            artifact_url=artifacts.url,
        )
        keep = timedelta(days=settings.log_retention_days) or None
        codes = CodesToWebhooks(live, database.begin, messages, post_codes)
        runner = runner_of(settings, automation, codes, secret)
        if runner is not None:
            feed.tap(Stream.AUTOMATION, runner.heard)
        worker = Worker(
            database.begin,
            Expiry(database.begin),
            Housekeeping(database.begin, keep, timedelta(hours=settings.artifact_hours)),
            automation,
            runner,
            Courier(database.begin, feed, messages, post_events),
        )
        rates = Rates(settings.requests_per_minute, settings.requests_per_minute_per_address, secret)
        running = [asyncio.create_task(feed.run(), name="feed")]
        running.append(asyncio.create_task(identity.keys.keep_noting(), name="uses of keys"))
        if settings.redis_url is not None:
            running.append(asyncio.create_task(_share(rates, settings.redis_url), name="rates"))
        try:
            async with codes:
                yield App(
                    settings,
                    pool,
                    probe,
                    broker,
                    feed,
                    database,
                    identity,
                    rates,
                    services,
                    artifacts,
                    worker,
                )
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            identity.hasher.close()


def _post(settings: Settings) -> Post:
    """One for each use: its sockets are counted, and whoever keeps all of one use waiting keeps no other."""
    return Post(http=settings.webhooks_over_http, allowed=settings.webhook_allow_networks)


async def _share(rates: Rates, redis_url: str) -> None:
    from db.rates import RedisRates  # redis costs a third of a second to import

    shared = RedisRates(redis_url)
    try:
        await rates.share(shared)
    finally:
        await shared.close()
