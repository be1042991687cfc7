"""Event streams: the same promises to those who cannot open a socket."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest

from tests.clients import Completed, EventStream, GraphQLHttp
from tests.holdfast.transport.conftest import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUIET = "subscription{quiet}"


async def completed(stream: EventStream) -> bool:
    with pytest.raises(Completed):
        await stream.next()
    return True


async def test_results_come_as_events_and_end_with_complete(http: GraphQLHttp) -> None:
    async with http.stream("subscription{ticks(count: 2)}") as stream:
        headers = stream.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        assert [await stream.next(), await stream.next()] == [{"data": {"ticks": 0}}, {"data": {"ticks": 1}}]
        assert await completed(stream)


async def test_queries_and_mutations_are_streams_of_one(http: GraphQLHttp, site: Site) -> None:
    site.house.gate.set()
    for document, data in (("{hello}", {"hello": "hello world"}), ("mutation{write}", {"write": 1})):
        async with http.stream(document) as stream:
            assert (await stream.next())["data"] == data
            assert await completed(stream)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription($n: Int!){ticks(count: $n)}", "BAD_USER_INPUT"),
        ("subscription{forbidden}", "FORBIDDEN"),
    ],
)
async def test_what_cannot_run_is_told_in_the_stream(http: GraphQLHttp, document: str, code: str) -> None:
    async with http.stream(document) as stream:
        result = await stream.next()
        assert "data" not in result
        assert result["errors"][0]["extensions"]["code"] == code
        assert await completed(stream)


async def test_a_stream_that_breaks_says_so(http: GraphQLHttp) -> None:
    async with http.stream("subscription{breaks}") as stream:
        assert await stream.next() == {"data": {"breaks": 0}}
        assert (await stream.next())["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert await completed(stream)


async def test_a_guest_may_open_one_with_a_get_and_not_change_anything(http: GraphQLHttp, site: Site) -> None:
    accept = {"accept": "text/event-stream"}
    response = await http.client.get(
        f"{http.url}?query={quote('subscription{ticks(count: 1)}')}", headers=accept
    )
    assert response.text.startswith('event: next\ndata: {"data":{"ticks":0}}\n\n')
    response = await http.client.get(f"{http.url}?query={quote('mutation{write}')}", headers=accept)
    assert response.status_code == 405
    assert not site.house.counts["write started"]


async def test_a_wrong_token_gets_no_stream(http: GraphQLHttp) -> None:
    async with http.stream(QUIET, token="nonsense") as stream:
        assert stream.response.status_code == 401


async def test_a_subscription_without_a_stream_is_not_acceptable(http: GraphQLHttp) -> None:
    assert (await http.post(QUIET)).status_code == 406


async def test_who_takes_both_gets_a_stream_for_a_subscription_alone(http: GraphQLHttp) -> None:
    both = {"accept": "application/graphql-response+json, application/json, text/event-stream"}
    assert (await http.post("{hello}", headers=both)).json()["data"] == {"hello": "hello world"}
    response = await http.post("subscription{ticks(count: 1)}", headers=both)
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_a_quiet_stream_beats(http: GraphQLHttp) -> None:
    async with http.stream(QUIET) as stream:
        await stream.next()
        with pytest.raises(TimeoutError):
            await stream.next(seconds=0.7)
        assert stream.heartbeats >= 2


async def test_a_stream_ends_when_its_token_runs_out(http: GraphQLHttp, site: Site) -> None:
    async with http.stream(QUIET, token=site.tokens.new(site.tokens.ada, lives=0.4)) as stream:
        await stream.next()
        last = await stream.next(seconds=1.4)
        assert last["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await completed(stream)
    await site.house.reached("quiet closed")


async def test_a_stream_ends_when_its_session_ends(http: GraphQLHttp, site: Site) -> None:
    token = site.tokens.new(site.tokens.ada)
    before = site.sessions.watching
    async with http.stream(QUIET, token=token) as stream:
        await stream.next()
        site.sessions.end(site.tokens.session(token))
        last = await stream.next(seconds=1)
        assert last["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await completed(stream)
    assert site.sessions.watching == before


async def test_a_source_is_closed_when_its_reader_leaves(site: Site) -> None:
    async with GraphQLHttp(site.url) as http, http.stream(QUIET) as stream:
        await stream.next()
    await site.house.reached("quiet closed")


async def test_a_mutation_goes_on_when_its_reader_leaves(site: Site) -> None:
    async with GraphQLHttp(site.url) as http, http.stream("mutation{write}"):
        await site.house.reached("write started")
    await site.connections_gone()
    site.house.gate.set()
    await site.house.reached("write finished")


async def test_a_reader_that_never_reads_holds_little_and_is_dropped(site: Site) -> None:
    await site.connections_gone()
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    body = json.dumps({"query": "subscription{flood}"}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
    )
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await site.house.reached("flood closed")
    assert site.house.counts["flood pulled"] < 200
    await site.connections_gone()
    writer.close()


async def test_a_server_that_goes_away_ends_its_streams() -> None:
    async with serving() as site, GraphQLHttp(site.url) as http, http.stream(QUIET) as stream:
        await stream.next()
        async with asyncio.timeout(2):
            await site.transport.drain()
        assert await completed(stream)
        async with http.stream(QUIET) as late:
            with pytest.raises(Completed):
                assert await late.next() == await late.next()


async def test_a_server_told_to_stop_stops_with_open_streams() -> None:
    async with asyncio.timeout(3), GraphQLHttp("") as http, serving() as site:
        http.url = site.url
        async with http.stream(QUIET) as stream:
            await stream.next()
            site.server.should_exit = True
            assert await completed(stream)
