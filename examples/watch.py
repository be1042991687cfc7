"""Watches the seats of the next Mumbai - Pune departure, and resumes where it was when the connection breaks.

python watch.py [ws://127.0.0.1:8000/graphql]        (pip install websockets)
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8000/graphql"
FIND = """
query { schedules(first: 1, search: {origin: "Mumbai", destination: "Pune"}) { nodes { id } } }
"""
WATCH = """
subscription ($scheduleId: ID!, $after: Cursor) {
  seatChanges(target: {scheduleId: $scheduleId}, after: $after) {
    __typename
    ... on StreamMessage { cursor }
    ... on SeatSnapshot { schedules { version seatString } }
    ... on SeatDelta { version changed { label status } }
    ... on Resync { reason }
  }
}
"""


async def results(query: str, variables: dict[str, Any] | None = None) -> AsyncIterator[Any]:
    """The results of one operation over a socket of its own, by the graphql-transport-ws protocol."""
    async with connect(URL, subprotocols=["graphql-transport-ws"], compression=None) as socket:
        # A signed-in client sends {"authorization": "Bearer <access token>"} as this message's payload.
        await socket.send(json.dumps({"type": "connection_init"}))
        payload = {"query": query, "variables": variables or {}}
        async for text in socket:
            message = json.loads(text)
            match message["type"]:
                case "connection_ack":
                    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
                case "ping":
                    await socket.send(json.dumps({"type": "pong"}))
                case "next":
                    yield message["payload"]["data"]
                case "error":
                    raise RuntimeError(message["payload"][0]["message"])
                case "complete":
                    return


async def main() -> None:
    """Watch until Ctrl-C."""
    async for data in results(FIND):
        schedule_id = data["schedules"]["nodes"][0]["id"]
    cursor = None
    while True:
        try:
            async for data in results(WATCH, {"scheduleId": schedule_id, "after": cursor}):
                message = data["seatChanges"]
                cursor = message.pop("cursor")
                print(message, flush=True)
        except (ConnectionClosed, OSError) as error:
            print(f"away: {error}; again in a second", flush=True)
        await asyncio.sleep(1)


asyncio.run(main())
