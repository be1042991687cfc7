"""One transaction: one connection, the repositories on it, and the events that commit with it.

``Database.begin(viewer)`` begins one for a caller, ``begin(None)`` for the system, ``begin(*viewers)`` for callers
whose requests were gathered; ``db.transaction.begun`` is where a connection learns who they are.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from uuid import UUID

import structlog

from db.accounts import Accounts
from db.api_keys import ApiKeys
from db.caller import SHOW
from db.catalogue import Catalogue
from db.engine import Connection, Pool
from db.failures import NotApplied, is_gone, meaning
from db.jobs import Jobs
from db.keys import Keys
from db.layouts import Layouts
from db.ledger import Ledger
from db.log import write
from db.patience import patiently
from db.transaction import begun, rolled_back
from db.upkeep import Upkeep
from db.webhooks import Webhooks
from domain.errors import Interrupted, Unavailable
from domain.events import Event
from domain.viewer import Viewer

LOGGED = 10
"""How many events of one transaction the line about it names."""

log = structlog.get_logger("holdfast.database")
_level = logging.getLogger("holdfast.database")


class UnitOfWork:
    """A transaction that is under way."""

    def __init__(self, connection: Connection, layouts: Layouts, viewers: Sequence[Viewer | None]) -> None:
        self._connection = connection
        self._layouts = layouts
        self._viewers = viewers
        self.events: list[tuple[Event, Viewer | None]] = []

    @cached_property
    def ledger(self) -> Ledger:
        """Seats, reservations, bookings."""
        return Ledger(self._connection, self._layouts)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What can be booked."""
        return Catalogue(self._connection, self._layouts)

    @cached_property
    def accounts(self) -> Accounts:
        """People, their sessions and memberships."""
        return Accounts(self._connection)

    @cached_property
    def keys(self) -> Keys:
        """Idempotency keys."""
        return Keys(self._connection)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """Keys of integrators."""
        return ApiKeys(self._connection)

    @cached_property
    def jobs(self) -> Jobs:
        """Automation jobs, their queue and their portals."""
        return Jobs(self._connection)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Endpoints that are told of events, and deliveries."""
        return Webhooks(self._connection)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The log's beginning, and the worker's loops."""
        return Upkeep(self._connection)

    async def show(self, id: UUID) -> None:
        """Let the caller act for this reservation or account from here on."""
        await self._connection.execute(SHOW, id)

    def emit(self, *events: Event, by: Viewer | None = None) -> None:
        """Write events to the log when the transaction commits; ``by`` says which of several callers did it."""
        actor = by or self._viewers[0]
        self.events.extend((event, actor) for event in events)


class Database:
    """Begins transactions. ``committed`` is called after each commit that wrote to the log."""

    def __init__(self, pool: Pool, layouts: Layouts, committed: Callable[[], None]) -> None:
        self._pool = pool
        self._layouts = layouts
        self._committed = committed

    @asynccontextmanager
    async def begin(self, *viewers: Viewer | None) -> AsyncIterator[UnitOfWork]:
        """One transaction, for one caller or several. Waits up to 5 s for a database that is away.

        Raises what the trade refuses with, and Unavailable where the database does not answer or is too busy:
        Interrupted where it was there at the beginning, and had not yet been asked to commit.
        """
        asked = False
        connection = await patiently(lambda: begun(self._pool, viewers))
        try:
            work = UnitOfWork(connection, self._layouts, viewers)
            try:
                yield work
                await write(connection, work.events, work.keys.settled)
                asked = True
                await connection.execute("COMMIT")
            except BaseException:
                await rolled_back(connection)
                raise
        except Exception as error:
            told = meaning(error)
            if told is None:
                raise
            if isinstance(error, NotApplied):
                log.error("transaction.guarded", why=str(error))
            elif isinstance(told, Unavailable):
                log.warning("transaction.failed", error=type(error).__name__)
                told = told if asked or not is_gone(error) else Interrupted(told.message)
            raise told from error
        finally:
            await self._pool.release(connection)
        if work.events:
            self._committed()
            if _level.isEnabledFor(logging.DEBUG):  # a line costs as much as a third of a reservation
                log.debug("committed", events=_named(work.events))


def _named(events: Sequence[tuple[Event, Viewer | None]]) -> list[str]:
    """The first events; where requests were gathered each is named with its own, for the line is no single one's."""
    gathered = len({viewer.request_id for _, viewer in events if viewer is not None}) > 1
    lines = [f"{event.type} {event.stream_id} {event.version}" for event, _ in events]
    if not gathered:
        return lines[:LOGGED]
    return [f"{viewer.request_id} {line}" for (_, viewer), line in zip(events, lines, strict=True) if viewer]
