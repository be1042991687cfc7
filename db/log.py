"""The log: what happened, in one order, written with the change itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from db.engine import Connection
from domain.events import Event, LoggedEvent, Position, Stream
from domain.feed import Audience
from domain.idempotency import UsedKey
from domain.viewer import Viewer

_APPEND = """
INSERT INTO event (stream, stream_id, version, type, at, actor, actor_id, organization_id, account_id, resource_id,
  data)
SELECT stream, stream_id, version, type, at, actor, actor_id, organization_id, account_id, resource_id, data::jsonb
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::uuid[],
            $8::uuid[], $9::uuid[], $10::uuid[], $11::text[])
  AS e (stream, stream_id, version, type, at, actor, actor_id, organization_id, account_id, resource_id, data)
"""
_SETTLE = """
INSERT INTO idempotency_key (scope, key, operation, fingerprint, outcome)
SELECT scope, key, operation, fingerprint, outcome::jsonb
FROM unnest(${}::bytea[], ${}::text[], ${}::text[], ${}::bytea[], ${}::text[])
  AS k (scope, key, operation, fingerprint, outcome)
ON CONFLICT (scope, key) DO UPDATE SET operation = excluded.operation, fingerprint = excluded.fingerprint,
  outcome = excluded.outcome, created_at = now()
"""
_SETTLE_ALONE = _SETTLE.format(*range(1, 6))
_APPEND_AND_SETTLE = f"WITH appended AS ({_APPEND}) {_SETTLE.format(*range(12, 17))}"

COLUMNS = """id, xid::text AS xid, stream, stream_id, version, type, at, actor, actor_id,
  organization_id, account_id, resource_id, data"""

_WINDOW = """(xid, id) > ($1::text::xid8, $2) AND ($3::text IS NULL OR stream = $3)
  AND ($4::text[] IS NULL OR type = ANY ($4))"""
_FINAL = "xid < pg_snapshot_xmin(pg_current_snapshot())"
_UPTO = "(xid, id) <= ($6::text::xid8, $7)"
_MEANT = """(organization_id = ANY ({organizations}::uuid[]) OR account_id = {account}::uuid
  OR resource_id = ANY ({resources}::uuid[]))"""
_EACH = """SELECT e.* FROM unnest({keys}::uuid[]) AS key,
  LATERAL (SELECT * FROM event WHERE {column} = key AND {window} ORDER BY xid, id LIMIT $5) e"""
# What is meant by more than one key is there more than once.
_PAGE = f"""
SELECT DISTINCT ON (event.xid, id) {COLUMNS} FROM ({{source}}) event ORDER BY event.xid, id LIMIT $5
"""


async def write(
    connection: Connection,
    events: Sequence[tuple[Event, Viewer | None]],
    settled: Sequence[tuple[bytes, str, UsedKey]],
) -> None:
    """Write events, each with who did it, in their order, and what idempotency keys led to, in one statement.

    A version that is taken fails the transaction.
    """
    written = zip(*(_event_row(event, viewer) for event, viewer in events), strict=True)
    kept = zip(*(_key_row(*each) for each in settled), strict=True)
    if events and settled:
        await connection.execute(_APPEND_AND_SETTLE, *written, *kept)
    elif events:
        await connection.execute(_APPEND, *written)
    elif settled:
        await connection.execute(_SETTLE_ALONE, *kept)


def _event_row(event: Event, viewer: Viewer | None) -> tuple[object, ...]:
    return (
        event.stream.value,
        event.stream_id,
        event.version,
        event.type,
        event.at,
        _actor(viewer),
        viewer.user_id if viewer else None,
        event.organization_id,
        event.account_id,
        event.resource_id,
        orjson.dumps(event.data).decode(),
    )


def _key_row(scope: bytes, key: str, use: UsedKey) -> tuple[object, ...]:
    return scope, key, use.operation, use.fingerprint, orjson.dumps(use.outcome).decode()


def _actor(viewer: Viewer | None) -> str:
    return "system" if viewer is None else "user" if viewer.signed_in else "guest"


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


def page_of(
    audience: Audience, after: Position, upto: Position | None, limit: int
) -> tuple[str, Sequence[object]]:
    """The statement, with its values, for what an audience may hear after a place, in order.

    Up to and with ``upto``, or, where that is None, as far as the order is final. Each key of the audience is
    followed along its own index, so that a page costs a page, however long the log is.
    """
    values = [str(after.xid), after.id, audience.stream, audience.types, limit]
    if upto is not None:
        values += [str(upto.xid), upto.id]
    window = f"{_WINDOW} AND {_FINAL if upto is None else _UPTO}"
    keys = [list(audience.organizations), audience.account_id, list(audience.resources)]
    first = len(values) + 1
    organizations, account, resources = (f"${first + number}" for number in range(3))
    if audience.subject_id is not None:
        meant = _MEANT.format(organizations=organizations, account=account, resources=resources)
        source = f"SELECT * FROM event WHERE stream_id = ${first + 3} AND {meant} AND {window}"
        return _PAGE.format(source=source), [*values, *keys, audience.subject_id]
    branches = (
        _EACH.format(keys=organizations, column="organization_id", window=window),
        _EACH.format(keys=resources, column="resource_id", window=window),
        f"(SELECT * FROM event WHERE account_id = {account} AND {window} ORDER BY xid, id LIMIT $5)",
    )
    return _PAGE.format(source=" UNION ALL ".join(branches)), [*values, *keys]
