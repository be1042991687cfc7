"""A demo portal as a process: one loopback socket, everything in memory."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automation.demo_portal.control import Control
from automation.demo_portal.phone import Phone
from automation.demo_portal.portal import Portal
from automation.demo_portal.site import GUARDED, Site

GUARDS = (
    (b"content-security-policy", GUARDED.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def application(portal: Portal, control: str | None = None) -> ASGIApp:
    """The site, its phone and, for who has the token ``control``, its control API."""
    routes = [*Site(portal).routes(), *Phone(portal).routes()]
    if control is not None:
        routes += Control(portal, control).routes()
    # No name but this machine's: a page elsewhere cannot have its own name lead here.
    return TrustedHostMiddleware(_guarded(Starlette(routes=routes)), allowed_hosts=["127.0.0.1", "localhost"])


async def serve(portal: Portal, listening: socket.socket, *, control: str | None, with_parent: bool) -> None:
    """Serve until SIGINT or SIGTERM, or, ``with_parent``, until standard input ends: whoever started us is gone."""
    config = uvicorn.Config(
        application(portal, control),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    watching = asyncio.create_task(_leave_with_parent(server)) if with_parent else None
    try:
        await server.serve(sockets=[listening])
    finally:
        if watching is not None:
            watching.cancel()


async def _leave_with_parent(server: uvicorn.Server) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(1024):
        pass
    server.should_exit = True


def _guarded(app: ASGIApp) -> ASGIApp:
    """Every answer carries the guards, where it did not set its own."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in GUARDS if each[0] not in own)]
            await send(message)

        await app(scope, receive, send_guarded)

    return guarded
