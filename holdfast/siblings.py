"""The figures of several processes that serve on one port: whoever is asked, asks the others.

Each listens on a UNIX socket in a folder that their parent made for them, which only their account can enter, and
answers whoever connects with its figures. In the sum each has the label ``process``, its number.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PATIENCE = 3.0
"""Seconds that each gets to answer; who does not is left out."""

Families = Callable[[], Awaitable[Sequence["Metric"]]]


class Siblings:
    """One of several processes."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number

    @asynccontextmanager
    async def answering(self, families: Families) -> AsyncIterator[None]:
        """Answer the others for as long as the block lasts. A successor of the same number takes the place over."""

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                writer.write(orjson.dumps([_packed(family) for family in await families()]))
                await writer.drain()
            writer.close()

        place = self._place(self._number)
        place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as bound:  # by its path uvloop would remove a successor's, too
            bound.bind(str(place))
            async with await asyncio.start_unix_server(answer, sock=bound):
                yield

    async def together(self, own: Sequence[Metric]) -> list[Metric]:
        """Our figures and those of the others, by family."""
        merged: dict[str, Metric] = {}
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.socket"))
        others = [number for number in numbers if number != self._number]
        answers = await asyncio.gather(*(self._asked(number) for number in others))
        for number, families in [(self._number, own), *zip(others, answers, strict=True)]:
            for family in families:
                _add(merged, family, str(number))
        return list(merged.values())

    async def _asked(self, number: int) -> Sequence[Metric]:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._place(number))
                try:
                    return [_unpacked(*each) for each in orjson.loads(await reader.read())]
                finally:
                    writer.close()
        except (OSError, TimeoutError, orjson.JSONDecodeError):
            return []

    def _place(self, number: int) -> Path:
        return self._folder / f"{number}.socket"


def _packed(family: Metric) -> list[object]:
    samples = [[each.name, each.labels, each.value] for each in family.samples]
    return [family.name, family.documentation, family.type, samples]


def _unpacked(name: str, meaning: str, kind: str, samples: list[tuple[str, dict[str, str], float]]) -> Metric:
    from prometheus_client.core import Metric

    family = Metric(name, meaning, kind)
    for sample in samples:
        family.add_sample(*sample)
    return family


def _add(merged: dict[str, Metric], family: Metric, process: str) -> None:
    from prometheus_client.core import Metric

    into = merged.get(family.name)
    if into is None:
        into = merged[family.name] = Metric(family.name, family.documentation, family.type)
    for sample in family.samples:
        into.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
