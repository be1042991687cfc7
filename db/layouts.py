"""Seat layouts, remembered for ever: a layout never changes under its id."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from db.engine import Connection
from domain.seats import Seat, SeatLayout

MOST = 2_000

_SELECT = "SELECT rows, columns, aisle_after_column, seats FROM seat_layout WHERE id = $1"
_INSERT = """
INSERT INTO seat_layout (id, organization_id, rows, columns, aisle_after_column, seats)
VALUES ($1, $2, $3, $4, $5, $6)
"""


class Layouts:
    """The 2,000 layouts used last, one memory a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, SeatLayout] = OrderedDict()

    async def get(self, connection: Connection, layout_id: UUID) -> SeatLayout:
        """The layout; LookupError where there is none."""
        known = self._known.get(layout_id)
        if known is not None:
            self._known.move_to_end(layout_id)
            return known
        row = await connection.fetchrow(_SELECT, layout_id)
        if row is None:
            raise LookupError(f"no seat layout {layout_id}")
        seats = tuple(Seat(*seat) for seat in row["seats"])
        layout = SeatLayout(layout_id, row["rows"], row["columns"], row["aisle_after_column"], seats)
        self._known[layout_id] = layout
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return layout

    @staticmethod
    async def add(connection: Connection, organization_id: UUID, layout: SeatLayout) -> None:
        """Write a new layout."""
        seats = [[s.label, s.index, s.row, s.column, s.category, s.accessible] for s in layout.seats]
        await connection.execute(
            _INSERT, layout.id, organization_id, layout.rows, layout.columns, layout.aisle_after_column, seats
        )
