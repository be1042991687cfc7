"""Which addresses a URL given by a user may lead to: the public Internet, and nothing else.

The table is what IANA's registries name as not globally reachable, as multicast, or as a way of writing another
address (the last, so that no address is reached in disguise):

- https://www.iana.org/assignments/iana-ipv4-special-registry
- https://www.iana.org/assignments/iana-ipv6-special-registry
- https://www.iana.org/assignments/ipv4-address-space and ipv6-address-space, of which IPv6 only 2000::/3 is in use
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

SPECIAL: Sequence[Network] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared with carriers, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, and the clouds' metadata, RFC 3927
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, and broadcast, RFC 1112 and RFC 919
        "::/3",  # unspecified, loopback, IPv4 mapped and compatible, NAT64 (64:ff9b), discard only (100::)
        "2001::/23",  # protocol assignments, Teredo, ORCHID, benchmarks, RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4: an IPv4 address within, RFC 3056
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
        "4000::/2",  # not in use, and segment routing (5f00::/16)
        "8000::/1",  # not in use, unique local (fc00::/7), link local (fe80::/10), multicast (ff00::/8)
    )
)


class ForbiddenAddress(OSError):
    """The address is none that a URL given by a user may lead to; it names none."""


class Reachable:
    """Judges addresses. ``allowed`` networks are let through although they are special."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = tuple(ip_network(network) for network in allowed)

    def __call__(self, address: str) -> bool:
        """Whether this address, as text, may be connected to."""
        try:
            judged = ip_address(address)
        except ValueError:
            return False
        if _within(judged, self._allowed):
            return True
        return not (_scoped(judged) or _tunnelled(judged) or _within(judged, SPECIAL))

    def check(self, address: str) -> None:
        """Raise ForbiddenAddress unless this address may be connected to."""
        if not self(address):
            raise ForbiddenAddress("forbidden address")


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _scoped(address: Address) -> bool:
    """Whether it is good on one of this machine's links alone (fe80::1%eth0)."""
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _tunnelled(address: Address) -> bool:
    """Whether it stands for an IPv4 address by ISATAP (RFC 5214, 6.1), which may be done in any network."""
    return isinstance(address, IPv6Address) and int(address) >> 32 & 0xFDFF_FFFF == 0x5EFE
