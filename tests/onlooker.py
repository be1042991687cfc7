"""Watchers of eight-seat schedules who put together what they are sent, to be compared with the table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from tests.world import World

LABELS = ["A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"]
BOARD = "query Board($ids: [ID!]!) { nodes(ids: $ids) { ... on Schedule { id version seatString counts { ...C } } } }"
WATCH = """
subscription Watch($target: SeatChangesTarget!, $after: Cursor) {
  seatChanges(target: $target, after: $after) {
    __typename
    ... on StreamMessage { cursor }
    ... on SeatSnapshot { schedules { id version seatString counts { ...C } } }
    ... on SeatDelta { scheduleId version counts { ...C } changed { label status } }
  }
}
"""
COUNTS = "fragment C on SeatCounts { total available held booked blocked }"
LETTER = {"AVAILABLE": "A", "HELD": "H", "BOOKED": "B", "BLOCKED": "X"}


async def board(world: World, ids: Sequence[str]) -> Any:
    """The schedules as they are now: id, version, seatString, counts."""
    return await world.data(BOARD + COUNTS, ids=ids)


class Onlooker:
    """A watcher of seat changes who puts together what is sent; its line may be cut and taken up again."""

    def __init__(self, world: World, target: dict[str, Any]) -> None:
        self.target = target
        self.cursor: str | None = None
        self.strings: dict[str, list[str]] = {}
        self.versions: dict[str, int] = {}
        self.counts: dict[str, Any] = {}
        self.world = world
        self._line: AsyncGenerator[dict[str, Any], None] | None = None

    async def look(self, until: dict[str, int]) -> None:
        """Read on until each schedule that is watched is at least at this version."""
        if self._line is None:
            prepared = self.world.executor.prepare(WATCH + COUNTS)
            variables = {"target": self.target, "after": self.cursor}
            self._line = self.world.executor.subscribe(prepared, variables, self.world.context())
        async with asyncio.timeout(10):
            while not self.strings or any(self.versions[id_] < until[id_] for id_ in self.versions):
                result = await anext(self._line)
                assert "errors" not in result, result
                self._hear(result["data"]["seatChanges"])

    async def cut(self) -> None:
        """Lose the line; the next look resumes behind the last message."""
        if self._line is not None:
            await self._line.aclose()
            self._line = None

    def _hear(self, message: dict[str, Any]) -> None:
        self.cursor = message["cursor"]
        if message["__typename"] == "SeatSnapshot":
            assert not self.strings, "a snapshot comes first, and once"
            for schedule in message["schedules"]:
                self.strings[schedule["id"]] = [*schedule["seatString"]]
                self.versions[schedule["id"]] = schedule["version"]
                self.counts[schedule["id"]] = schedule["counts"]
            return
        assert message["__typename"] == "SeatDelta", message
        id_ = message["scheduleId"]
        assert message["version"] > self.versions[id_], "told twice"
        self.versions[id_], self.counts[id_] = message["version"], message["counts"]
        for change in message["changed"]:
            self.strings[id_][LABELS.index(change["label"])] = LETTER[change["status"]]

    def must_agree_with(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Assert that what was put together is, for each schedule watched, what ``board`` shows."""
        watched = [row for row in rows if row["id"] in self.strings]
        assert {row["id"] for row in watched} == self.strings.keys()
        for row in watched:
            assert "".join(self.strings[row["id"]]) == row["seatString"]
            assert self.versions[row["id"]] == row["version"]
            assert self.counts[row["id"]] == row["counts"]
