"""The seat map of 500, as objects and as one string, beside the list of mercurius on Node."""

from __future__ import annotations

from bench.data import MAP, schedule_gid
from bench.documents import SEAT_STRING, SEATS
from bench.figures import Figure, Goal, Row, ratio
from bench.load import Same
from bench.run import Run, say
from bench.wire import post

CONNECTIONS = 16


def measure(run: Run) -> Row:
    """Alternate Holdfast and mercurius on one database, for nobody writes."""
    row = Row("seat_map")
    missing = run.node_missing
    schedule = {"schedule": schedule_gid(MAP)}
    seats, string = post(SEATS, schedule), post(SEAT_STRING, schedule)
    database = run.cluster.copy("seat_map")
    programs = [run.stable.holdfast(database)]
    if not missing:
        programs.append(run.stable.peer("mercurius", database))
    with run.stable.running(*programs) as servers:
        answers = [server.data(seats) for server in servers]
        if any(answer != answers[0] for answer in answers):
            raise RuntimeError("the servers do not answer alike")
        lists = run.alternate(servers, lambda _: Same(seats), b'"version":', CONNECTIONS)
        strings = run.alternate(servers[:1], lambda _: Same(string), b'"seatString":"', CONNECTIONS)
    ours, theirs, short = lists["holdfast"], lists.get("mercurius"), strings["holdfast"]
    whole = brief = None
    if theirs:
        whole = ratio([each.each for each in ours], [each.each for each in theirs])
        brief = ratio([each.each for each in short], [each.each for each in theirs])
    row.figures = [
        Figure("seat map of 500 as seats, CPU, to mercurius", whole, Goal("at most", 1.0), told=missing),
        Figure(
            "seat map of 500 as seatString, CPU, to mercurius' list",
            brief,
            Goal("at most", 0.2),
            told=missing,
        ),
    ]
    row.behind = {name: [each.told() for each in rounds] for name, rounds in lists.items()}
    row.behind["holdfast, seatString"] = [each.told() for each in short]
    say(f"  seat map: { ({name: rounds[-1] for name, rounds in row.behind.items()}) }")
    return row
