"""Seats: the fixed map, and what a schedule has made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from domain import seats as domain
from schema.ids import encode
from schema.types.money import Money
from schema.types.node import Node

SeatStatus = domain.SeatStatus
strawberry.enum(SeatStatus, description="What a schedule has made of a seat.")


@strawberry.type
class Seat:
    """One place in a layout; rows and columns count from 1, front left first."""

    label: str
    index: int
    row: int
    column: int
    category: str
    accessible: bool

    @classmethod
    def of(cls, value: domain.Seat) -> Self:
        """From the trade's value."""
        return cls(
            label=value.label,
            index=value.index,
            row=value.row,
            column=value.column,
            category=value.category,
            accessible=value.accessible,
        )


@strawberry.type
class SeatLayout(Node):
    """The fixed part of a seat map; cacheable for ever under its id."""

    rows: int
    columns: int
    aisle_after_column: int | None
    value: strawberry.Private[domain.SeatLayout]

    @strawberry.field
    def seats(self) -> list[Seat]:
        """The seats in the order of their index."""
        return [Seat.of(seat) for seat in self.value.seats]

    @classmethod
    def of(cls, value: domain.SeatLayout) -> Self:
        """From the trade's value."""
        return cls(
            id=strawberry.ID(encode("SeatLayout", value.id)),
            rows=value.rows,
            columns=value.columns,
            aisle_after_column=value.aisle_after_column,
            value=value,
        )


@strawberry.type
class SeatState:
    """A seat of one schedule as the caller sees it."""

    seat: Seat
    status: SeatStatus
    price: Money
    held_until: datetime | None
    mine: bool

    @classmethod
    def of(cls, value: domain.SeatState) -> Self:
        """From the trade's value."""
        return cls(
            seat=Seat.of(value.seat),
            status=value.status,
            price=Money.of(value.price),
            held_until=value.held_until,
            mine=value.mine,
        )


@strawberry.type
class SeatCounts:
    """How many seats of a schedule are what."""

    total: int
    available: int
    held: int
    booked: int
    blocked: int

    @classmethod
    def of(cls, value: domain.SeatCounts) -> Self:
        """From the trade's value."""
        return cls(
            total=value.total,
            available=value.available,
            held=value.held,
            booked=value.booked,
            blocked=value.blocked,
        )
