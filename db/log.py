"""The log: what happened, in one order, written with the change itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from db.engine import Connection
from domain.events import Event, LoggedEvent, Position, Stream
from domain.viewer import Viewer

_APPEND = """
INSERT INTO event (stream, stream_id, version, type, at, actor, actor_id, organization_id, account_id, resource_id,
  data)
SELECT stream, stream_id, version, type, at, $9, $10, organization_id, account_id, resource_id, data::jsonb
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[],
            $6::uuid[], $7::uuid[], $8::uuid[], $11::text[])
  AS e (stream, stream_id, version, type, at, organization_id, account_id, resource_id, data)
"""

COLUMNS = """id, xid::text AS xid, stream, stream_id, version, type, at, actor, actor_id,
  organization_id, account_id, resource_id, data"""


async def append(connection: Connection, events: Sequence[Event], viewer: Viewer | None) -> None:
    """Write events in their order; a version that is taken fails the transaction."""
    actor = "system" if viewer is None else "user" if viewer.signed_in else "guest"
    columns: list[list[Any]] = [
        [event.stream.value for event in events],
        [event.stream_id for event in events],
        [event.version for event in events],
        [event.type for event in events],
        [event.at for event in events],
        [event.organization_id for event in events],
        [event.account_id for event in events],
        [event.resource_id for event in events],
    ]
    data = [orjson.dumps(event.data).decode() for event in events]
    await connection.execute(_APPEND, *columns, actor, viewer.user_id if viewer else None, data)


def logged(row: Any) -> LoggedEvent:
    """A row of ``event``, selected by COLUMNS, as a value."""
    return LoggedEvent(
        stream=Stream(row["stream"]),
        stream_id=row["stream_id"],
        version=row["version"],
        type=row["type"],
        at=row["at"],
        data=row["data"],
        organization_id=row["organization_id"],
        account_id=row["account_id"],
        resource_id=row["resource_id"],
        position=Position(int(row["xid"]), row["id"]),
        actor=row["actor"],
        actor_id=row["actor_id"],
    )
