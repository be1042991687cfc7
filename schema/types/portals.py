"""Portals that jobs book on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import strawberry

from domain import portals
from schema.batches import batched
from schema.context import Context
from schema.scalars import JSON
from schema.types.refusals import IdempotencyMismatch, NotFound


@strawberry.type
class Portal:
    """Somebody else's portal."""

    key: str
    name: str
    config_schema: JSON = strawberry.field(description="JSON Schema of AutomationStartInput.config.")

    @batched
    @staticmethod
    async def enabled(portals: Sequence[Portal], context: Context) -> list[bool]:
        """Whether jobs may be started at it: it is part of this server, and staff have not switched it off."""
        known, states = context.services.automation.portals, await context.portals()
        return [one.key in known and one.key in states and states[one.key].on for one in portals]

    @classmethod
    def of(cls, value: portals.Portal) -> Self:
        """From its terms."""
        return cls(key=value.key, name=value.name, config_schema=JSON(value.config_schema))

    @classmethod
    def named(cls, key: str, context: Context) -> Self:
        """By its key; of one that is no longer part of this server, nothing but that is known."""
        terms = context.services.automation.portals.get(key)
        return cls.of(terms) if terms else cls(key=key, name=key, config_schema=JSON({}))


@strawberry.input
class SwitchPortalInput:
    """Which portal, and whether jobs may be started at it."""

    portal_key: str
    enabled: bool


SwitchPortalResult = Annotated[
    Portal | NotFound | IdempotencyMismatch, strawberry.union("SwitchPortalResult")
]
