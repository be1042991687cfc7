"""One process that serves: by itself, or beside others on the same port."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from holdfast.garbage import settle
from holdfast.line import Line, Part
from holdfast.settings import Settings
from holdfast.siblings import Siblings
from holdfast.transport.http_protocol import ConnectionLimits, limited
from holdfast.transport.server import Server
from holdfast.transport.socket_protocol import SocketProtocol
from holdfast.web import Web, make_web
from holdfast.wiring import App, wire


async def serve_alone(app: App, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called when nothing more can go wrong."""
    web = make_web(app)
    server = _server(app, web, alone=True)
    try:
        async with _beside(*([app.worker.run()] if app.settings.works_inline else ())):
            settle()
            ready()
            await server.serve(sockets=[listening])
    finally:
        await web.watch.close()


async def serve_part(settings: Settings, dsn: str, part: Part, folder: Path) -> None:
    """Serve as one of several, until told to stop; the first of them runs the worker.

    In ``folder`` they find each other.
    """
    line = await Line.open(part.line)
    try:
        async with wire(settings, dsn) as app:
            siblings = Siblings(folder, part.number)
            web = make_web(app, siblings)
            server = _server(app, web, alone=False)

            def stop() -> None:
                server.should_exit = True

            tasks: list[Coroutine[object, object, None]] = [
                line.beat(),
                line.obey(web.health.go, server.retire, stop),
            ]
            if settings.works_inline and part.number == 1:
                tasks.append(app.worker.run())
            try:
                async with siblings.answering(web.metrics.families), _beside(*tasks):
                    settle()
                    await server.serve(sockets=[socket.socket(fileno=part.listening)])
            finally:
                await web.watch.close()
    finally:
        line.close()


def _server(app: App, web: Web, *, alone: bool) -> Server:
    _open_as_many_files_as_we_may()
    settings = app.settings
    limits = ConnectionLimits(settings.head_seconds, settings.body_seconds, body_bytes=settings.body_bytes)
    config = uvicorn.Config(
        web.asgi,
        http=limited(limits, web.transport.refused),
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
    return Server(config, web.transport.drain, alone=alone, leave=web.health.leave if alone else None)


def _open_as_many_files_as_we_may() -> None:
    """Each connection is one; the soft limit is often 1,024 for the sake of programs that use select()."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def _beside(*work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run something for as long as the block lasts."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
