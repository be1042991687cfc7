"""Sixteen buyers who all want the same schedule, beside sixteen who each want another."""

from __future__ import annotations

from bench.figures import Figure, Goal, Row, ratio
from bench.rows.reserve import reserving
from bench.run import Round, Run, say

WRITERS = 16
STOCK = 64
"""Schedules a round: when one is sold out, the writers go on to the next."""


def measure(run: Run) -> Row:
    """Alternate the two on one server; all schedules are equally full on average."""
    row = Row("hot")
    hot: list[Round] = []
    spread: list[Round] = []
    with run.stable.running(run.stable.holdfast(run.cluster.copy("hot"))) as (server,):
        for number in range(run.scale.rounds + 1):
            seconds = run.scale.seconds if number else run.scale.warm_up
            for rounds, width, first in ((hot, 1, 0), (spread, WRITERS, STOCK)):
                requests = reserving(run, width, number * 2 * STOCK + first, STOCK)
                rounds.append(run.load(server, requests, b'"Reservation"', WRITERS, seconds))
    rates = [each.outcome.rate for each in hot[1:]], [each.outcome.rate for each in spread[1:]]
    row.figures.append(
        Figure(
            "one hot schedule, 16 writers, throughput, to 16 schedules", ratio(*rates), Goal("at least", 0.5)
        )
    )
    row.behind = {
        "one schedule": [each.told() for each in hot[1:]],
        "16 schedules": [each.told() for each in spread[1:]],
    }
    say(f"  hot: {rates[0][-1]:.0f}/s on one schedule, {rates[1][-1]:.0f}/s on 16")
    return row
