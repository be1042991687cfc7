"""The HTTP contract of the older systems, unchanged for their front ends: a thin layer over the use cases.

docs/older-contract.md says what is mapped to what.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.routing import BaseRoute, Route, WebSocketRoute

from holdfast.older.http import OlderHttp
from holdfast.older.jobs import OlderJobs
from holdfast.older.socket import OlderSocket
from holdfast.transport import Transport
from holdfast.wiring import App

__all__ = ["routes"]


def routes(app: App, transport: Transport, allowed_origins: Collection[str]) -> list[BaseRoute]:
    """All of the contract; browsers' sockets are let in from ``allowed_origins`` as those of ``/graphql`` are."""
    jobs = OlderJobs(app.services)
    http = OlderHttp(jobs, transport.exchange.ports)
    return [
        Route("/health", http.health),
        Route("/api/v1/booking/start", http.start, methods=["POST"]),
        Route("/api/v1/booking/stop", http.stop, methods=["POST"]),
        Route("/api/v1/booking/status", http.listed),
        Route("/api/v1/booking/status/{job_id}", http.status),
        Route("/api/v1/booking/{job_id}/qr", http.code),
        WebSocketRoute("/ws/{job_id}", OlderSocket(jobs, transport.exchange, allowed_origins)),
    ]
