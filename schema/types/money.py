"""Money and time ranges."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Self, cast

import strawberry

from domain import money as domain
from domain.walltime import TimeRange as WallTimeRange
from schema.lasting import lasting
from schema.scalars import CurrencyCode, LocalDateTime, TimeZone


@lasting
@strawberry.type
class Money:
    """An exact amount and its currency."""

    amount: Decimal
    currency: CurrencyCode

    @classmethod
    def of(cls, value: domain.Money) -> Self:
        """The trade's value itself, whose fields are the same."""
        return cast("Self", value)


@strawberry.input
class MoneyInput:
    """A price that staff set."""

    amount: Decimal
    currency: CurrencyCode

    def value(self) -> domain.Money:
        """As the trade's value. Raises InvalidInput."""
        return domain.Money(self.amount, self.currency)


@lasting
@strawberry.type
class TimeRange:
    """Half-open [start, end), as instants and on the wall clock of timeZone."""

    start: datetime
    end: datetime
    time_zone: TimeZone
    local_start: LocalDateTime
    local_end: LocalDateTime
    duration: timedelta

    @classmethod
    def of(cls, start: datetime, end: datetime, time_zone: str) -> Self:
        """From two instants and a zone: the trade's value itself, whose fields are the same."""
        return cast("Self", _range(start, end, time_zone))


@lru_cache(maxsize=8_192)  # what is searched for again and again runs at the same times
def _range(start: datetime, end: datetime, time_zone: str) -> WallTimeRange:
    return WallTimeRange(start, end, time_zone)
