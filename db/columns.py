"""The words the tables are written in: column types by what they hold, defaults and closed sets of values.

SQLModel reads one ``Field`` a column: a column that has its type from here takes no ``Field`` of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Numeric, SmallInteger, text
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field


def default(sql: str) -> dict[str, object]:
    """The ``sa_column_kwargs`` of a column that the database fills in."""
    return {"server_default": text(sql)}


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """The rule that a column holds one of these values, in the order the migration has them."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})")


class TransactionId(UserDefinedType[int]):
    """The id of a transaction, 64 bits that never wrap around."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in SQL."""
        return "xid8"


Text = Annotated[str, Field(sa_type=TextType)]
TextOrNone = Annotated[str | None, Field(sa_type=TextType)]
Small = Annotated[int, Field(sa_type=SmallInteger)]
SmallOrNone = Annotated[int | None, Field(sa_type=SmallInteger)]
Amount = Annotated[Decimal, Field(sa_type=Numeric(18, 4))]
Json = Annotated[dict[str, Any], Field(sa_type=JSONB)]
JsonOrNone = Annotated[dict[str, Any] | None, Field(sa_type=JSONB)]
Texts = Annotated[list[str], Field(sa_type=ARRAY(TextType))]
SeatIndexes = Annotated[list[int], Field(sa_type=ARRAY(SmallInteger))]
Version = Annotated[int, Field(sa_type=BigInteger, sa_column_kwargs=default("1"))]
CreatedAt = Annotated[datetime, Field(sa_column_kwargs=default("now()"))]
