"""What happened, in order: the oracle of tests. It is in memory alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from automation.demo_portal.clock import Clock


class Happening(StrEnum):
    """What is written down."""

    SCAN = "scan"
    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"
    SEARCHED = "searched"
    APPEARED = "appeared"
    RIVAL_TOOK = "rival-took"
    KEPT = "kept"
    KEEP_REFUSED = "keep-refused"
    CLICKED = "clicked"
    """Somebody pressed the button that books."""
    BOOKED = "booked"
    CANCELLED = "cancelled"
    BOOKING_REFUSED = "booking-refused"
    TROUBLE = "trouble"


class Diary:
    """Entries, each ``{"at", "what", ...}``, and how often each person booked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[Mapping[str, object]] = []
        self._booked: Counter[str] = Counter()

    def note(self, what: Happening, person: str | None = None, **more: object) -> None:
        """Write something down; ``person`` is a number."""
        who = {} if person is None else {"person": person}
        self._entries.append({"at": self._clock().isoformat(), "what": what.value, **who, **more})
        if what is Happening.BOOKED and person is not None:
            self._booked[person] += 1

    @property
    def entries(self) -> Sequence[Mapping[str, object]]:
        """All of it."""
        return self._entries

    @property
    def booked(self) -> Mapping[str, int]:
        """How often each person booked, by number."""
        return self._booked
