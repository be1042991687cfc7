"""Customers of jobs: they start them, watch them and their codes over a socket, and hold a phone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from bench.office import Office

START = """mutation Start($config: JSON!) {
  startAutomationJob(input: {portalKey: "demo", config: $config}) {
    __typename ... on AutomationJob { id } ... on Refusal { code message }
  }
}"""
STOP = """mutation Stop($id: ID!) {
  stopAutomationJob(input: {id: $id}) { __typename ... on AutomationJob { status } ... on Refusal { code message } }
}"""
JOB = "subscription Job($id: ID!) { automationJob(id: $id) { ... on AutomationJobChanged { job { status message } } } }"
CODES = "subscription Codes($id: ID!) { qrCodes(jobId: $id) { frame text shownAt deliveredAt imageDataUrl } }"
ANYWHERE = {"places": ["Uppsala", "Gävle", "Stockholm City", "Örebro"]}
OVER = frozenset({"COMPLETED", "FAILED", "STOPPED", "TIMED_OUT"})


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it came: when the page showed it and when it was here, by this machine's wall clock."""

    frame: int
    text: str
    shown: float
    here: float


@dataclass(slots=True)
class Watched:
    """One job as its customer saw it; instants by this machine's wall clock."""

    customer: Customer
    id: str
    started: float
    codes: list[Code] = field(default_factory=list)
    statuses: dict[str, float] = field(default_factory=dict)
    message: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str:
        return next(reversed(self.statuses), "")

    @property
    def over(self) -> bool:
        return self.status in OVER

    async def until(self, met: Any, seconds: float = 60) -> None:
        """Wait until something holds of it. Raises TimeoutError with its last words."""
        try:
            async with asyncio.timeout(seconds):
                while not met(self):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.status}: {self.message}") from None

    async def stop(self) -> None:
        await self.customer.ask(STOP, id=self.id)

    async def sign_in(self, tries: int = 5) -> int:
        """Scan and confirm; how many scans it took."""
        for number in range(1, tries + 1):
            seen = len(self.codes)
            if await self.customer.phone("scan", text=self.codes[-1].text):
                assert await self.customer.phone("confirm")
                return number
            await self.until(lambda job, seen=seen: len(job.codes) > seen or job.over)
        raise RuntimeError("the phone took no code")

    def note(self, kind: str, data: dict[str, Any]) -> None:
        """Take in a message of either stream."""
        here = time.time()
        if kind == "codes":
            told = data["qrCodes"]
            shown = datetime.fromisoformat(told["shownAt"]).timestamp()
            self.codes.append(Code(told["frame"], told["text"], shown, here))
        elif job := data["automationJob"].get("job"):
            self.statuses.pop(job["status"], None)
            self.statuses[job["status"]] = here
            self.message = job["message"]
        self.changed.set()


@dataclass(slots=True)
class Customer:
    """An account, and a person with a phone; ``number`` tells them apart."""

    office: Office
    http: aiohttp.ClientSession
    number: int

    @property
    def name(self) -> str:
        return f"Buyer {self.number}"

    @property
    def _token(self) -> str:
        return f"Bearer {self.office.tokens[self.number]}"

    @property
    def _url(self) -> str:
        host, port = self.office.server.address
        return f"http://{host}:{port}/graphql"

    async def ask(self, query: str, **variables: Any) -> Any:
        """One operation's only field. Raises RuntimeError for anything but what was asked for."""
        headers = {"authorization": self._token}
        asked = {"query": query, "variables": variables}
        async with self.http.post(self._url, json=asked, headers=headers) as answer:
            told = await answer.json()
        if "errors" in told or (found := next(iter(told["data"].values()))).get("code"):
            raise RuntimeError(str(told))
        return found

    async def phone(self, what: str, **more: str) -> bool:
        """Use the phone; whether it did what was asked."""
        asked = {"person": self.name, **more}
        async with self.http.post(f"{self.office.portal.url}/phone/api/{what}", json=asked) as answer:
            return answer.status == 200

    @asynccontextmanager
    async def job(self, **config: Any) -> AsyncIterator[Watched]:
        """Start one and watch it."""
        begun = time.time()
        made = await self.ask(START, config=config)
        watched = Watched(self, made["id"], begun)
        async with self.http.ws_connect(self._url, protocols=["graphql-transport-ws"]) as socket:
            await socket.send_json({"type": "connection_init", "payload": {"authorization": self._token}})
            await socket.receive_json()
            await _follow(socket, watched, "job", JOB)
            await _follow(socket, watched, "codes", CODES)
            reading = asyncio.create_task(_read(socket, watched))
            try:
                yield watched
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


async def _follow(socket: aiohttp.ClientWebSocketResponse, watched: Watched, name: str, query: str) -> None:
    payload = {"query": query, "variables": {"id": watched.id}}
    await socket.send_json({"id": name, "type": "subscribe", "payload": payload})


async def _read(socket: aiohttp.ClientWebSocketResponse, watched: Watched) -> None:
    following = True
    async for message in socket:
        told = message.json()
        if told["type"] == "next" and told["payload"].get("data"):
            watched.note(told["id"], told["payload"]["data"])
            if not following and watched.status == "QR_WAITING":  # to be signed in once more
                following = True
                await _follow(socket, watched, "codes", CODES)
        elif told["type"] == "complete" and told["id"] == "codes":
            following = False
        elif told["type"] == "ping":
            await socket.send_json({"type": "pong"})
        elif told["type"] in ("next", "error"):
            watched.message = str(told["payload"])


@asynccontextmanager
async def customers(office: Office, count: int, first: int = 0) -> AsyncIterator[list[Customer]]:
    """So many, over one client."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False) as http:
        yield [Customer(office, http, first + number) for number in range(count)]
