"""Figures for Prometheus: what they say, who may read them, and what they never hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed
from pydantic import SecretStr

from db.overview import PoolUse, use_of
from holdfast.operations import Operations
from holdfast.web import Web, make_web
from tests.holdfast.visiting import database_away, run, visiting
from tests.processes import eventually
from tests.world import World, new_world

TOKEN = "a token of tests for who reads figures"
RESERVE = """
mutation Anna_anna_example_org($id: ID!, $labels: [String!]!) {
  reserve(input: {target: {seats: {scheduleId: $id, labels: $labels}}}) { __typename }
}
"""
LOGIN = """
mutation {
  a: login(input: {email: "nobody@test.example", password: "wrong"}) { __typename }
  b: login(input: {email: "nobody@test.example", password: "wrong again"}) { __typename }
}
"""


@pytest.fixture
def web(world: World) -> Web:
    return make_web(world.app)


@pytest.fixture
async def client(web: Web) -> AsyncIterator[httpx2.AsyncClient]:
    async with visiting(web) as client:
        yield client


class Figures:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in parsed(text) for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        """The one sample of that name with those labels. Raises ValueError if it is not one."""
        (found,) = (
            each.value
            for each in self.samples
            if each.name == f"holdfast_{name}" and labels.items() <= each.labels.items()
        )
        return float(found)

    def labels(self, name: str, label: str) -> set[str]:
        return {each.labels[label] for each in self.samples if each.name == f"holdfast_{name}"}


async def scrape(client: httpx2.AsyncClient, **headers: str) -> Figures:
    answer = await client.get("/metrics", headers={"accept": "text/plain", **headers})
    assert answer.status_code == 200, answer.text
    return Figures(answer.text)


@pytest.mark.feature("S1.2", "S2.17", "S2.52", "S3.9", "S3.33")
async def test_operations_are_counted_by_name_and_outcome_and_timed(
    world: World, client: httpx2.AsyncClient
) -> None:
    departure = await world.departure()
    for _ in range(2):
        await run(client, RESERVE, id=departure.id, labels=["A1"])
    figures = await scrape(client)
    reserve = {"operation": "reserve", "kind": "mutation"}
    assert figures.of("operations_total", outcome="OK", **reserve) == 1
    assert figures.of("operations_total", outcome="SEATS_UNAVAILABLE", **reserve) == 1
    assert figures.of("operation_seconds_count", **reserve) == 2
    assert figures.of("operation_seconds_bucket", le="+Inf", **reserve) == 2
    assert 0 < figures.of("operation_seconds_sum", **reserve) < 10
    assert figures.of("refusals_total", code="SEATS_UNAVAILABLE") == 1
    assert figures.of("active_reservations") == 1
    assert figures.of("statements_total") > 4


async def test_names_that_clients_make_up_make_no_figures(client: httpx2.AsyncClient) -> None:
    for number in range(50):
        await run(client, f"query Name{number} {{ a{number}: server {{ version }} }}")
        await run(client, f"query Name{number} {{ nonsense{number} }}")
    figures = await scrape(client)
    assert figures.labels("operations_total", "operation") == {"server"}
    assert figures.labels("turned_away_total", "code") == {"GRAPHQL_VALIDATION_FAILED"}
    assert figures.of("turned_away_total", code="GRAPHQL_VALIDATION_FAILED") == 50


async def test_each_refused_sign_in_of_a_document_is_counted(client: httpx2.AsyncClient) -> None:
    await run(client, LOGIN)
    assert (await scrape(client)).of("refusals_total", code="INVALID_CREDENTIALS") == 2


async def test_what_has_run_out_is_counted_from_the_log(world: World, client: httpx2.AsyncClient) -> None:
    departure = await world.departure()
    await run(client, RESERVE, id=departure.id, labels=["A1", "A2"])
    reservation = await world.tables.fetchval("SELECT id FROM reservation")
    await world.age(reservation, timedelta(hours=1))
    await world.app.worker.expiry.sweep()
    await world.app.feed.turn()
    figures = await scrape(client)
    assert figures.of("log_events_total", type="reservation.created") == 1
    assert figures.of("log_events_total", type="reservation.expired") == 1
    assert (figures.of("active_reservations"), figures.of("log_lag_seconds")) == (0, 0)
    assert figures.of("feed_age_seconds") < 5
    assert figures.of("fan_out_lag_seconds") < 5


async def test_who_waits_for_a_connection_is_seen_and_load_is_no_failure(
    world: World, client: httpx2.AsyncClient
) -> None:
    pool = world.app.pool
    taken = [await pool.acquire() for _ in range(pool.get_max_size())]
    waiting = asyncio.ensure_future(pool.acquire())
    try:
        await eventually(lambda: use_of(pool) == PoolUse(len(taken), len(taken), len(taken), 1))
        figures = await scrape(client)
        assert figures.of("pool_used") == figures.of("pool_most") == len(taken)
        assert (figures.of("pool_waiting"), figures.of("database_up")) == (1, 1)
        assert (await client.get("/health/ready")).status_code == 200, "it has connections of its own"
    finally:
        for connection in taken:
            await pool.release(connection)
        await pool.release(await waiting)


@pytest.mark.feature("S4.57")
async def test_a_database_that_is_away_is_a_figure_and_not_a_failure(
    world: World, client: httpx2.AsyncClient
) -> None:
    async with database_away(world):
        figures = await scrape(client)
    assert figures.of("database_up") == 0
    assert figures.labels("active_reservations", "any") == set()
    assert (await scrape(client)).of("database_up") == 1


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.7", {}, 403),
        ("10.0.0.7", {}, 403),
        ("127.0.0.1", {"x-forwarded-for": "192.0.2.7"}, 403),
        ("127.0.0.1", {"x-forwarded-proto": "https"}, 403),
        ("127.0.0.1", {"forwarded": "for=192.0.2.7"}, 403),
        ("127.0.0.1", {"via": "1.1 proxy"}, 403),
    ],
)
async def test_without_a_token_this_machine_alone_reads_and_no_proxy_for_others(
    web: Web, address: str, headers: dict[str, str], status: int
) -> None:
    async with visiting(web, address) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == status


async def test_with_a_token_its_bearer_reads_from_anywhere_and_nobody_else(
    data_dir: Path, database_url: str
) -> None:
    async with (
        new_world(data_dir, database_url, metrics_token=SecretStr(TOKEN)) as world,
        visiting(make_web(world.app), "192.0.2.7") as client,
        visiting(make_web(world.app)) as neighbour,
    ):
        assert (await neighbour.get("/metrics")).status_code == 401
        for wrong in ("Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN} ", "Bearer \xe9"):
            answer = await client.get("/metrics", headers={b"authorization": wrong.encode("latin-1")})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), wrong
        assert (await scrape(client, authorization=f"Bearer {TOKEN}")).of("info") == 1


async def test_no_figure_holds_anything_personal(world: World, client: httpx2.AsyncClient) -> None:
    departure = await world.departure()
    person = await world.person("anna")
    token = world.token(person)
    made = await run(client, RESERVE, token, id=departure.id, labels=["A1"])
    assert made["data"]["reserve"]["__typename"] == "Reservation"
    text = (await client.get("/metrics")).text
    for private in ("anna", "example.org", token, str(person.user_id), departure.id, "192.0.2", "127.0.0.1"):
        assert private.lower() not in text.lower()


async def test_who_prefers_openmetrics_gets_it(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_counting_an_operation_keeps_nothing_of_it() -> None:
    operations = Operations()
    for number in range(1_000):
        operations.ended("reserve", "mutation", "OK", number / 1_000, f"request-{number}")
    (tally,) = operations.tallies.values()
    assert (sum(tally.buckets), tally.outcomes) == (1_000, {"OK": 1_000})
    assert tally.buckets[0] == 2, "0 and 1 ms are at most 1 ms"
