"""How often each request asks PostgreSQL: ``bench/statements.py``, as rows of the table."""

from __future__ import annotations

from bench.client import apart
from bench.figures import Figure, Goal, Row
from bench.run import Run
from bench.statements import Cost, told

FEW, MANY = "search, first: 1", "search, first: 100"
SHOWN = ("reserve A1, A2", "book", FEW, MANY, "seat map of 500, seats", "seat map of 500, seatString")


def measure(run: Run) -> Row:
    """Count, in a process of its own: what it counts with is not for the others to share."""
    row = Row("statements")
    costs = {cost.name: cost for cost in apart(told, run.scale.repetitions)}
    few, many = (max(costs[name].statements) for name in (FEW, MANY))
    row.figures = [Figure("search, statements, first: 100 to first: 1", many / few, Goal("at most", 1))]
    row.figures += [written(costs[name]) for name in SHOWN]
    row.behind = {cost.name: cost.figures() for cost in costs.values()}
    return row


def written(cost: Cost) -> Figure:
    """What a request takes."""
    return Figure(
        f"{cost.name}: statements ({max(cost.trips)} round trips)", max(cost.statements), unit="statements"
    )
