"""A server that speaks just enough of the contract for the GraphiQL page, and remembers who asked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import segno
import uvicorn
from graphql import ExecutionResult, GraphQLSchema, build_schema, graphql, parse, subscribe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from holdfast.graphiql import GraphiQL

CONTRACT = Path(__file__).parents[2] / "schema" / "schema.graphql"
SCHEDULE = {
    "__typename": "Schedule",
    "id": "schedule-1",
    "version": 1,
    "status": "ON_SALE",
    "seatString": "AA",
}
COUNTS = {"total": 4, "available": 4, "held": 0, "booked": 0, "blocked": 0}
HEAD = {"cursor": "c", "at": "2027-01-01T00:00:00Z"}
BOUGHT = {
    "reference": "ABC",
    "expiresAt": "2027-01-01T00:15:00Z",
    "serverNow": "2027-01-01T00:00:00Z",
    "total": {"amount": "1000.00", "currency": "INR"},
    "seats": [{"seat": {"label": "A1"}, "status": "HELD", "mine": True}],
}


@dataclass
class StandIn:
    """What the page sees as the API; `asked` lists (field, Authorization) in their order, `given` the ids."""

    page: GraphiQL
    token_life: timedelta = timedelta(minutes=30)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    sessions: int = 0
    watchers: list[asyncio.Queue[dict[str, Any]]] = field(default_factory=list)
    scanned: asyncio.Event = field(default_factory=asyncio.Event)
    """The login codes end when this is set."""
    url: str = ""

    def schema(self) -> GraphQLSchema:
        schema = build_schema(CONTRACT.read_text())
        assert schema.query_type
        assert schema.mutation_type
        assert schema.subscription_type
        schema.query_type.fields["schedules"].resolve = self._schedules
        mutations = schema.mutation_type.fields
        mutations["login"].resolve = mutations["refreshSession"].resolve = self._session
        mutations["logout"].resolve = self._logout
        mutations["reserve"].resolve = self._reserve
        mutations["book"].resolve = self._book
        mutations["cancelBooking"].resolve = self._cancel
        mutations["startAutomationJob"].resolve = self._start
        for name, source in (("seatChanges", self._watch), ("qrCodes", self._codes)):
            watch = schema.subscription_type.fields[name]
            watch.subscribe = source
            watch.resolve = lambda message, _info, **_: message
        return schema

    def _note(self, info: Any) -> None:
        self.asked.append((info.field_name, info.context))

    def _session(self, _root: Any, info: Any, **_: Any) -> dict[str, Any]:
        self._note(info)
        self.sessions += 1
        return {
            "__typename": "Session",
            "accessToken": f"access-{self.sessions}",
            "refreshToken": f"refresh-{self.sessions}",
            "accessTokenExpiresAt": (datetime.now(UTC) + self.token_life).isoformat(),
            "user": {"email": "customer@demo.example", "name": "Demo Customer"},
        }

    def _logout(self, _root: Any, info: Any, **_: Any) -> dict[str, Any]:
        self._note(info)
        return {"__typename": "LoggedOut", "sessionsEnded": 1}

    def _schedules(self, _root: Any, info: Any, **_: Any) -> dict[str, Any]:
        self._note(info)
        node = SCHEDULE | {
            "offering": {"name": "Night bus"},
            "counts": COUNTS,
            "price": {"amount": "500.00", "currency": "INR"},
            "during": {"localStart": "2027-01-01T08:00", "timeZone": "Asia/Kolkata"},
        }
        return {"nodes": [node, node | {"id": "schedule-2"}]}

    def _reserve(self, _root: Any, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        self._note(info)
        self.given.append(input["target"]["bestAvailable"]["scheduleId"])
        self._tell("HELD")
        return BOUGHT | {"__typename": "Reservation", "id": "reservation-1", "status": "ACTIVE"}

    def _book(self, _root: Any, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        self._note(info)
        self.given.append(input["reservationId"])
        self._tell("BOOKED")
        return BOUGHT | {"__typename": "Booking", "id": "booking-1", "status": "CONFIRMED"}

    def _cancel(self, _root: Any, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        self._note(info)
        self.given.append(input["id"])
        self._tell("AVAILABLE")
        return BOUGHT | {"__typename": "Booking", "id": "booking-1", "status": "CANCELLED"}

    def _start(self, _root: Any, info: Any, **_: Any) -> dict[str, Any]:
        self._note(info)
        return {"__typename": "AutomationJob", "id": "job-1", "status": "QUEUED", "message": "Waiting."}

    async def _codes(self, _root: Any, info: Any, jobId: str) -> AsyncIterator[dict[str, Any]]:  # noqa: N803
        self._note(info)
        self.given.append(jobId)
        for frame in (1, 2):
            yield {
                "frame": frame,
                "shownAt": HEAD["at"],
                "expiresAt": HEAD["at"],
                "imageDataUrl": code_picture(f"code {frame}"),
            }
            await self.scanned.wait()

    def _tell(self, status: str) -> None:
        changed = [{"label": "A1", "status": status}]
        for watcher in self.watchers:
            watcher.put_nowait(
                {"__typename": "SeatDelta", "version": 2, "counts": COUNTS, "changed": changed} | HEAD
            )

    async def _watch(
        self, _root: Any, info: Any, target: dict[str, Any], **_: Any
    ) -> AsyncIterator[dict[str, Any]]:
        self._note(info)
        self.given.append(target["scheduleId"])
        changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.watchers.append(changes)
        yield {"__typename": "SeatSnapshot", "schedules": [SCHEDULE | {"counts": COUNTS}]} | HEAD
        while True:
            yield await changes.get()

    def app(self) -> Starlette:
        schema = self.schema()

        async def http(request: Request) -> Response:
            if "text/html" in request.headers.get("accept", ""):
                return await self.page.page(request)
            body = await request.json()
            result = await graphql(
                schema,
                body["query"],
                variable_values=body.get("variables"),
                operation_name=body.get("operationName"),
                context_value=request.headers.get("authorization"),
            )
            return JSONResponse(result.formatted)

        async def stream(ws: WebSocket) -> None:
            await ws.accept("graphql-transport-ws")
            init = await ws.receive_json()
            await ws.send_json({"type": "connection_ack"})
            message = await ws.receive_json()
            messages = subscribe(
                schema,
                parse(message["payload"]["query"]),
                variable_values=message["payload"].get("variables"),
                context_value=init.get("payload", {}).get("authorization"),
            )
            assert isinstance(messages, AsyncIterator)
            sending = asyncio.create_task(_send(ws, message["id"], messages))
            await ws.receive()
            sending.cancel()

        return Starlette(
            routes=[
                Route("/graphql", http, methods=["GET", "POST"]),
                WebSocketRoute("/graphql", stream),
                *self.page.routes(),
            ]
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[StandIn]:
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(self.app(), log_level="error", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield self
        finally:
            server.should_exit = True
            await serving


def code_picture(text: str) -> str:
    """A QR code as a data: URL."""
    return str(segno.make(text).png_data_uri(scale=4))


async def _send(ws: WebSocket, id: str, stream: AsyncIterator[ExecutionResult]) -> None:
    async for result in stream:
        await ws.send_text(json.dumps({"type": "next", "id": id, "payload": result.formatted}))
    await ws.send_text(json.dumps({"type": "complete", "id": id}))
