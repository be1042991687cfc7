"""Sockets that several processes accept from."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import pytest

from holdfast.listening import listening, turn_newcomers_away
from holdfast.settings import Settings
from holdfast.terminal import CommandFailed


def accepted(each: socket.socket) -> int:
    """How many wait to be accepted; they are."""
    each.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        while True:
            each.accept()[0].close()
            number += 1
    return number


def connected(stack: ExitStack, sockets: Sequence[socket.socket], number: int) -> None:
    address = sockets[0].getsockname()
    for _ in range(number):
        stack.enter_context(socket.create_connection(address))


def test_connections_are_spread_evenly() -> None:
    with listening(Settings(port=0), 4) as sockets, ExitStack() as stack:
        connected(stack, sockets, 400)
        shares = [accepted(each) for each in sockets]
    assert sum(shares) == 400
    assert min(shares) > 50


@pytest.mark.parametrize("number", [1, 3])
def test_nobody_moves_in_where_somebody_listens(number: int) -> None:
    with listening(Settings(port=0), number) as sockets:
        there = Settings(port=sockets[0].getsockname()[1])
        for rivals in (1, 3):
            with pytest.raises(CommandFailed, match="Address already in use"), listening(there, rivals):
                pass


def test_newcomers_are_turned_away_and_those_who_wait_come_in() -> None:
    with listening(Settings(port=0), 2) as sockets, ExitStack() as stack:
        connected(stack, sockets, 5)
        turn_newcomers_away(sockets)
        late = stack.enter_context(socket.socket())
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(sockets[0].getsockname())
        assert sum(accepted(each) for each in sockets) == 5
