"""GraphQL over HTTP: what is answered to whom, and what never reaches a resolver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from domain.errors import RateLimited, Unavailable
from holdfast.transport.accept import EVENT_STREAM, GRAPHQL_RESPONSE, JSON
from holdfast.transport.http_protocol import HttpProtocol
from holdfast.transport.request import MOST_COMMAS
from tests.clients import GraphQLHttp
from tests.holdfast.transport.conftest import Site
from tests.holdfast.transport.toy import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(http: GraphQLHttp, body: bytes | Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await http.client.post(http.url, content=content, headers=given)


def code(response: Any) -> str:
    return str(response.json()["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON};q=0.9", GRAPHQL_RESPONSE),
        (f"{JSON}, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, {JSON}", JSON),
        (f"{JSON};q=nonsense, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON}, {EVENT_STREAM}, multipart/mixed", GRAPHQL_RESPONSE),
    ],
)
async def test_the_answer_has_the_type_that_is_taken(
    http: GraphQLHttp, accept: str | None, media: str
) -> None:
    http.client.headers.pop("accept")
    response = await post(http, {"query": "{hello}"}, **({"accept": accept} if accept else {}))
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["data"] == {"hello": "hello world"}


async def test_a_type_that_nobody_speaks_is_not_acceptable(http: GraphQLHttp) -> None:
    response = await post(http, {"query": "{hello}"}, accept="image/png")
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{nothing}"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($n: Int!){take(number: $n)}"}, "BAD_USER_INPUT"),
        ({"query": "query A{hello} query B{hello}"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "{__schema{queryType{name}}}"}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_was_not_run_is_400_to_who_knows_the_type(
    http: GraphQLHttp, body: dict[str, Any], expected: str
) -> None:
    for accept, status in ((GRAPHQL_RESPONSE, 400), (JSON, 200)):
        response = await post(http, body, accept=accept)
        assert (response.status_code, code(response)) == (status, expected)
        assert "data" not in response.json()


async def test_a_failed_field_is_still_200(http: GraphQLHttp) -> None:
    response = await post(http, {"query": "{boom}"}, accept=GRAPHQL_RESPONSE)
    assert (response.status_code, code(response), response.json()["data"]) == (200, "INTERNAL", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'"x"',
        b"null",
        b"[" * 100_000,
        b'{"query": "{hello}", "variables": {"n": ' + b"9" * 5_000 + b"}}",
        b'{"query": "{hello}", "variables": ' + b'{"a": ' * 70 + b"1" + b"}" * 70 + b"}",
        b'{"query": "{hello}", "variables": {"n": "\\ud800"}}',
        [{"query": "{hello}"}],
        {},
        {"query": None},
        {"query": 1},
        {"query": ["{hello}"]},
        {"query": "{hello}", "variables": []},
        {"query": "{hello}", "variables": "{}"},
        {"query": "{hello}", "operationName": {}},
        {"query": "{hello}", "extensions": 1},
    ],
)
async def test_a_malformed_body_is_a_bad_request(http: GraphQLHttp, body: bytes | Any) -> None:
    response = await post(http, body)
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_a_batch_is_told_what_to_do(http: GraphQLHttp) -> None:
    response = await post(http, [{"query": "{hello}"}])
    assert "one operation" in response.json()["errors"][0]["message"]


async def test_json_may_be_as_deep_as_the_limit_and_no_deeper(http: GraphQLHttp) -> None:
    def body(depth: int) -> bytes:
        # The request and its variables are two levels already.
        return b'{"query": "{hello}", "variables": {"a":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"

    assert (await post(http, body(64))).status_code == 200
    assert (await post(http, body(65))).status_code == 400


async def test_json_may_have_as_many_commas_as_the_limit_and_no_more(http: GraphQLHttp) -> None:
    def body(commas: int) -> bytes:
        return b'{"query": "{hello}", "variables": {"a": [' + b"1," * (commas - 1) + b"1]}}"

    assert (await post(http, body(MOST_COMMAS))).status_code == 200
    response = await post(http, body(MOST_COMMAS + 1))
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert str(MOST_COMMAS) in response.json()["errors"][0]["message"]


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer(http: GraphQLHttp) -> None:
    body = b'{"query": "{hello}"}'
    assert (await post(http, body.ljust(256 * 1024))).status_code == 200
    response = await post(http, body.ljust(256 * 1024 + 1))
    assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_long_body_without_a_length_is_cut_off(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: x\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    writer.write((b"4000\r\n" + b" " * 0x4000 + b"\r\n") * 20)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        await reader.read()
    writer.close()


@pytest.mark.feature("S2.31")
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=utf-16",
    ],
)
async def test_what_a_browser_sends_unasked_is_refused(http: GraphQLHttp, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await http.client.post(http.url, content=b'{"query": "{hello}"}', headers=headers)
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_query_may_be_a_get_and_a_mutation_may_not(http: GraphQLHttp, site: Site) -> None:
    async def get(**parameters: str) -> Any:
        return await http.client.get(f"{http.url}?{urlencode(parameters)}")

    response = await get(query="query($n: String!){hello(name: $n)}", variables='{"n": "you"}')
    assert response.json()["data"] == {"hello": "hello you"}
    response = await get(query="mutation{write}")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert not site.house.counts["write started"]
    assert (await get(query="{hello}", variables="{")).status_code == 400
    assert (await http.client.get(http.url + "?query=%ff")).status_code == 400
    assert (await http.client.get(http.url)).status_code == 400


async def test_other_methods_are_told_which_there_are(http: GraphQLHttp) -> None:
    response = await http.client.put(http.url, content=b"{}")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


async def test_a_browser_sees_the_page_and_a_program_does_not(http: GraphQLHttp) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    response = await http.client.get(http.url, headers=browser)
    assert "GraphiQL" in response.text
    assert (await http.client.get(http.url)).headers["content-type"].startswith(JSON)


async def test_a_token_says_who_asks_and_a_wrong_one_is_401(http: GraphQLHttp, site: Site) -> None:
    ada = site.tokens.new(site.tokens.ada)
    assert (await http.run("{user}", token=ada))["data"] == {"user": str(site.tokens.ada)}
    assert (await http.run("{user}"))["data"] == {"user": None}
    for wrong in ("nonsense", site.tokens.new(site.tokens.ada, lives=-1)):
        response = await http.post("{user}", token=wrong)
        assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_denial_of_the_whole_request_has_a_status_of_its_own(http: GraphQLHttp, site: Site) -> None:
    site.tokens.failure = RateLimited("Too many tries.", timedelta(seconds=7))
    response = await http.post("{hello}")
    assert (response.status_code, code(response), response.headers["retry-after"]) == (
        429,
        "RATE_LIMITED",
        "7",
    )
    site.tokens.failure = Unavailable("The database does not answer.")
    response = await http.post("{hello}")
    assert (response.status_code, code(response)) == (503, "UNAVAILABLE")


async def test_only_who_may_is_told_the_schema(http: GraphQLHttp, site: Site) -> None:
    ada = site.tokens.new(site.tokens.ada)
    assert "data" in await http.run("{__schema{queryType{name}}}", token=ada)
    assert "data" not in await http.run("{__schema{queryType{name}}}")


async def test_a_request_id_comes_back_unless_it_is_strange(http: GraphQLHttp, site: Site) -> None:
    response = await http.post("{user}", headers={"x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    assert site.house.contexts[-1].viewer.request_id == "abc-1"
    response = await http.post("{user}", headers={"x-request-id": "a b"})
    assert response.headers["x-request-id"] == site.house.contexts[-1].viewer.request_id != "a b"


async def test_a_failure_outside_the_resolvers_is_masked_too(
    http: GraphQLHttp, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.tokens.failure = RuntimeError("secret of the house")
    response = await http.post("{hello}")
    assert (response.status_code, code(response)) == (500, "INTERNAL")
    assert "secret" not in response.text
    assert "secret of the house" in caplog.text


async def test_a_result_that_json_cannot_say_is_masked(http: GraphQLHttp) -> None:
    assert code(await http.post("{unsayable}")) == "INTERNAL"


async def leave_during(site: Site, document: str, started: str) -> None:
    async with GraphQLHttp(site.url) as http:
        asking = asyncio.create_task(http.run(document))
        await site.house.reached(started)
        asking.cancel()
        await asyncio.wait({asking})


async def test_a_query_ends_when_its_caller_leaves(site: Site, http: GraphQLHttp) -> None:
    await leave_during(site, "{slow}", "slow started")
    async with asyncio.timeout(5):
        while not site.house.counts["slow cancelled"]:
            await http.run("{hello}")


async def test_a_mutation_goes_on_when_its_caller_leaves(site: Site) -> None:
    await leave_during(site, "mutation{write}", "write started")
    site.house.gate.set()
    await site.house.reached("write finished")


async def test_a_caller_who_never_reads_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.connections_gone()
    monkeypatch.setattr(HttpProtocol, "farewell", 0.1)
    fields = " ".join(f"a{number}: hello(name: $n)" for number in range(100))
    body = json.dumps(
        {"query": f"query($n: String!){{{fields}}}", "variables": {"n": "x" * 200_000}}
    ).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await until(lambda: bool(site.server.server_state.connections))
    await site.connections_gone()
    writer.close()


async def test_a_caller_who_left_in_this_very_turn_is_no_failure(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"query": "{hello}"}'
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
    }

    messages = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else await asyncio.Future()

    async def send(_: MutableMapping[str, Any]) -> None:
        # What uvloop says of a closed connection that uvicorn has not heard of yet.
        raise RuntimeError("the handler is closed")

    route = site.transport.routes()[0]
    await route.handle(scope, receive, send)
    assert not caplog.records
