"""What the bench makes of what it measured."""

from __future__ import annotations

import pytest

from bench.figures import Figure, Goal, Row, as_json, percentile, ratio, table


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(part: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], part) == value


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_rounds_are_compared_with_those_beside_them() -> None:
    # The machine became slower from round to round: the sums would say 1.75, each pair says 2.
    assert ratio([200.0, 100.0, 10.0], [100.0, 50.0, 5.0]) == 2.0
    assert ratio([1.0, 9.0, 1.0], [1.0, 1.0, 1.0]) == 1.0


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (Goal("at least", 0.75), 0.75, "met"),
        (Goal("at least", 0.75), 0.7499, "missed"),
        (Goal("at most", 1.25), 1.25, "met"),
        (Goal("at most", 1.25), 1.2501, "missed"),
        (None, 3.0, "written down"),
    ],
)
def test_a_goal_is_met_at_its_edge(goal: Goal | None, value: float, verdict: str) -> None:
    figure = Figure("what", value, goal)
    assert figure.verdict == verdict
    assert figure.missed is (verdict == "missed")


def test_what_could_not_be_measured_says_why_and_is_neither_met_nor_missed() -> None:
    figure = Figure("reserve, to mercurius", None, Goal("at least", 1.4), told="no Node here")
    assert figure.verdict == "no Node here"
    assert not figure.missed


def test_the_table_has_a_line_a_figure() -> None:
    row = Row(
        "reserve", [Figure("throughput", 1234.4, Goal("at least", 0.75)), Figure("p99", None, told="no")]
    )
    assert table([row]).splitlines() == [
        "| what | measured | goal | verdict |",
        "|---|---:|---|---|",
        "| throughput | 1,234 x | >= 0.75 | met |",
        "| p99 |  |  | no |",
    ]
    assert as_json([row])[0]["figures"][0]["value"] == 1234.4
