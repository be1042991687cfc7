"""Whether the process lives, whether it can serve, and for staff how each part of it is doing."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from db.migrate import HEAD
from db.overview import LoopSeen, Overview, overview, readiness, use_of
from domain.access import may_manage
from domain.errors import Denial
from domain.single_flight import SingleFlight
from holdfast.job_running import why_off
from holdfast.transport import Transport
from holdfast.transport.request import address_of, request_id_of, status_of
from holdfast.wiring import VERSION, App
from schema.context import Context

Told: TypeAlias = dict[str, Any]

PATIENCE = 2.0
"""Seconds that a part gets to answer."""

LAG = 10.0
"""Seconds by which a process may trail the log and still serve."""

LOOP_LATE = {
    "expiry": 60.0,
    "housekeeping": 2 * 3600.0,
    "retention": 2 * 3600.0,
    "overdue": 60.0,
    "webhooks": 60.0,
    "jobs": 60.0,
    "leases": 60.0,
    "availability": 60.0,
}
"""Seconds after which a loop of the worker counts as standing still; the last three run where there is a browser."""

_NO_STORE = {"Cache-Control": "no-store"}


@dataclass
class Health:
    """The answers that a supervisor, a load balancer and an operator ask for."""

    app: App
    transport: Transport
    leaving: bool = False
    _readiness: SingleFlight[dict[str, str]] = field(default_factory=SingleFlight)
    """Anybody may ask, and nobody counts how often: all who ask at once cost one question to the database."""
    _began: float = field(default_factory=monotonic)

    async def live(self, request: Request) -> Response:
        """The event loop turns."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Everything that serving needs works: 200, or 503 naming what does not.

        The broker is told of but needed by nobody: without it changes made elsewhere arrive a second later.
        """
        checks = {
            "process": "leaving" if self.leaving else "ok",
            **await self._readiness.read(None, self._checks),
        }
        ready = all(told == "ok" for told in checks.values())
        checks["broker"] = "ok" if self.app.broker.healthy else "away"
        body = {"status": "ok" if ready else "unavailable", "checks": checks}
        return JSONResponse(body, 200 if ready else 503, _NO_STORE)

    async def detailed(self, request: Request) -> Response:
        """How every part is doing, for staff and admins of any organization."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        seen = await self._overview()
        known = seen[0] if seen else None
        broker = self.app.broker
        body = {
            "version": VERSION,
            "process": os.getpid(),
            "uptime_seconds": round(monotonic() - self._began),
            "leaving": self.leaving,
            "database": self._database(seen),
            "broker": {"status": "ok" if broker.healthy else "away", "kind": broker.description},
            "log": self._log(known),
            "connections": asdict(self.transport.figures),
            "reservations": {"active": known.active_reservations if known else None},
            "worker": self._worker(known),
            "automation": _automation(known),
            "switched_off": self._switched_off(),
        }
        return JSONResponse(body, headers=_NO_STORE)

    def go(self) -> None:
        """Tell whoever asks for readiness that we go."""
        self.leaving = True

    async def leave(self) -> None:
        """Do so, and give them the time to hear of it."""
        self.go()
        await asyncio.sleep(self.app.settings.leave_seconds)

    async def _checks(self) -> dict[str, str]:
        """What serving needs: each "ok", or what is wrong with it."""
        feed = self.app.feed
        reads = "ok" if feed.healthy else "cannot be read"
        try:
            async with asyncio.timeout(PATIENCE):
                seen = await readiness(self.app.probe, feed.settled)
        except Exception:  # whatever it is, the answer is no
            return {"database": "does not answer", "migrations": "unknown", "log": reads}
        late = f"lags {seen.lag:.0f} s behind" if seen.lag > LAG else reads
        current = "ok" if seen.schema == HEAD else f"schema {seen.schema}, this version needs {HEAD}"
        return {"database": "ok", "migrations": current, "log": late}

    async def _refusal(self, request: Request) -> Response | None:
        """Why this caller learns nothing; None for staff."""
        scope = request.scope
        try:
            viewer = await self.app.identity.authenticate(
                request.headers.get("authorization"), address_of(scope), request_id_of(request.headers)
            )
            self.app.rates.admit(viewer)
            if viewer.user_id is None:
                return _refused(401, "Send the access token of a staff account as Authorization: Bearer.")
            async with asyncio.timeout(PATIENCE):
                roles = await Context(viewer, self.app.services).roles()
        except Denial as denial:
            return _refused(status_of(denial), denial.message)
        except TimeoutError:
            return _refused(
                503, "The database, which knows who is staff, does not answer; see /health/ready."
            )
        if viewer.grant is not None or not any(may_manage(role) for role in roles.values()):
            return _refused(
                403, "This is for staff and admins of an organization; a key has no scope for it."
            )
        return None

    async def _overview(self) -> tuple[Overview, float] | None:
        """What the database knows, and in how many milliseconds it said so; None if it does not answer."""
        asked = monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                seen = await overview(self.app.probe, self.app.feed.settled)
        except Exception:  # whatever it is, there is no answer
            return None
        return seen, round((monotonic() - asked) * 1000, 1)

    def _database(self, seen: tuple[Overview, float] | None) -> Told:
        pool = asdict(use_of(self.app.pool))
        if seen is None:
            return {"status": "does not answer", "pool": pool}
        known, latency = seen
        return {
            "status": "ok" if known.schema == HEAD else "another schema",
            "postgresql": known.release,
            "latency_ms": latency,
            "schema": {"is": known.schema, "needed": HEAD},
            "pool": pool,
        }

    def _log(self, known: Overview | None) -> Told:
        feed, days = self.app.feed, self.app.settings.log_retention_days
        return {
            "status": "ok" if feed.healthy else "cannot be read",
            "settled": {"xid": str(feed.settled.xid), "id": str(feed.settled.id)},
            "lag_seconds": round(known.lag, 3) if known else None,
            "read_seconds_ago": round(monotonic() - feed.read_at, 1),
            "begins": known.log_begins.isoformat() if known and known.log_begins else None,
            "kept_days": days or "for ever",
        }

    def _worker(self, known: Overview | None) -> Told:
        """The loops by when they ran and failed last, in whichever process."""
        loops = known.loops if known else {}
        return {name: _loop_told(loops.get(name), late) for name, late in LOOP_LATE.items()}

    def _switched_off(self) -> dict[str, str]:
        """What is off here, and why."""
        settings, off = self.app.settings, dict[str, str]()
        if (why := why_off(settings, self.app.services.automation.portals)) is not None:
            off["jobs at portals, in this process"] = why
        if not settings.shows_graphiql:
            off["graphiql"] = "in production, unless HOLDFAST_GRAPHIQL=true"
        if settings.redis_url is None:
            off["several processes"] = "HOLDFAST_REDIS_URL is not set: the broker is this process' own"
        if not settings.works_inline:
            off["worker in this process"] = "`holdfast worker` runs beside the servers"
        if settings.trusted_documents is None:
            off["trusted documents"] = "HOLDFAST_TRUSTED_DOCUMENTS is not set: any document runs"
        if settings.metrics_token is None:
            off["metrics from elsewhere"] = "HOLDFAST_METRICS_TOKEN is not set: this machine alone reads them"
        if settings.log_retention_days == 0:
            off["retention"] = "HOLDFAST_LOG_RETENTION_DAYS=0: the log is kept for ever"
        return off


def _automation(known: Overview | None) -> Told:
    """Workers with a browser, how many jobs they can run and do, and the jobs that are not over, by status."""
    if known is None:
        return {"status": "unknown"}
    status = "ok" if known.browsers.workers else "no worker with a browser"
    return {"status": status, **asdict(known.browsers), "jobs": dict(known.jobs)}


def _loop_told(loop: LoopSeen | None, late: float) -> Told:
    told: Told = {"status": "never ran"}
    if loop is not None and loop.ran is not None:
        told = {"status": "ok" if loop.ran <= late else "late", "ran_seconds_ago": round(loop.ran, 1)}
    if loop is not None and loop.failed is not None:
        told |= {"failed_seconds_ago": round(loop.failed, 1), "error": loop.error}
    return told


def _refused(status: int, message: str) -> Response:
    headers = _NO_STORE | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    return JSONResponse({"error": message}, status, headers)
