"""How many of a thing each caller has at once. A process counts its own: a caller of two processes may have twice."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import orjson

from domain.throttle import network
from domain.viewer import Viewer
from holdfast.transport.request import Parameters

CHARACTERS = 1_024
"""Of a subscription's request count as one: it keeps 100 to 200 bytes of memory for each, as long as it runs."""


@dataclass(slots=True)
class Callers:
    """At most ``limit`` for each; who has none takes no memory."""

    limit: int
    _having: dict[Hashable, int] = field(default_factory=dict)

    def enter(self, caller: Hashable, weight: int = 1) -> bool:
        """Count one more of this caller's; False, uncounted, where that would be above the limit."""
        having = self._having.get(caller, 0) + weight
        if having > self.limit:
            return False
        self._having[caller] = having
        return True

    def leave(self, caller: Hashable, weight: int = 1) -> None:
        """Count one less, of the same weight."""
        having = self._having[caller] - weight
        if having:
            self._having[caller] = having
        else:
            del self._having[caller]


def caller_of(viewer: Viewer) -> Hashable:
    """Whom limits count: the account, or for a guest the network that they were given."""
    return viewer.user_id or network(viewer.address)


def weight_of(parameters: Parameters) -> int:
    """How many short subscriptions one counts as, by what it keeps: its document and its variables."""
    kept = len(orjson.dumps([parameters.variables, parameters.extensions])) + len(parameters.query or "")
    return 1 + kept // CHARACTERS
