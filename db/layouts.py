"""Seat layouts, remembered for ever: a layout never changes under its id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from db.engine import Connection, Pool
from domain.seats import Seat, SeatLayout

MOST = 2_000

_SELECT = "SELECT id, rows, columns, aisle_after_column, seats FROM seat_layout WHERE id = ANY ($1::uuid[])"
_INSERT = """
INSERT INTO seat_layout (id, organization_id, rows, columns, aisle_after_column, seats)
VALUES ($1, $2, $3, $4, $5, $6)
"""


class Layouts:
    """The 2,000 layouts used last, one memory a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, SeatLayout] = OrderedDict()

    async def get(self, connection: Connection, layout_id: UUID) -> SeatLayout:
        """The layout; KeyError where there is none."""
        found = await self.get_many(connection, [layout_id])
        return found[layout_id]

    async def get_many(self, source: Connection | Pool, ids: Iterable[UUID]) -> Mapping[UUID, SeatLayout]:
        """Those that there are."""
        wanted = set(ids)
        unknown = wanted - self._known.keys()
        for row in await source.fetch(_SELECT, list(unknown)) if unknown else ():
            if (
                row["id"] not in self._known
            ):  # of several who read it at once, one; what hangs on it knows it by identity
                self._known[row["id"]] = _layout(row)
        found = {id_: self._known[id_] for id_ in wanted & self._known.keys()}
        for id_ in found:
            self._known.move_to_end(id_)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return found

    @staticmethod
    async def add(connection: Connection, organization_id: UUID, layout: SeatLayout) -> None:
        """Write a new layout."""
        seats = [[s.label, s.index, s.row, s.column, s.category, s.accessible] for s in layout.seats]
        await connection.execute(
            _INSERT, layout.id, organization_id, layout.rows, layout.columns, layout.aisle_after_column, seats
        )


def _layout(row: Any) -> SeatLayout:
    seats = tuple(Seat(*seat) for seat in row["seats"])
    return SeatLayout(row["id"], row["rows"], row["columns"], row["aisle_after_column"], seats)
