"""Telling the watchers that holds have run out. Nobody waits for it: a hold whose time is over is free at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domain.holding import changes, reservation_event, seats_event
from domain.ports import Begin
from domain.seats import SeatStatus

BATCH = 100


@dataclass(frozen=True, slots=True)
class Expiry:
    """The use case, one short transaction a schedule."""

    begin: Begin

    async def sweep(self) -> int:
        """Note what has run out on up to 100 schedules; how many reservations that were."""
        async with self.begin(None) as tx:
            due = await tx.ledger.due(BATCH)
        return sum([await self._sweep(schedule_id) for schedule_id in due])

    async def next_due(self) -> timedelta | None:
        """How long until there is something to sweep; None while nothing is held."""
        async with self.begin(None) as tx:
            return await tx.ledger.next_due()

    async def _sweep(self, schedule_id: UUID) -> int:
        async with self.begin(None) as tx:
            locked = await tx.ledger.lock(schedule_id)
            assert locked is not None  # noqa: S101 - a reservation's schedule is never removed
            freed, ended = await tx.ledger.expire(schedule_id, locked.at)
            if freed:
                layout = await tx.ledger.layout(locked.terms.layout_id)
                changed = changes(layout, freed, SeatStatus.AVAILABLE)
                locked.step(
                    SeatStatus.AVAILABLE, SeatStatus.AVAILABLE, len(freed)
                )  # they were free at their time
                tx.emit(seats_event("seats.expired", locked, changed))
            tx.emit(*(reservation_event("reservation.expired", each, locked.at) for each in ended))
            return len(ended)
