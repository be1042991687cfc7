"""The search for 50 schedules with what is nested in them, beside a bare endpoint and mercurius on Node."""

from __future__ import annotations

from typing import Any

from bench.data import DESTINATION, ORIGIN
from bench.documents import SEARCH
from bench.figures import Figure, Goal, Row, ratio
from bench.load import Same
from bench.run import Run, say
from bench.servers import Server
from bench.wire import post

CONNECTIONS = 16


def measure(run: Run) -> Row:
    """Alternate Holdfast, the bare endpoint and mercurius on one database, for nobody writes."""
    row = Row("search")
    missing = run.node_missing
    request = post(SEARCH, {"origin": ORIGIN, "destination": DESTINATION})
    database = run.cluster.copy("search")
    programs = [run.stable.holdfast(database), run.stable.bare("search", database, request)]
    if not missing:
        programs.append(run.stable.peer("mercurius", database))
        programs.append(run.stable.peer("mercurius", database, "--at-once"))
    with run.stable.running(*programs) as servers:
        answers = [shown(server, request) for server in servers]
        if any(answer != answers[0] for answer in answers):
            raise RuntimeError("the servers do not answer alike")
        served = run.alternate(servers, lambda _: Same(request), b'"hasNextPage":true', CONNECTIONS)
    ours, bare, theirs = served["holdfast"], served["search"], served.get("mercurius")
    costs = ratio([each.each for each in ours], [each.each for each in bare])
    throughput = at_once = None
    if theirs:
        rates = [each.outcome.rate for each in ours]
        throughput = ratio(rates, [each.outcome.rate for each in theirs])
        at_once = ratio(rates, [each.outcome.rate for each in served["mercurius --at-once"]])
    row.figures = [
        Figure("search of 50, CPU, to bare Starlette + orjson", costs, Goal("at most", 1.5)),
        Figure("search of 50, throughput, to mercurius", throughput, Goal("at least", 1.3), told=missing),
        Figure("search of 50, throughput, to mercurius with a join made for it", at_once, told=missing),
    ]
    row.behind = {name: [each.told() for each in rounds] for name, rounds in served.items()}
    say(f"  search: { ({name: rounds[-1].told() for name, rounds in served.items()}) }")
    return row


def shown(server: Server, request: bytes) -> Any:
    """What a server answers, but for the cursor, which is opaque."""
    data = server.data(request)
    data["schedules"]["pageInfo"].pop("endCursor")
    return data
