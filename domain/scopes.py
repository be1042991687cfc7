"""What a key of an integrator may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Scope(StrEnum):
    """A closed set: what no scope names, such as an account and its keys, no key can touch."""

    CATALOGUE_READ = "CATALOGUE_READ"
    CATALOGUE_WRITE = "CATALOGUE_WRITE"
    BOOKINGS_READ = "BOOKINGS_READ"
    BOOKINGS_WRITE = "BOOKINGS_WRITE"
    AUTOMATION = "AUTOMATION"
    WEBHOOKS = "WEBHOOKS"
    EVENTS_READ = "EVENTS_READ"


_BRINGS: Mapping[Scope, Scope] = {
    Scope.CATALOGUE_WRITE: Scope.CATALOGUE_READ,
    Scope.BOOKINGS_WRITE: Scope.BOOKINGS_READ,
}
"""Who changes something is told what became of it, and so reads it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key lends its bearer: some of what its creator's account may do, in one organization."""

    key_id: UUID
    organization_id: UUID
    scopes: frozenset[Scope]

    def covers(self, scope: Scope | None) -> bool:
        """Whether the scope is lent; everybody has CATALOGUE_READ, and None is never lent."""
        return scope in self.scopes or scope is Scope.CATALOGUE_READ or self._brought(scope)

    def _brought(self, scope: Scope | None) -> bool:
        return any(_BRINGS.get(held) is scope for held in self.scopes if held in _BRINGS)
