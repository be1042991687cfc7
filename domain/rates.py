"""How many requests a caller may send: a signed-in one by the account, any other by the network address.

Each caller has a bucket of as many requests as the rate allows a minute, refilled evenly: the generic cell
rate algorithm (ITU-T I.371, annex A), which keeps one instant a caller, when its bucket is full again.
Several processes judge by themselves, and tell each other twice a second what was used: what slips through in
between is paid back by waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from domain.errors import RateLimited
from domain.throttle import network
from domain.viewer import Viewer

MINUTE = 60.0
INTERVAL = 0.5
"""Seconds between two exchanges with the other processes."""
FEW = 10_000
"""Callers below which nobody looks for buckets that are full again."""

_log = logging.getLogger(__name__)
_network = lru_cache(maxsize=4096)(network)


class SharedRates(Protocol):
    """What all processes used."""

    async def add(self, used: Mapping[bytes, float]) -> Mapping[bytes, float]:
        """Add the seconds of refilling that each bucket needs more; in how many it is full. Raises ConnectionError."""


class Rates:
    """One process' buckets. A rate of 0 is no limit; an unknown address ("") has none.

    ``secret`` (up to 64 bytes count) keeps addresses from being guessed from what is shared.
    """

    def __init__(
        self, per_account: int, per_address: int, secret: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_account = per_account
        self._per_address = per_address
        self._secret = secret[:64]
        self._clock = clock
        self._full: dict[Hashable, float] = {}
        self._used: dict[Hashable, float] | None = None
        self._many = FEW

    def admit(self, viewer: Viewer) -> None:
        """Count one request of this caller. Raises RateLimited, and then counts nothing."""
        if viewer.user_id is not None:
            self._take(viewer.user_id, self._per_account)
        else:
            self.admit_address(viewer.address)

    def admit_address(self, address: str) -> None:
        """Count one request of somebody unknown. Raises RateLimited."""
        if address:
            self._take(_network(address), self._per_address)

    async def share(self, shared: SharedRates) -> None:
        """Judge together with the other processes from now on, and alone while they cannot be reached."""
        self._used = {}
        alone = False
        while True:
            await asyncio.sleep(INTERVAL)
            if not self._used:
                continue
            try:
                await self._exchange(shared)
            except ConnectionError as failure:
                if not alone:
                    _log.warning("each process counts requests by itself for now: %s", failure)
                alone = True
                continue
            if alone:
                _log.warning("requests are counted over all processes again")
            alone = False

    def _take(self, caller: Hashable, per_minute: int) -> None:
        if not per_minute:
            return
        now, price = self._clock(), MINUTE / per_minute
        full = max(self._full.get(caller, 0.0), now) + price
        if full - now > MINUTE + _ROUNDING:
            wait = timedelta(seconds=full - now - MINUTE)
            raise RateLimited(f"More than {per_minute} requests a minute: wait, then send fewer.", wait)
        self._full[caller] = full
        if self._used is not None:
            self._used[caller] = self._used.get(caller, 0.0) + price
        if len(self._full) > self._many:
            self._forget(now)

    def _forget(self, now: float) -> None:
        self._full = {caller: full for caller, full in self._full.items() if full > now}
        self._many = max(FEW, 2 * len(self._full))

    async def _exchange(self, shared: SharedRates) -> None:
        used, self._used = self._used or {}, {}
        named = {self._name(caller): caller for caller in used}
        left = await shared.add({name: used[caller] for name, caller in named.items()})
        now = self._clock()
        for name, seconds in left.items():
            caller = named[name]
            full = now + seconds + self._used.get(caller, 0.0)
            # What an outage kept from the others is still owed here.
            self._full[caller] = max(full, self._full.get(caller, 0.0))

    def _name(self, caller: Hashable) -> bytes:
        return blake2b(str(caller).encode(errors="replace"), key=self._secret, digest_size=16).digest()


_ROUNDING = 1e-6
