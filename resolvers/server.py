"""The server about itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import strawberry

from schema.batches import batched
from schema.context import Context, Info
from schema.scalars import Cursor
from schema.types.events import log_cursor


@strawberry.type
class ServerInfo:
    """What answers."""

    version: str
    cursor: Cursor = strawberry.field(
        description="Where the log ends now: subscribe `events(after:)` from here to miss nothing."
    )

    @batched
    @staticmethod
    async def now(servers: Sequence[ServerInfo], context: Context) -> list[datetime]:
        """The clock by which times run out."""
        return [await context.now()] * len(servers)

    @batched
    @staticmethod
    async def automation_available(servers: Sequence[ServerInfo], context: Context) -> list[bool]:
        """Whether a worker with a browser is there for jobs at portals."""
        return [await context.owned.automation_available()] * len(servers)


async def server(info: Info) -> ServerInfo:
    """Version, clock and abilities."""
    services = info.context.services
    return ServerInfo(
        version=services.version,
        cursor=log_cursor(services.feed.epoch, services.feed.settled),
    )
