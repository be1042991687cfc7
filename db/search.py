"""The search for schedules as a statement: only what is asked for stands in it, so that an index fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from db.rows import SCHEDULE_COLUMNS
from domain.catalogue import ScheduleSearch, place_key
from domain.reads import Beside, Key

_FREE = """s.seat_total - (SELECT count(*) FROM allocation a WHERE a.schedule_id = s.id
  AND (a.status <> 'HELD' OR a.held_until > statement_timestamp())) >= {}"""

_COUNTED = """ CROSS JOIN LATERAL (SELECT
  (count(*) FILTER (WHERE a.status = 'HELD' AND a.held_until > statement_timestamp()))::int AS held,
  (count(*) FILTER (WHERE a.status = 'BOOKED'))::int AS booked,
  (count(*) FILTER (WHERE a.status = 'BLOCKED'))::int AS blocked
  FROM allocation a WHERE a.schedule_id = s.id) c"""

_OF_FOUND = """(SELECT array_agg(one) FROM {name} one
  WHERE one.id = ANY (ARRAY(SELECT {name}_id FROM found))) AS {name}s"""

FURTHEST_EAST, FURTHEST_WEST = timedelta(hours=14), timedelta(hours=12)
"""How far any zone's wall clock has been from UTC since 1970 (IANA: Pacific/Kiritimati, Etc/GMT+12)."""


@dataclass(slots=True)
class Query:
    """A statement that grows with what is asked for, with its values."""

    text: str
    values: list[object] = field(default_factory=list)
    _conditions: int = 0

    def where(self, condition: str, *values: object) -> None:
        """Add a condition with a ``{}`` for each value; a condition whose one value is None is left out."""
        if values == (None,):
            return
        numbers = [f"${len(self.values) + number}" for number in range(1, len(values) + 1)]
        self.text += f" {'AND' if self._conditions else 'WHERE'} {condition.format(*numbers)}"
        self.values.extend(values)
        self._conditions += 1

    def order(self, by: str, limit: int) -> None:
        """Finish with the order and the most rows."""
        self.values.append(limit)
        self.text += f" ORDER BY {by} LIMIT ${len(self.values)}"


def schedule_query(search: ScheduleSearch, after: Key | None, limit: int) -> Query:
    """Schedules that are not cancelled and fit, by (start, id); without a date or start, those yet to come."""
    query = Query("SELECT s.* FROM schedule s")
    query.where("s.resource_id = {}", search.resource_id)
    query.where("s.offering_id = {}", search.offering_id)
    query.where("s.origin_key = {}", place_key(search.origin))
    query.where("s.destination_key = {}", place_key(search.destination))
    query.where("s.organization_id = {}", search.organization_id)
    query.where("s.mode = {}", search.mode)
    # The index over all starts is in an order of its own. It would give any search its order, and a planner that
    # does not know the values would read a million schedules through it to find the few of a small organization.
    order = "s.starts_at, s.id" if query.values else "s.starts_at NULLS FIRST, s.id"
    if search.on is not None:
        _on(query, search.on)
    query.where("s.starts_at >= {}", search.start)
    query.where("s.starts_at < {}", search.end)
    if search.on is None and search.start is None:
        query.where("s.starts_at >= statement_timestamp()")
    if after is not None:
        query.where("(s.starts_at, s.id) > ({}, {})", *after)
    query.where("s.status <> 'CANCELLED'")
    query.where(_FREE, search.min_available)
    query.order(order, limit)
    return query


def beside_schedules(found: str, beside: Beside) -> str:
    """The statement that gives ``rows.SCHEDULE_COLUMNS`` of what ``found`` selects, and what is asked for beside each.

    Beside it, not in it: what is nested is read for the rows of the page alone. What many share (``now``, arrays of
    ``offerings`` and ``resources``) stands in the first row only.
    """
    columns, joins, once = [SCHEDULE_COLUMNS], "", []
    if beside.counts:
        columns.append("c.held, c.booked, c.blocked")
        joins += _COUNTED
        once.append("statement_timestamp() AS now")
    once += [_OF_FOUND.format(name=name) for name in ("offering", "resource") if getattr(beside, name)]
    if once:
        columns.append("once.*")
        joins += f" LEFT JOIN (SELECT {', '.join(once)}) once ON s.nth = 1"
    numbered = "SELECT *, row_number() OVER (ORDER BY starts_at, id) AS nth FROM found"
    return f"WITH found AS ({found}) SELECT {', '.join(columns)} FROM ({numbered}) s{joins} ORDER BY s.nth"


def _on(query: Query, day: date) -> None:
    """The local date, and, because each index is in the order of starts, the instants at which it can be that date."""
    midnight = datetime.combine(day, time(), UTC)
    query.where("s.local_date = {}", day)
    query.where("s.starts_at >= {}", midnight - FURTHEST_EAST)
    query.where("s.starts_at < {}", midnight + timedelta(days=1) + FURTHEST_WEST)
