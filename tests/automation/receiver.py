"""A receiver of webhooks: a real server on loopback that writes down what it got and answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

LOOPBACK = ("127.0.0.0/8",)

Answer = Callable[["Got"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The body, as the official library takes it."""
        return Webhook(secret).verify(self.body, dict(self.headers))


async def fine(_: Got) -> web.StreamResponse:
    return web.Response(status=204)


@dataclass
class Receiver:
    """``answers`` says, by path, what comes back; by default 204."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, path: str) -> list[Got]:
        return [got for got in self.got if got.path == path]

    async def until(self, enough: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until what came is enough."""
        async with asyncio.timeout(seconds):
            while not enough():
                self.came.clear()
                await self.came.wait()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        got = Got(request.path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.got.append(got)
        self.came.set()
        return await self.answers.get(request.path, fine)(got)


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver under way."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver._take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
