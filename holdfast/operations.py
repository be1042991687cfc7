"""What becomes of each operation: counted, timed, and told in a line of the log."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from holdfast.operation_log import OperationLog
from schema.executor import Executor, OperationContext, Prepared, Result, Variables
from schema.sharing import Shared

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds."""

OK, CANCELLED = "OK", "CANCELLED"
"""Outcomes besides the codes of errors and refusals; CANCELLED is a query whose caller left."""


@dataclass(slots=True)
class Tally:
    """One operation's figures: how often each outcome, the seconds in sum, and how many in which bucket."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


class Operations:
    """The tallies of a process, by label and kind ("query", "mutation" or "subscription").

    Labels are of a bounded set (``schema.executor.Prepared``), and outcomes are our own codes: what clients send
    cannot make the figures grow.
    """

    def __init__(self, log: OperationLog | None = None) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        self._log = log

    def ended(self, label: str, kind: str, outcome: str, seconds: float, request_id: str) -> None:
        """A query or a mutation has its result."""
        tally = self.of(label, kind)
        tally.outcomes[outcome] += 1
        tally.seconds += seconds
        tally.buckets[bisect_left(BOUNDS, seconds)] += 1
        if self._log is not None:
            self._log.tell(label, kind, outcome, seconds, request_id)

    def began(self, label: str, request_id: str) -> None:
        """A subscription begins; how long it runs is up to its watcher, and no figure of ours."""
        self.of(label, "subscription").outcomes[OK] += 1
        if self._log is not None:
            self._log.tell(label, "subscription", OK, None, request_id)

    def of(self, label: str, kind: str) -> Tally:
        """The tally of one operation."""
        tally = self.tallies.get((label, kind))
        if tally is None:
            tally = self.tallies[label, kind] = Tally()
        return tally


Trace = Callable[[Prepared], Callable[[str], None]]
"""Begins a span of a trace for one operation; what it returns ends it, with the outcome."""


class WatchedExecutor(Executor):
    """An executor whose operations are counted, and traced where somebody asked for it."""

    def __init__(
        self, *arguments: Any, operations: Operations, trace: Trace | None = None, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._operations = operations
        self._trace = trace

    async def execute(self, prepared: Prepared, variables: Variables, context: OperationContext) -> Result:
        """Run a query or a mutation. Never raises."""
        end = self._trace(prepared) if self._trace is not None else None
        outcome, began = CANCELLED, perf_counter()
        try:
            result = await super().execute(prepared, variables, context)
            outcome = outcome_of(result, context)
        finally:
            seconds = perf_counter() - began
            self._operations.ended(
                prepared.label, prepared.kind.value, outcome, seconds, context.viewer.request_id
            )
            if end is not None:
                end(outcome)
        return result

    def follow(
        self, prepared: Prepared, variables: Variables, context: OperationContext
    ) -> AsyncGenerator[Result | Shared[Result], None]:
        """Run a subscription."""
        self._operations.began(prepared.label, context.viewer.request_id)
        if self._trace is not None:
            self._trace(prepared)(OK)
        return super().follow(prepared, variables, context)


def outcome_of(result: Result, context: OperationContext) -> str:
    """The code of the first error, or else of the refusal that the result tells, or else OK."""
    errors = result.get("errors")
    if errors:
        return str(errors[0]["extensions"]["code"])
    return getattr(context, "refused", None) or OK
