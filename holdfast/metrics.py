"""Figures for Prometheus: read when somebody asks, from plain numbers that everything counts for itself.

A request costs the addition of a few integers; only a scrape makes samples of them, and asks the database one
question. Labels are names and codes of ours, so their number is bounded, and none holds anything personal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from db.overview import Overview, overview, use_of
from db.statements import Counting
from holdfast.operations import BOUNDS, Operations
from holdfast.transport import Transport
from holdfast.wiring import VERSION, App

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PATIENCE = 2.0
"""Seconds that the database gets to answer a scrape."""


@dataclass(frozen=True)
class Metrics:
    """One process' figures."""

    app: App
    transport: Transport
    operations: Operations

    async def families(self) -> list[Metric]:
        """All figures as they are now; what only the database knows is left out while it does not answer."""
        seen = await self._seen()
        return [
            *_process(),
            *_operations(self.operations),
            *self._refusals(),
            *self._connections(),
            *self._feed(),
            *self._pool(),
            *self._loops(),
            *self._shown(),
            *self._database(seen),
        ]

    async def _seen(self) -> Overview | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await overview(self.app.probe, self.app.feed.settled)
        except Exception:  # whatever it is, there is no answer
            return None

    def _refusals(self) -> Iterator[Metric]:
        yield _counter("refusals", "Refusals told as an outcome", "code", self.app.services.refusals)
        yield _counter(
            "turned_away", "Requests and operations that were not run", "code", self.transport.refused
        )

    def _connections(self) -> Iterator[Metric]:
        figures = self.transport.figures
        yield _gauge("sockets", "Sockets open", figures.sockets)
        yield _gauge("event_streams", "Event streams open", figures.event_streams)
        yield _gauge("subscriptions", "Subscriptions that run", figures.subscriptions)
        yield _gauge("subscription_groups", "Groups of subscriptions that are told the same", figures.groups)
        yield _counter("results_sent", "Results of subscriptions sent", None, figures.results)
        yield _counter(
            "connections_dropped", "Connections whose peer took nothing for too long", None, figures.dropped
        )

    def _feed(self) -> Iterator[Metric]:
        feed = self.app.feed
        yield _counter("log_events", "Events read from the log, the same in every process", "type", feed.told)
        yield _gauge(
            "feed_age_seconds", "Time since the log was last read to its end", monotonic() - feed.read_at
        )
        yield _gauge(
            "fan_out_lag_seconds",
            "From the newest change to its being handed to watchers, by the database's clock and ours",
            feed.lag_seconds,
        )
        yield _gauge("broker_up", "Whether the broker works", float(self.app.broker.healthy))

    def _pool(self) -> Iterator[Metric]:
        use = use_of(self.app.pool)
        yield _counter(
            "statements", "Statements sent to the database, each a round trip", None, Counting.statements
        )
        yield _gauge("pool_connections", "Database connections open", use.open)
        yield _gauge("pool_used", "Database connections at work", use.used)
        yield _gauge("pool_most", "Database connections that may be open", use.most)
        yield _gauge("pool_waiting", "Callers that wait for a database connection", use.waiting)

    def _loops(self) -> Iterator[Metric]:
        loops = self.app.worker.loops
        yield _counter(
            "loop_runs", "Runs of the worker's loops here", "loop", {each.name: each.runs for each in loops}
        )
        yield _counter(
            "loop_failures",
            "Failures of the worker's loops here",
            "loop",
            {each.name: each.failures for each in loops},
        )

    def _shown(self) -> Iterator[Metric]:
        shown = self.app.services.shown
        yield _counter("codes_shown", "Login codes handed to those who watch a job", None, shown["code"])
        yield _counter(
            "pictures_shown", "Pictures of a page handed to those who watch it", None, shown["picture"]
        )

    def _database(self, seen: Overview | None) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers", float(seen is not None))
        if seen is None:
            return
        yield _gauge("log_lag_seconds", "Age of the oldest event that is not told in order yet", seen.lag)
        yield _gauge("active_reservations", "Reservations held now", seen.active_reservations)
        yield _family(
            "gauge",
            "automation_jobs",
            "Jobs that are not over",
            [((("status", status),), count) for status, count in seen.jobs.items()],
        )
        yield _gauge("automation_workers", "Workers with a browser", seen.browsers.workers)
        yield _gauge("automation_slots", "Jobs that they can run together", seen.browsers.slots)
        yield _gauge("automation_busy", "Jobs that they run", seen.browsers.busy)
        yield _family(
            "gauge",
            "loop_age_seconds",
            "Time since a loop of the worker ran last, in whichever process",
            [((("loop", name),), loop.ran) for name, loop in seen.loops.items() if loop.ran is not None],
        )


def _process() -> Iterator[Metric]:
    from prometheus_client import ProcessCollector

    yield from ProcessCollector(registry=None).collect()
    yield _gauge("info", "1, with the version", 1.0, version=VERSION)


def _operations(operations: Operations) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    ended = CounterMetricFamily(
        "holdfast_operations", "Operations by outcome", labels=("operation", "kind", "outcome")
    )
    seconds = HistogramMetricFamily(
        "holdfast_operation_seconds", "Time from a valid document to its result", labels=("operation", "kind")
    )
    for names, tally in list(operations.tallies.items()):
        for outcome, count in list(tally.outcomes.items()):
            ended.add_metric((*names, outcome), count)
        if any(tally.buckets):
            below, buckets = 0, []
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), tally.buckets, strict=True):
                below += count
                buckets.append((bound, below))
            seconds.add_metric(names, buckets, tally.seconds)
    yield ended
    yield seconds


def _gauge(name: str, meaning: str, value: float, **labels: str) -> Metric:
    return _family("gauge", name, meaning, [(tuple(labels.items()), value)])


def _counter(name: str, meaning: str, label: str | None, value: float | Mapping[str, int]) -> Metric:
    if isinstance(value, Mapping):
        assert label is not None  # noqa: S101 - several values are told apart by something
        return _family(
            "counter", name, meaning, [(((label, each),), count) for each, count in list(value.items())]
        )
    return _family("counter", name, meaning, [((), value)])


def _family(
    kind: str, name: str, meaning: str, values: list[tuple[tuple[tuple[str, str], ...], float]]
) -> Metric:
    from prometheus_client.core import Metric

    family = Metric(f"holdfast_{name}", meaning, kind)
    suffix = "_total" if kind == "counter" else ""
    for labels, value in values:
        family.add_sample(f"holdfast_{name}{suffix}", dict(labels), value)
    return family
