"""How guests are told apart."""

from __future__ import annotations

from domain.guests import Guests
from domain.viewer import Viewer

GUESTS = Guests(b"s" * 32)


def _holder(address: str) -> bytes:
    return GUESTS.holder(Viewer(address, "request"))


def test_a_guest_who_changes_the_address_within_the_network_they_were_given_is_one_holder() -> None:
    assert _holder("2001:db8:1:2::1") == _holder("2001:db8:1:2:ffff::9")
    assert _holder("::ffff:192.0.2.1") == _holder("192.0.2.1")


def test_guests_of_different_networks_are_different_holders() -> None:
    assert len({_holder(a) for a in ("2001:db8:1:2::1", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.2")}) == 4
