"""`reserve` of two seats over GraphQL, durable, beside PostgreSQL alone and beside mercurius on Node."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.data import pairs, schedule_gid
from bench.documents import RESERVE
from bench.figures import Figure, Goal, Row, percentile, ratio
from bench.load import Reserving
from bench.pgbench import Transactions, pgbench
from bench.run import Round, Run, say

CONNECTIONS, CLIENTS = 32, 16
WIDTH = 250
"""Schedules that are sold at the same time."""


def measure(run: Run) -> Row:
    """Alternate pgbench, Holdfast and mercurius."""
    row = Row("reserve")
    stable, missing = run.stable, run.node_missing
    programs = [stable.holdfast(run.cluster.copy("holdfast_reserve"))]
    if not missing:
        programs.append(stable.peer("mercurius", run.cluster.copy("mercurius_reserve")))
    run.cluster.copy("pgbench_reserve")
    alone: list[Transactions] = []
    served: dict[str, list[Round]] = {program.name: [] for program in programs}
    with stable.running(*programs) as servers:
        for number in range(run.scale.rounds + 1):
            seconds = run.scale.seconds if number else run.scale.warm_up
            alone.append(pgbench(run.cluster, "pgbench_reserve", CLIENTS, seconds, number))
            for server in servers:
                requests = reserving(run, WIDTH, number * WIDTH)
                served[server.name].append(run.load(server, requests, b'"Reservation"', CONNECTIONS, seconds))
            rates = {name: round(rounds[-1].outcome.rate) for name, rounds in served.items()}
            say(f"  reserve, round {number}: pgbench {alone[-1].rate:.0f}/s, {rates}")
    return judged(row, alone[1:], {name: rounds[1:] for name, rounds in served.items()}, missing)


def judged(row: Row, alone: Sequence[Transactions], served: dict[str, list[Round]], missing: str) -> Row:
    """Put the ratios into the row."""
    ours, theirs = served["holdfast"], served.get("mercurius", [])
    rates, bare = [each.outcome.rate for each in ours], [each.rate for each in alone]
    row.figures.append(
        Figure("reserve, throughput, to pgbench with 16 clients", ratio(rates, bare), Goal("at least", 0.75))
    )
    throughput = tail = None
    if theirs:
        throughput = ratio(rates, [each.outcome.rate for each in theirs])
        tail = ratio(_tails(ours), _tails(theirs))
    row.figures += [
        Figure("reserve, throughput, to mercurius", throughput, Goal("at least", 1.4), told=missing),
        Figure("reserve, p99, to mercurius", tail, Goal("at most", 1.25), told=missing),
    ]
    row.behind = {
        "pgbench": {
            "per second": round(statistics.median(bare), 1),
            "PostgreSQL CPU us": round(statistics.median(each.postgres for each in alone) * 1e6, 1),
            "mean ms": statistics.median(each.latency_ms for each in alone),
        }
    } | {name: [each.told() for each in rounds] for name, rounds in served.items()}
    return row


def reserving(run: Run, width: int, first: int, stock: int = WIDTH) -> Reserving:
    """Two seats each, on the ``stock`` schedules from ``first`` on, ``width`` at a time."""
    schedules = [schedule_gid(number) for number in range(first, first + stock)]
    return Reserving(RESERVE, schedules, pairs(), run.stable.buyers.tokens, width)


def _tails(rounds: Sequence[Round]) -> list[float]:
    return [percentile(each.outcome.latencies, 0.99) for each in rounds]
