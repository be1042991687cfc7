"""Posting to URLs given by users.

A name is looked up for the very connection that is made, every address of it is judged, and the socket's once more as
it is made, for an address in the URL is looked up by nobody. No redirect is followed, no proxy of the environment is
asked, no cookie is kept, and of an answer nothing is looked at but its status and Retry-After.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from automation.addresses import ForbiddenAddress, Reachable
from automation.webhooks.names import SystemResolver
from domain.errors import InvalidInput
from domain.messages import Message
from domain.webhooks import Attempt, checked_url

TIME_OUT = 15.0
CONNECTING = 5.0
MOST_READ = 65_536
LONGEST_HEADER = 8_190
MOST_HEADERS = 64
MOST_SOCKETS = 1_024
"""More than all that are slow may have at once (``courier``): who waits for one runs out of time without a request."""
IDLE = 30.0
"""Seconds that a connection waits for the next message."""


class JudgedResolver(AbstractResolver):
    """Looks names up, and refuses one as soon as any of its addresses is forbidden."""

    def __init__(self, reachable: Reachable, resolver: AbstractResolver) -> None:
        self._reachable = reachable
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises ForbiddenAddress."""
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._reachable.check(each["host"])
        return found

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._resolver.close()


class Poster:
    """Posts messages over connections that are kept. ``http`` allows URLs without TLS."""

    def __init__(self, session: aiohttp.ClientSession, *, http: bool) -> None:
        self._session = session
        self._http = http

    async def __call__(self, url: str, message: Message) -> Attempt:
        """One attempt, over within 15 s whatever the receiver does."""
        at, start = datetime.now(UTC), perf_counter()
        status, error, retry_after = None, None, None
        try:
            checked_url(url, http=self._http)
            status, retry_after = await self._posted(url, message)
        except (InvalidInput, aiohttp.ClientError, OSError, ValueError) as failure:
            error = _class_of(failure)
        return Attempt(at, timedelta(seconds=perf_counter() - start), status, error, retry_after)

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def _posted(self, url: str, message: Message) -> tuple[int, timedelta | None]:
        async with (
            asyncio.timeout(TIME_OUT),
            self._session.post(
                url, data=message.body, headers=message.headers, allow_redirects=False
            ) as answer,
        ):
            read = 0
            async for piece in answer.content.iter_any():
                read += len(piece)
                if read > MOST_READ:
                    answer.close()  # what is left of it is not worth the connection
                    break
            return answer.status, _retry_after(answer.headers.get("Retry-After"))


def new_poster(reachable: Reachable, *, http: bool, resolver: AbstractResolver | None = None) -> Poster:
    """A poster, to be closed. Needs a running loop."""

    def judged(place: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = place
        reachable.check(str(address[0]))
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setblocking(False)
        return made

    connector = aiohttp.TCPConnector(
        resolver=JudgedResolver(reachable, resolver or SystemResolver()),
        use_dns_cache=False,
        socket_factory=judged,
        limit=MOST_SOCKETS,
        keepalive_timeout=IDLE,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": "Holdfast-Webhooks/1"},
        timeout=aiohttp.ClientTimeout(total=TIME_OUT, sock_connect=CONNECTING),
        trust_env=False,
        auto_decompress=False,
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
        max_headers=MOST_HEADERS,
    )
    return Poster(session, http=http)


def _class_of(failure: Exception) -> str:
    """A word for what went wrong, without any of what was sent or came back."""
    cause = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    if isinstance(cause, ForbiddenAddress):
        return "forbidden_address"
    match failure:
        case InvalidInput():
            return "forbidden_url"
        case TimeoutError():
            return "timed_out"
        case aiohttp.ClientConnectorDNSError():
            return "unknown_host"
        case aiohttp.ClientSSLError():
            return "tls_failed"
        case aiohttp.ClientConnectorError():
            return "not_connected"
    return "broken_answer"


def _retry_after(value: str | None) -> timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); None for anything else."""
    if value is None:
        return None
    try:
        if value.isdecimal():
            return timedelta(seconds=min(int(value), 10**7))
        return max(timedelta(), parsedate_to_datetime(value) - datetime.now(UTC))
    except (ValueError, TypeError, OverflowError):
        return None
