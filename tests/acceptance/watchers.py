"""Watchers that believe what they are told, check that it is told once and in order, and compare with the tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from domain.events import Position
from schema.ids import decode
from schema.types.events import log_cursor, read_log_cursor
from tests.acceptance import documents
from tests.acceptance.cluster import Cluster
from tests.clients import GraphQLSocket, Json
from tests.processes import Holdfast, eventually

_LETTERS = {"AVAILABLE": "A", "HELD": "H", "BOOKED": "B", "BLOCKED": "X"}


class Watcher:
    """The map of one schedule as a watcher has it who believes what it is told, and checks it."""

    def __init__(self, schedule: Json) -> None:
        self.schedule = schedule
        self._places = {seat["label"]: seat["index"] for seat in schedule["resource"]["layout"]["seats"]}
        self.cursor: str | None = None
        self.version = -1
        self.seats: list[str] = []
        self.heard_at: list[float] = []
        self.told: list[str] = []

    @property
    def target(self) -> Json:
        return {"scheduleId": self.schedule["id"]}

    @property
    def map(self) -> str:
        return "".join(self.seats)

    async def follow(self, url: str, token: str | None = None) -> None:
        """Watch from where the map stands, until the socket or the stream ends. Raises what ended it."""
        async with await GraphQLSocket.connect(url, token) as socket:
            watch = await socket.subscribe(documents.WATCH, {"target": self.target, "after": self.cursor})
            while True:
                self.take(await watch.next(3600))

    def take(self, result: Json) -> Json:
        """Put one message into the map. A version that comes twice or too late fails."""
        assert "errors" not in result, result
        message: Json = result["data"]["seatChanges"]
        self.told.append(message["__typename"])
        match message["__typename"]:
            case "SeatSnapshot":
                (schedule,) = message["schedules"]
                self.seats, self.version = list(schedule["seatString"]), schedule["version"]
            case "SeatDelta":
                assert message["version"] > self.version, "told twice, or out of order"
                self.version = message["version"]
                for change in message["changed"]:
                    self.seats[self._places[change["label"]]] = _LETTERS[change["status"]]
        self.cursor = message["cursor"]
        self.heard_at.append(asyncio.get_running_loop().time())
        return message

    async def agrees(self, cluster: Cluster) -> bool:
        """Whether the map, and its version, are what the tables say now."""
        async with cluster.database() as database:
            version = await database.fetchval(
                "SELECT version FROM schedule WHERE id = $1", decode(self.schedule["id"], "Schedule")[1]
            )
        return bool(self.version == version) and self.map == await cluster.seats(self.schedule)


class LogReader:
    """Follows an organization's whole log."""

    def __init__(self, cluster: Cluster, organization: str, token: str) -> None:
        self.cluster = cluster
        self.cursor: str | None = None
        self.heard: list[Position] = []
        self._organization = organization
        self._token = token
        self._before = 0

    async def follow(self, url: str) -> None:
        """Listen from where it stands, until the socket ends. Raises what ended it."""
        if self.cursor is None:
            await self._begin_at_the_end()
        variables = {"filter": {"organizationId": self._organization}, "after": self.cursor}
        async with await GraphQLSocket.connect(url, self._token) as socket:
            log = await socket.subscribe(documents.WATCH_EVENTS, variables)
            while True:
                result = await log.next(3600)
                assert "errors" not in result, result
                told: Json = result["data"]["events"]
                assert told["__typename"] == "EventDelivered", told
                self.cursor = told["cursor"]
                self.heard.append(read_log_cursor(told["event"]["cursor"])[1])

    async def agrees(self) -> bool:
        """Whether it has heard every event that is written, each once, in their order."""
        return self.heard == (await self._written())[self._before :]

    async def _begin_at_the_end(self) -> None:
        written = await self._written()
        async with self.cluster.database() as database:
            epoch = await database.fetchval("SELECT log_epoch FROM installation")
        self.cursor = log_cursor(epoch, written[-1])
        self._before = len(written)

    async def _written(self) -> list[Position]:
        async with self.cluster.database() as database:
            rows = await database.fetch(
                "SELECT xid::text, id FROM event WHERE organization_id = $1 ORDER BY event.xid, id",
                decode(self._organization, "Organization")[1],
            )
        return [Position(int(row["xid"]), row["id"]) for row in rows]


@asynccontextmanager
async def listening(server: Holdfast, watchers: Sequence[Watcher], *logs: LogReader) -> AsyncIterator[None]:
    """Let them all follow one server; what ends one of them ends the test."""
    follow = [*(watcher.follow for watcher in watchers), *(log.follow for log in logs)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each(server.url)) for each in follow]
        await eventually(lambda: all(watcher.seats for watcher in watchers))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
