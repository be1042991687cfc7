"""How failed sign-ins slow down the account they aim at and the address they come from.

A try is counted before the password is looked at, in a transaction of its own: what is refused, cut off or
sent three hundred times in one document was counted all the same. A try that comes while its counter is
blocked is turned away and does not count.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, field
from datetime import timedelta

_LONGEST_EXPONENT = 20


@dataclass(frozen=True, slots=True)
class Backoff:
    """``free`` failures (one or more) cost nothing; each further one blocks twice as long as the one before.

    No block is longer than ``longest``. After ``quiet`` without a failure the count begins anew.
    """

    free: int
    longest: timedelta = timedelta(minutes=15)
    quiet: timedelta = timedelta(hours=1)

    def block(self, failures: int) -> timedelta:
        """How long the counter is blocked from its ``failures``-th failure on: 0, then 1 s, 2 s, 4 s ..."""
        if failures <= self.free:
            return timedelta(0)
        return min(timedelta(seconds=2 ** min(failures - self.free - 1, _LONGEST_EXPONENT)), self.longest)


@dataclass(frozen=True, slots=True)
class Counter:
    """What tries are counted by; ``key`` (32 bytes) stands for an account or an address without naming it."""

    key: bytes
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class Throttle:
    """Names the counters. ``secret`` (32 bytes or more) keeps addresses from being guessed from the table."""

    secret: bytes = field(repr=False)
    account: Backoff = Backoff(free=5)
    address: Backoff = Backoff(free=30)

    def of_account(self, email: str) -> Counter:
        """The counter of one account, there or not."""
        return Counter(self._key(f"account:{email.strip().lower()}"), self.account)

    def of_address(self, address: str) -> Counter:
        """The counter of sign-ins from one network address."""
        return Counter(self._key(f"address:{network(address)}"), self.address)

    def of_sign_ups(self, address: str) -> Counter:
        """The counter of sign-ups from one address; apart, so that they keep nobody from signing in."""
        return Counter(self._key(f"sign-ups:{network(address)}"), self.address)

    def _key(self, text: str) -> bytes:
        return hmac.digest(self.secret, text.encode(errors="replace"), "sha256")


def network(address: str) -> str:
    """What one customer of a network provider has: an IPv4 address, or 64 bits of IPv6 (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
