"""Seats: the fixed map, and what a schedule has made of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self, cast

import strawberry

from domain import seats as domain
from schema.ids import encode
from schema.lasting import lasting
from schema.types.money import Money
from schema.types.node import Node

SeatStatus = domain.SeatStatus
strawberry.enum(SeatStatus, description="What a schedule has made of a seat.")


@lasting
@strawberry.type
class Seat:
    """One place in a layout; rows and columns count from 1, front left first."""

    label: str
    index: int
    row: int
    column: int
    category: str
    accessible: bool


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
        return cast("list[Seat]", list(self.value.seats))  # it has the same fields

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


@lasting
@strawberry.type
class SeatState:
    """A seat of one schedule as the caller sees it."""

    seat: Seat
    status: SeatStatus
    price: Money
    held_until: datetime | None
    mine: bool

    @classmethod
    def all_of(cls, values: Iterable[domain.SeatState]) -> list[Self]:
        """The trade's values themselves, whose fields are the same."""
        return cast("list[Self]", list(values))


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
        """The trade's value itself, whose fields are the same."""
        return cast("Self", value)
