"""Webhooks to a receiver on this machine, beside a bare aiohttp sender: how many a second, and how soon after commit.

For the rate, events are written by SQL all at once, each of a subject of its own; for the latency they are reservations
over HTTP, one after the other. It is counted from the commit, as PostgreSQL noted it, to the request's arrival.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlunsplit

import orjson

from automation.webhooks.courier import IN_FLIGHT
from bench.data import pairs, schedule_gid
from bench.documents import RESERVE
from bench.figures import Figure, Goal, Row, percentile
from bench.run import Run, say
from bench.servers import HOUSE, Server
from bench.wire import post

GET = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
PAUSE = 0.02
PATIENCE = 60.0
FIRST_SCHEDULE = 100

ENDPOINT = """
INSERT INTO webhook_endpoint (id, organization_id, url, types)
SELECT gen_random_uuid(), organization_id, $1, '{resource.*,reservation.*}' FROM schedule LIMIT 1
"""
BURST = """
INSERT INTO event (stream, stream_id, version, type, at, actor, organization_id, data)
SELECT 'resource', gen_random_uuid(), 1, 'resource.saved', now(), 'system', w.organization_id, '{"kind": "VEHICLE"}'
FROM webhook_endpoint w, generate_series(1, $1::integer)
"""
COMMITTED = """
SELECT 'evt_' || replace(stream_id::text, '-', '') || '_' || event.version AS id,
  extract(epoch FROM pg_xact_commit_timestamp(event.xid::xid))::float8 AS at
FROM event, webhook_endpoint w
WHERE event.organization_id = w.organization_id AND event.type IN ('resource.saved', 'reservation.created')
  AND event.xid >= w.since_xid
"""


def measure(run: Run) -> Row:
    """A burst, then a trickle, to one endpoint."""
    burst = max(200, int(1_000 * run.scale.seconds))
    trickle = max(20, int(100 * run.scale.seconds))
    database = run.cluster.copy("webhooks")
    receiver_program = run.stable.bare("webhook_receiver", database, GET)
    with run.stable.running(receiver_program) as (receiver,):
        url = urlunsplit(("http", "{}:{}".format(*receiver.address), "/", "", ""))
        run.cluster.run(lambda connection: connection.execute(ENDPOINT, url), database)
        ours = run.stable.holdfast(
            database,
            environment="development",  # in production no webhook reaches this machine
            log_format="json",
            webhook_allow_networks="127.0.0.0/8",
            automation=False,
        )
        with run.stable.running(ours) as (holdfast,):
            told = Told(run, database, receiver, holdfast)
            told.trickle(20)  # the session is made, and the endpoint taken
            cpu = holdfast.cpu()
            committed, came = told.burst(burst)
            rate = burst / (max(came.values()) - min(committed.values()))
            each = (holdfast.cpu() - cpu) / burst
            committed, came = told.trickle(trickle)
        bare = alone(url, burst)
    late = [came[id_] - committed[id_] for id_ in committed]
    row = Row("webhooks")
    row.figures = [
        Figure("webhooks, delivered", rate, Goal("at least", 500), unit="/s"),
        Figure(
            "webhooks, commit to arrival, p99", percentile(late, 0.99) * 1e3, Goal("at most", 250), unit="ms"
        ),
    ]
    row.behind = {
        "holdfast": {
            "per second": round(rate),
            "CPU us": round(each * 1e6),
            "p50 ms": round(percentile(late, 0.5) * 1e3, 1),
            "p99 ms": round(percentile(late, 0.99) * 1e3, 1),
        },
        "aiohttp alone": {"per second": round(bare)},
    }
    say(f"  webhooks: {row.behind}")
    return row


@dataclass(slots=True)
class Told:
    """What happened, and what of it was heard: by event, when it was committed and when it came (Unix times)."""

    run: Run
    database: str
    receiver: Server
    holdfast: Server
    number: int = 0
    known: set[str] = field(default_factory=set)

    def burst(self, count: int) -> tuple[dict[str, float], dict[str, float]]:
        """Many at once; a reservation lets the server know."""
        self.run.cluster.run(lambda connection: connection.execute(BURST, count), self.database)
        self._reserve()
        return self._heard()

    def trickle(self, count: int) -> tuple[dict[str, float], dict[str, float]]:
        """One after the other."""
        for _ in range(count):
            self._reserve()
            time.sleep(PAUSE)
        return self._heard()

    def _reserve(self) -> None:
        schedule, pair = divmod(self.number, len(pairs()))
        variables = {"schedule": schedule_gid(FIRST_SCHEDULE + schedule), "labels": pairs()[pair]}
        tokens = self.run.stable.buyers.tokens
        answer = self.holdfast.answer(post(RESERVE, variables, tokens[self.number % len(tokens)]))
        if b'"Reservation"' not in answer:
            raise RuntimeError(f"no reservation: {answer[-500:].decode()}")
        self.number += 1

    def _heard(self) -> tuple[dict[str, float], dict[str, float]]:
        """Wait for all that is new. Raises RuntimeError where something does not come."""
        rows = self.run.cluster.run(lambda connection: connection.fetch(COMMITTED), self.database)
        committed = {row["id"]: row["at"] for row in rows if row["id"] not in self.known}
        self.known |= committed.keys()
        came: dict[str, float] = {}
        ends = time.monotonic() + PATIENCE
        while not committed.keys() <= came.keys():
            if time.monotonic() > ends:
                raise RuntimeError(f"{len(committed.keys() - came.keys())} of {len(committed)} did not come")
            time.sleep(0.1)
            answer = self.receiver.answer(GET)
            came |= orjson.loads(answer[answer.index(b"\r\n\r\n") + 4 :])
        return committed, came


def alone(url: str, count: int) -> float:
    """What the library does a second by itself, with as many at once."""
    command = (sys.executable, "-m", "bench.bare.webhook_sender", url, str(count), str(IN_FLIGHT))
    return float(subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True).stdout)
