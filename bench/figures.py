"""Figures, their goals and what the run says of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must be: at least or at most ``bound``."""

    kind: Literal["at least", "at most"]
    bound: float

    def met_by(self, value: float) -> bool:
        return value >= self.bound if self.kind == "at least" else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.kind == 'at least' else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``value`` is None where it could not be measured, and ``told`` says why."""

    what: str
    value: float | None
    goal: Goal | None = None
    unit: str = "x"
    told: str = ""

    @property
    def measured(self) -> str:
        """The value as the table shows it."""
        if self.value is None:
            return ""
        return f"{self.value:,.0f} {self.unit}" if self.value >= 100 else f"{self.value:.3g} {self.unit}"

    @property
    def verdict(self) -> str:
        if self.value is None:
            return self.told
        if self.goal is None:
            return "written down"
        return "met" if self.goal.met_by(self.value) else "missed"

    def line(self) -> str:
        """The figure as a line of the table."""
        return f"| {self.what} | {self.measured} | {self.goal or ''} | {self.verdict} |"

    @property
    def missed(self) -> bool:
        return self.value is not None and self.goal is not None and not self.goal.met_by(self.value)


@dataclass(slots=True)
class Row:
    """One subject: its figures, and the absolute ones behind them."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    behind: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that ``part`` (0 to 1) of the values do not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of what each of our rounds was to the round of theirs beside it."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def table(rows: Sequence[Row]) -> str:
    """The table, in Markdown."""
    head = ["| what | measured | goal | verdict |", "|---|---:|---|---|"]
    return "\n".join(head + [figure.line() for row in rows for figure in row.figures])


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows with everything behind them, as JSON values."""
    return [
        {
            "name": row.name,
            "seconds": round(row.seconds, 1),
            "figures": [
                {
                    "what": figure.what,
                    "value": figure.value if figure.value is None else round(figure.value, 4),
                    "unit": figure.unit,
                    "goal": str(figure.goal) if figure.goal else None,
                    "verdict": figure.verdict,
                }
                for figure in row.figures
            ],
            "behind": row.behind,
        }
        for row in rows
    ]
