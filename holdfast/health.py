"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from db.probe import is_current
from holdfast.wiring import App

PATIENCE = 2.0


class Health:
    """The two answers that a supervisor or a load balancer asks for."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def live(self, request: Request) -> Response:
        """The event loop turns."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Everything that serving needs works: 200, or 503 naming what does not.

        The broker is told of but needed by nobody: without it changes made elsewhere arrive a second later.
        """
        checks = {
            "database": await self._database(),
            "feed": self._app.feed.healthy,
        }
        ready = all(checks.values())
        told = {name: "ok" if works else "failing" for name, works in checks.items()}
        told["broker"] = "ok" if self._app.broker.healthy else "away"
        body = {"status": "ok" if ready else "unavailable", "checks": told}
        return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def _database(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                return await is_current(self._app.pool)
        except Exception:  # whatever it is, the answer is no
            return False
