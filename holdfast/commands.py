"""What each command does."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket

from holdfast.database import database
from holdfast.settings import Settings
from holdfast.terminal import CommandFailed, say

SERVE_BACKLOG = 2048


async def serve(settings: Settings, asked: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    from holdfast.logs import configure_logging

    configure_logging(settings)
    with _listening(settings) as listening:
        async with database(settings) as dsn:
            await _prepared(settings, dsn)
            await _serve(settings, dsn, listening)
    say("Stopped.")


async def _serve(settings: Settings, dsn: str, listening: socket.socket) -> None:
    import uvicorn

    from holdfast.demo import fill, is_empty
    from holdfast.transport.http_protocol import HttpProtocol
    from holdfast.transport.server import Server
    from holdfast.transport.socket_protocol import SocketProtocol
    from holdfast.web import make_web
    from holdfast.wiring import wire

    async with wire(settings, dsn) as app:
        if settings.embedded and settings.environment == "development" and await is_empty(app):
            await fill(app, say)
        web = make_web(app)
        config = uvicorn.Config(
            web.asgi,
            http=HttpProtocol,
            ws=SocketProtocol,
            ws_max_size=settings.socket_message_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_seconds)),
        )
        server = Server(config, web.transport.drain)
        working = asyncio.create_task(app.worker.run()) if settings.works_inline else None
        _introduce(settings, listening, app.broker.description)
        try:
            await server.serve(sockets=[listening])
        finally:
            if working is not None:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)


async def worker(settings: Settings, asked: argparse.Namespace) -> None:
    """Run the background loops until SIGINT or SIGTERM."""
    from holdfast.logs import configure_logging
    from holdfast.wiring import wire

    configure_logging(settings)
    async with database(settings) as dsn:
        await _must_be_migrated(dsn)
        async with wire(settings, dsn) as app:
            say(f"Working, with {app.broker.description} as broker. Ctrl-C stops.")
            running = asyncio.create_task(app.worker.run())
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, running.cancel)
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()
    say("Stopped.")


async def migrate(settings: Settings, asked: argparse.Namespace) -> None:
    """Bring the database to this version's schema."""
    from db.migrate import HEAD, upgrade

    async with database(settings) as dsn:
        await upgrade(dsn, lambda step: say(f"Migrating to {step} ..."))
        say(f"The database is at schema {HEAD}.")


async def seed(settings: Settings, asked: argparse.Namespace) -> None:
    """Fill an empty database with demo data."""
    from holdfast.demo import fill, is_empty
    from holdfast.logs import configure_logging
    from holdfast.wiring import wire

    configure_logging(settings)
    async with database(settings) as dsn:
        await _must_be_migrated(dsn)
        async with wire(settings, dsn) as app:
            if not await is_empty(app):
                raise CommandFailed(
                    "The database has organizations already; demo data goes into an empty one."
                )
            await fill(app, say)


async def doctor(settings: Settings, asked: argparse.Namespace) -> None:
    """Look at everything that serving needs."""
    from holdfast.doctor import examine

    if not await examine(settings, say):
        raise CommandFailed("Something is wrong; see above.")


async def rotate_keys(settings: Settings, asked: argparse.Namespace) -> None:
    """Make a new key for access tokens."""
    from holdfast.keys import rotate

    say(
        f"Key {await asyncio.to_thread(rotate, settings)} signs from now on; running servers notice within a minute."
    )


async def _prepared(settings: Settings, dsn: str) -> None:
    """A database of ours is migrated; one of the operator's must be migrated already."""
    if not settings.embedded:
        await _must_be_migrated(dsn)
        return
    from db.migrate import HEAD, upgrade, version

    if await version(dsn) != HEAD:
        await upgrade(dsn, lambda step: say(f"Migrating to {step} ..."))


async def _must_be_migrated(dsn: str) -> None:
    from db.migrate import HEAD, version

    found = await version(dsn)
    if found != HEAD:
        state = f"is at schema {found}" if found else "has no schema yet"
        raise CommandFailed(f"The database {state}, this version needs {HEAD}: run `holdfast migrate` first.")


def _listening(settings: Settings) -> socket.socket:
    """A listening socket. Raises CommandFailed where the address or port cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(SERVE_BACKLOG)
    except OSError as error:
        raise CommandFailed(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Set HOLDFAST_HOST or HOLDFAST_PORT to another, or stop what is there."
        ) from None
    return listening


def _introduce(settings: Settings, listening: socket.socket, broker: str) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    page = f"{url}/graphql" if settings.shows_graphiql else "off (HOLDFAST_GRAPHIQL=true switches it on)"
    database = (
        f"embedded, in {settings.data_dir}" if settings.embedded else "the one of HOLDFAST_DATABASE_URL"
    )
    worker = "in this process" if settings.works_inline else "off here: run `holdfast worker` beside it"
    say(
        f"""
Holdfast listens on {url}
  GraphQL     {url}/graphql (POST, graphql-transport-ws, text/event-stream)
  GraphiQL    {page}
  database    {database}
  broker      {broker}
  worker      {worker}
  automation  off: booking on portals is not part of this version
Ctrl-C stops."""
    )
