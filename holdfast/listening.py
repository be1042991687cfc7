"""The sockets that callers connect to."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from holdfast.settings import Settings
from holdfast.terminal import CommandFailed

BACKLOG = 2048

IN_THE_DOOR = 0.1
"""Seconds for connections that had begun when newcomers were turned away: they still come in."""

_SO_ATTACH_FILTER = 26
_FLAGS, _SYN, _ACK = 13, 0x02, 0x10
_NO_NEW_ONES = (  # classic BPF over the TCP header (RFC 9293, 3.1): a SYN without ACK is dropped, the rest passes
    (0x30, 0, 0, _FLAGS),
    (0x54, 0, 0, _SYN | _ACK),
    (0x15, 0, 1, _SYN),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFF_FFFF),
)


@contextmanager
def listening(settings: Settings, number: int) -> Iterator[Sequence[socket.socket]]:
    """One listening socket for each of ``number`` processes, all on the settings' address and port.

    Linux spreads connections evenly over sockets that share a port. Elsewhere all get the same socket.

    Raises:
        CommandFailed: the address or port cannot be had.

    """
    with ExitStack() as opened:
        first = _bound(settings, opened)
        sockets = [first]
        if number > 1 and sys.platform == "linux":
            # Shared only now: a first bind that shares would move in with a Holdfast that is there already.
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sockets += [_beside(first, opened) for _ in range(number - 1)]
        for each in sockets:
            each.listen(BACKLOG)
        yield [sockets[place % len(sockets)] for place in range(number)]


def turn_newcomers_away(sockets: Sequence[socket.socket]) -> None:
    """Let no new connection begin, where the system can; those that wait to be accepted can still be.

    To close a socket is to reset what waits in its queue. A caller who is turned away asks again a second later,
    finds nobody, and has lost nothing: a proxy goes on to the next server.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _NO_NEW_ONES))
    program = struct.pack("HP", len(_NO_NEW_ONES), ctypes.addressof(code))
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _bound(settings: Settings, opened: ExitStack) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = opened.enter_context(socket.socket(family))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(0)  # only then is it certain that nobody else listens there
    except OSError as error:
        raise CommandFailed(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Set HOLDFAST_HOST or HOLDFAST_PORT to another, or stop what is there."
        ) from None
    return bound


def _beside(first: socket.socket, opened: ExitStack) -> socket.socket:
    beside = opened.enter_context(socket.socket(first.family))
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        beside.setsockopt(socket.SOL_SOCKET, option, 1)
    beside.bind(first.getsockname())
    return beside
