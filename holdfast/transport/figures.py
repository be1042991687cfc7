"""What the transport has open and has done, in whole numbers for whoever measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Figures:
    """One process' own; the first four are as of now, the others since the process began."""

    sockets: int = 0
    event_streams: int = 0
    subscriptions: int = 0
    """Subscriptions that run on all sockets and event streams together."""
    groups: int = 0
    """Groups of subscriptions that are told the same."""
    results: int = 0
    """Results of subscriptions sent; one to a thousand watchers counts a thousand."""
    dropped: int = 0
    """Connections dropped because their peer took nothing for too long."""
