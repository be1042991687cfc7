"""Processes on one port tell each other's figures."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client.core import CounterMetricFamily, Metric

from holdfast.siblings import Families, Siblings


@pytest.fixture
def folder(run_dir: Path) -> Iterator[Path]:
    """A folder whose path is short enough for a socket's address."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def counting(count: int) -> Families:
    async def families() -> Sequence[Metric]:
        family = CounterMetricFamily("holdfast_statements", "Statements", labels=("kind",))
        family.add_metric(("any",), count)
        return [family]

    return families


def by_process(families: Sequence[Metric]) -> dict[str, float]:
    (family,) = families
    assert {sample.labels["kind"] for sample in family.samples} == {"any"}
    return {sample.labels["process"]: sample.value for sample in family.samples}


async def test_whoever_is_asked_asks_the_others(folder: Path) -> None:
    first, second = Siblings(folder, 1), Siblings(folder, 2)
    async with first.answering(counting(10)), second.answering(counting(20)):
        assert by_process(await first.together(await counting(11)())) == {"1": 11, "2": 20}
        assert by_process(await second.together(await counting(21)())) == {"1": 10, "2": 21}


async def test_a_successor_takes_the_place_over_and_keeps_it(folder: Path) -> None:
    asking = Siblings(folder, 1)
    async with AsyncExitStack() as successor:
        async with Siblings(folder, 2).answering(counting(1)):
            await successor.enter_async_context(Siblings(folder, 2).answering(counting(2)))
        assert by_process(await asking.together(await counting(0)())) == {"1": 0, "2": 2}
    assert by_process(await asking.together(await counting(0)())) == {"1": 0}


async def test_who_does_not_answer_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.siblings.PATIENCE", 0.1)

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "3.socket"))
        silent.listen()
        async with Siblings(folder, 2).answering(counting(2)):
            assert by_process(await Siblings(folder, 1).together(await counting(1)())) == {"1": 1, "2": 2}
