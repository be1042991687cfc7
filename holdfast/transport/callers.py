"""How many of a thing each caller has at once. A process counts its own: a caller of two processes may have twice."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from domain.throttle import network
from domain.viewer import Viewer


@dataclass(slots=True)
class Callers:
    """At most ``limit`` for each; who has none takes no memory."""

    limit: int
    _having: dict[Hashable, int] = field(default_factory=dict)

    def enter(self, caller: Hashable) -> bool:
        """Count one more of this caller's; False, uncounted, where that would be one above the limit."""
        having = self._having.get(caller, 0)
        if having >= self.limit:
            return False
        self._having[caller] = having + 1
        return True

    def leave(self, caller: Hashable) -> None:
        """Count one less."""
        having = self._having[caller] - 1
        if having:
            self._having[caller] = having
        else:
            del self._having[caller]


def caller_of(viewer: Viewer) -> Hashable:
    """Whom limits count: the account, or for a guest the network that they were given."""
    return viewer.user_id or network(viewer.address)
