"""Watchers that believe what they are told, check that it is told once and in order, and compare with the tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from domain.events import Position
from schema.ids import decode
from schema.types.events import log_cursor, read_log_cursor
from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, Connection, seats_of
from tests.clients import GraphQLSocket, Json, Subscription
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

    def state(self, label: str) -> str:
        """The character of one seat."""
        return self.map[self._places[label]]

    async def follow(self, url: str, token: str | None = None) -> None:
        """Watch from where the map stands, until the socket ends. Raises what ended it."""
        async with await GraphQLSocket.connect(url, token) as socket:
            while True:
                watch = await socket.subscribe(documents.WATCH, {"target": self.target, "after": self.cursor})
                async for result in results(watch):
                    self.take(result)

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

    async def agrees(self, database: Connection) -> bool:
        """Whether the map, and its version, are what the tables say now."""
        its = decode(self.schedule["id"], "Schedule")[1]
        version = await database.fetchval("SELECT version FROM schedule WHERE id = $1", its)
        return bool(self.version == version) and self.map == await seats_of(database, self.schedule)


async def results(watch: Subscription) -> AsyncIterator[Json]:
    """What is told, for as long as the socket lasts."""
    while True:
        result = await watch.next(3600)
        assert "errors" not in result, result
        yield result


class LogReader:
    """Follows an organization's whole log."""

    def __init__(self, cluster: Cluster, organization: str, token: str) -> None:
        self._cluster = cluster
        self.cursor: str | None = None
        self.heard: list[Position] = []
        self._organization = organization
        self._token = token
        self._before = 0

    async def follow(self, url: str) -> None:
        """Listen from where it stands, until the socket ends. Raises what ended it."""
        if self.cursor is None:
            await self._begin_at_the_end()
        wanted = {"organizationId": self._organization}
        async with await GraphQLSocket.connect(url, self._token) as socket:
            while True:
                log = await socket.subscribe(documents.WATCH_EVENTS, {"filter": wanted, "after": self.cursor})
                async for result in results(log):
                    told: Json = result["data"]["events"]
                    assert told["__typename"] == "EventDelivered", told
                    self.cursor = told["cursor"]
                    self.heard.append(read_log_cursor(told["event"]["cursor"])[1])

    async def agrees(self, database: Connection) -> bool:
        """Whether it has heard every event that is written, each once, in their order."""
        return self.heard == (await self._written(database))[self._before :]

    async def _begin_at_the_end(self) -> None:
        async with self._cluster.database() as database:
            written = await self._written(database)
            epoch = await database.fetchval("SELECT log_epoch FROM installation")
        self.cursor = log_cursor(epoch, written[-1])
        self._before = len(written)

    async def _written(self, database: Connection) -> list[Position]:
        rows = await database.fetch(
            "SELECT xid::text, id FROM event WHERE organization_id = $1 ORDER BY event.xid, id",
            decode(self._organization, "Organization")[1],
        )
        return [Position(int(row["xid"]), row["id"]) for row in rows]


async def all_agree(
    cluster: Cluster, watchers: Sequence[Watcher], *logs: LogReader, seconds: float = 10
) -> None:
    """Wait until everybody has heard everything that is in the tables."""
    async with cluster.database() as database:

        async def agreed() -> bool:
            agree = [*(watcher.agrees for watcher in watchers), *(log.agrees for log in logs)]
            return all([await each(database) for each in agree])

        await eventually(agreed, seconds)


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
