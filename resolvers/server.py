"""The server about itself."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema.context import Info
from schema.scalars import Cursor
from schema.types.events import log_cursor


@strawberry.type
class ServerInfo:
    """What answers."""

    version: str
    now: datetime
    automation_available: bool
    cursor: Cursor = strawberry.field(
        description="Where the log ends now: subscribe `events(after:)` from here to miss nothing."
    )


async def server(info: Info) -> ServerInfo:
    """Version, clock and abilities."""
    services = info.context.services
    return ServerInfo(
        version=services.version,
        now=await info.context.now(),
        automation_available=False,
        cursor=log_cursor(services.feed.epoch, services.feed.settled),
    )
