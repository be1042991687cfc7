"""Who sells."""

from __future__ import annotations

from typing import Self

import strawberry

from domain import catalogue as domain
from schema.ids import encode
from schema.scalars import CurrencyCode, TimeZone
from schema.types.node import Node


@strawberry.type
class Organization(Node):
    """Who sells: a bus operator, a lab, a salon."""

    name: str
    slug: str
    time_zone: TimeZone
    currency: CurrencyCode

    @classmethod
    def of(cls, value: domain.Organization) -> Self:
        """From the trade's value."""
        return cls(
            id=strawberry.ID(encode("Organization", value.id)),
            name=value.name,
            slug=value.slug,
            time_zone=TimeZone(value.time_zone),
            currency=CurrencyCode(value.currency),
        )
