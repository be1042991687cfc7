"""What one request costs: statements, round trips, CPU: ``python -m bench.statements [REPETITIONS]``.

Runs each request of the main job alone, one after the other, on an embedded PostgreSQL (durable) in a temporary
folder, and prints a row for each. Counts what asyncpg sends for the request, by its query logger:

- *statements* are those of ours; BEGIN and COMMIT are not among them;
- *round trips* are all together: how often the request waits for PostgreSQL, once its statements are prepared;
- *CPU* is this process', from the document's text to the JSON, without HTTP and without PostgreSQL's own;
- *time* is what passes meanwhile; commits wait for the disk.

CPU and time are medians over the repetitions. What the feed reads after a change is not the request's.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from db.caller import ALL_SEEING
from db.migrate import upgrade
from domain.catalogue import BookingMode, ResourceKind
from domain.curation import LayoutPlan, SaveOffering, SaveResource
from domain.money import Money
from domain.timetable import OpenSchedules
from domain.viewer import Viewer
from holdfast.demo import CUSTOMER, STAFF, fill
from holdfast.logs import configure_logging
from holdfast.postgres import SERVER_ROLE, EmbeddedPostgres
from holdfast.settings import Settings
from holdfast.wiring import App, wire
from schema.context import Context
from schema.executor import Executor
from schema.ids import encode
from schema.root import schema

PEOPLE = "SELECT email, id FROM account"
REPETITIONS = 60
WARM_UP = 8
CONNECTIONS = 4
FRAMING = re.compile(r"BEGIN|COMMIT|ROLLBACK|SELECT pg_advisory_unlock_all")
ONCE = re.compile(r"WITH RECURSIVE typeinfo_tree|SELECT current_setting\('jit'\)")
"""What asyncpg asks when it meets a type for the first time on a connection."""

SCHEDULE = """{ id status price { amount currency } during { localStart localEnd timeZone }
  offering { id name origin destination } resource { id name kind } counts { total available held booked } }"""
SEARCH = f"""query ($first: Int!) {{ schedules(first: $first, search: {{mode: SLOT}})
  {{ nodes {SCHEDULE} pageInfo {{ hasNextPage endCursor }} }} }}"""
MAP = """query ($id: ID!) { schedule(id: $id) { id version counts { available }
  seats { seat { label row column category } status price { amount currency } mine } } }"""
STRING = "query ($id: ID!) { schedule(id: $id) { id version counts { available } seatString } }"
RESERVATION = """... on Reservation { id status expiresAt serverNow total { amount currency }
  seats { seat { label } status mine } }"""
REFUSAL = "... on Refusal { code message }"
RESERVE = f"mutation ($target: ReserveTarget!) {{ reserve(input: {{target: $target}}) {{ {RESERVATION} {REFUSAL} }} }}"
KEYED = f"""mutation ($target: ReserveTarget!, $key: String!)
  {{ reserve(input: {{target: $target, idempotencyKey: $key}}) {{ {RESERVATION} {REFUSAL} }} }}"""
EXTEND = f"mutation ($id: ID!) {{ extendReservation(input: {{id: $id}}) {{ {RESERVATION} {REFUSAL} }} }}"
RELEASE = f"mutation ($id: ID!) {{ releaseReservation(input: {{id: $id}}) {{ {RESERVATION} {REFUSAL} }} }}"
BOOKING = "... on Booking { id reference status total { amount currency } seats { seat { label } status } }"
BOOK = f"mutation ($id: ID!) {{ book(input: {{reservationId: $id}}) {{ {BOOKING} {REFUSAL} }} }}"
CANCEL = f"mutation ($id: ID!) {{ cancelBooking(input: {{id: $id}}) {{ {BOOKING} {REFUSAL} }} }}"
LOGIN = f"""mutation ($email: String!, $password: String!) {{ login(input: {{email: $email, password: $password}})
  {{ ... on Session {{ accessToken user {{ name }} }} {REFUSAL} }} }}"""

_counting: ContextVar[list[str] | None] = ContextVar("counting", default=None)


@dataclass
class Cost:
    """What one kind of request took, a figure a repetition; times in seconds."""

    name: str
    statements: list[int] = field(default_factory=list)
    trips: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)

    def forget(self) -> None:
        for figures in (self.statements, self.trips, self.cpu, self.time):
            figures.clear()

    def figures(self) -> dict[str, float]:
        """What stands in its row."""
        return {
            "statements": max(self.statements),
            "round trips": max(self.trips),
            "CPU us": round(statistics.median(self.cpu) * 1e6, 1),
            "time ms": round(statistics.median(self.time) * 1e3, 2),
        }

    def row(self) -> str:
        cpu, took = statistics.median(self.cpu) * 1e6, statistics.median(self.time) * 1e3
        counts = f"{_one(self.statements):>10} | {_one(self.trips):>11}"
        return f"| {self.name:34} | {counts} | {cpu:9,.0f} | {took:8.1f} |"


@dataclass
class Bench:
    """One process' parts, and a caller."""

    app: App
    customer: Viewer
    schedules: list[str]
    hall: str
    password: str
    executor: Executor = field(default_factory=lambda: Executor(schema))

    async def ask(self, document: str, viewer: Viewer | None = None, /, **variables: Any) -> Any:
        """The value of the one root field, as the client reads it. Raises RuntimeError for errors and refusals."""
        context = Context(viewer or self.customer, self.app.services)
        result = await self.executor.execute(self.executor.prepare(document), variables, context)
        value = orjson.loads(orjson.dumps(result))
        told = next(iter((value["data"] or {}).values()), None) or {}
        if "errors" in value or "code" in told:
            raise RuntimeError(value)
        return told

    async def cost(self, cost: Cost, document: str, /, **variables: Any) -> Any:
        """Ask, and note what it took."""
        sent: list[str] = []
        token = _counting.set(sent)
        context = Context(self.customer, self.app.services)
        began, cpu = time.perf_counter(), time.process_time()
        result = await self.executor.execute(self.executor.prepare(document), variables, context)
        body = orjson.dumps(result)
        cost.cpu.append(time.process_time() - cpu)
        cost.time.append(time.perf_counter() - began)
        _counting.reset(token)
        await asyncio.sleep(0.005)  # the feed's turn, and the logger's, which is told a turn later
        cost.trips.append(len(sent))
        cost.statements.append(sum(1 for text in sent if not FRAMING.match(text)))
        value = next(iter(orjson.loads(body)["data"].values()))
        if "code" in value:
            raise RuntimeError(value)
        return value


async def main() -> None:
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
    print("| request                            | statements | round trips | CPU in us |  time ms |")
    print("|------------------------------------|-----------:|------------:|----------:|---------:|")
    for cost in await measured(repetitions):
        print(cost.row())


async def measured(repetitions: int) -> list[Cost]:
    """Every request."""
    async with bench() as made:
        return [cost for measure in (trade, reading, signing_in) for cost in await measure(made, repetitions)]


def told(repetitions: int) -> list[Cost]:
    """The same, for a process of its own."""
    return asyncio.run(measured(repetitions))


async def trade(made: Bench, repetitions: int) -> list[Cost]:
    """Reserve, extend, release, book, cancel, two seats each, on one schedule after the other."""
    names = (
        "reserve A1, A2",
        "reserve the best two",
        "reserve with an idempotency key",
        "the same key again",
    )
    named, best, keyed, again = (Cost(name) for name in names)
    extend, release, book, cancel = (
        Cost(name) for name in ("extendReservation", "releaseReservation", "book", "cancelBooking")
    )
    for number in range(repetitions + WARM_UP):
        if number == WARM_UP:
            for cost in (named, best, keyed, again, extend, release, book, cancel):
                cost.forget()  # everything is prepared by now
        schedule = made.schedules[number % len(made.schedules)]
        seats = {"seats": {"scheduleId": schedule, "labels": ["A1", "A2"]}}
        key = f"bench-{number}"
        held = await made.cost(named, RESERVE, target=seats)
        await made.cost(extend, EXTEND, id=held["id"])
        await made.cost(release, RELEASE, id=held["id"])
        held = await made.cost(best, RESERVE, target={"bestAvailable": {"scheduleId": schedule, "count": 2}})
        sold = await made.cost(book, BOOK, id=held["id"])
        await made.cost(cancel, CANCEL, id=sold["id"])
        held = await made.cost(keyed, KEYED, target=seats, key=key)
        await made.cost(again, KEYED, target=seats, key=key)
        await made.ask(RELEASE, id=held["id"])
    return [named, best, keyed, again, extend, release, book, cancel]


async def reading(made: Bench, repetitions: int) -> list[Cost]:
    """Search for one schedule and for a hundred; the map of a coach and of a hall."""
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("search, first: 1", SEARCH, {"first": 1}),
        ("search, first: 50", SEARCH, {"first": 50}),
        ("search, first: 100", SEARCH, {"first": 100}),
        ("seat map of 40, seats", MAP, {"id": made.schedules[0]}),
        ("seat map of 500, seats", MAP, {"id": made.hall}),
        ("seat map of 500, seatString", STRING, {"id": made.hall}),
    ]
    return [
        await _repeated(made, Cost(name), repetitions, document, variables)
        for name, document, variables in asked
    ]


async def signing_in(made: Bench, repetitions: int) -> list[Cost]:
    """Sign in, which hashes the password with argon2id."""
    repetitions = min(repetitions, 20)
    credentials = {"email": CUSTOMER, "password": made.password}
    return [await _repeated(made, Cost("login"), repetitions, LOGIN, credentials)]


async def _repeated(
    made: Bench, cost: Cost, repetitions: int, document: str, variables: dict[str, Any]
) -> Cost:
    for number in range(repetitions + WARM_UP):
        if number == WARM_UP:
            cost.forget()
        await made.cost(cost, document, **variables)
    return cost


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """The demo data, and a hall of 500 seats, in a database of their own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data_dir = Path(folder)
        os.chmod(data_dir, 0o711)  # PostgreSQL's account passes through, when we are root
        postgres = EmbeddedPostgres(data_dir)
        owner = await asyncio.to_thread(postgres.start)
        try:
            await upgrade(owner)
            dsn = postgres.dsn(role=SERVER_ROLE)
            settings = Settings(
                data_dir=Path(folder),
                database_url=dsn,
                database_pool_min=CONNECTIONS,
                database_pool_max=CONNECTIONS,
                max_active_reservations=1_000,
                log_level="warning",
            )
            configure_logging(settings)
            async with wire(settings, dsn) as app:
                made = await _filled(app, owner)
                await _listen(app)
                yield made
        finally:
            await asyncio.to_thread(postgres.stop)


async def _filled(app: App, owner: str) -> Bench:
    said: list[str] = []
    await fill(app, said.append)
    passwords = dict(line.split() for line in said if "@demo.example" in line)
    connection = await asyncpg.connect(owner, server_settings=ALL_SEEING)
    people: dict[str, UUID] = {row["email"]: row["id"] for row in await connection.fetch(PEOPLE)}
    await connection.close()
    ends = datetime.now(UTC) + timedelta(hours=1)

    def viewer(email: str) -> Viewer:
        return Viewer("192.0.2.1", "bench", people[email], people[email], ends)

    rows = await app.pool.fetch("SELECT id FROM schedule WHERE mode = 'SEATED' ORDER BY starts_at, id")
    hall = await _hall(app, viewer(STAFF))
    schedules = [encode("Schedule", row["id"]) for row in rows]
    return Bench(app, viewer(CUSTOMER), schedules, hall, passwords[CUSTOMER])


async def _hall(app: App, staff: Viewer) -> str:
    """A schedule of 500 seats."""
    curation = app.services.curation
    house = await app.pool.fetchval("SELECT id FROM organization ORDER BY slug LIMIT 1")
    zone = "Asia/Kolkata"
    plan = LayoutPlan(rows=25, columns=20, aisle_after_column=10)
    room = await curation.save_resource(
        staff, SaveResource(None, house, ResourceKind.ROOM, "Hall", zone, plan)
    )
    price = Money(Decimal("500.00"), "INR")
    evening = await curation.save_offering(
        staff, SaveOffering(None, house, "Concert", BookingMode.SEATED, price, max_seats=100)
    )
    start = (datetime.now(ZoneInfo(zone)) + timedelta(days=2)).replace(
        tzinfo=None, minute=0, second=0, microsecond=0
    )
    opened = await app.services.timetable.open_schedules(
        staff, OpenSchedules(evening.id, room.id, [start], timedelta(hours=2))
    )
    return encode("Schedule", opened.id)


async def _listen(app: App) -> None:
    """Count what each connection sends on behalf of the request that is being measured."""

    def count(query: Any) -> None:
        sent = _counting.get()
        text = " ".join(query.query.split())
        if sent is not None and not ONCE.match(text):
            sent.append(text)

    async with AsyncExitStack() as held:
        for _ in range(CONNECTIONS):
            connection = await held.enter_async_context(app.pool.acquire())
            connection.add_query_logger(count)


def _one(counts: list[int]) -> str:
    """The count, which is the same for each; or how far they go apart."""
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least}-{most}"


if __name__ == "__main__":
    asyncio.run(main())
