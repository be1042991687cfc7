"""graphql-transport-ws: every way in, every way out, and nothing left running."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from domain.errors import Unavailable
from holdfast.transport.socket_protocol import SocketProtocol
from tests.clients import Closed, Completed, Failed, GraphQLSocket
from tests.holdfast.transport.conftest import Site, serving
from tests.holdfast.transport.toy import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUIET = "subscription{quiet}"


def subscribe(**message: Any) -> dict[str, Any]:
    return {"id": "1", "type": "subscribe", "payload": {"query": QUIET}} | message


@pytest.mark.parametrize("subprotocol", [None, "graphql-ws"])
async def test_another_protocol_is_closed_with_4406(site: Site, subprotocol: str | None) -> None:
    asked = [Subprotocol(subprotocol)] if subprotocol else None
    async with connect(site.url.replace("http", "ws"), subprotocols=asked, proxy=None) as connection:
        await connection.wait_closed()
        assert connection.close_code == 4406


@pytest.mark.feature("S2.31")
async def test_a_page_from_elsewhere_does_not_get_in(site: Site) -> None:
    for origin in ("https://evil.example", "null", "https://[", "https://a]b"):
        with pytest.raises(InvalidStatus) as refused:
            await GraphQLSocket.open(site.url, origin=origin)
        assert refused.value.response.status_code == 403
    for origin in ("https://friend.example", f"http://127.0.0.1:{site.port}"):
        async with await GraphQLSocket.connect(site.url, origin=origin) as socket:
            assert (await socket.run("{hello}"))["data"] == {"hello": "hello world"}


async def test_who_does_not_initialise_in_time_is_closed_with_4408(site: Site) -> None:
    async with await GraphQLSocket.open(site.url) as socket:
        assert (await socket.closed()).code == 4408


async def test_who_initialises_in_time_is_not(site: Site) -> None:
    async with await site.socket() as socket:
        with pytest.raises(TimeoutError):
            await socket.closed(seconds=0.5)


async def test_a_second_initialisation_is_closed_with_4429(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.send({"type": "connection_init"})
        assert (await socket.closed()).code == 4429


async def test_an_operation_before_the_acknowledgement_is_closed_with_4401(site: Site) -> None:
    async with await GraphQLSocket.open(site.url) as socket:
        await socket.send(subscribe())
        assert (await socket.closed()).code == 4401


async def test_an_id_that_is_in_use_is_closed_with_4409(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.send(subscribe())
        await socket.send(subscribe())
        assert (await socket.closed()).code == 4409


async def test_an_id_is_free_again_after_the_operation(site: Site) -> None:
    async with await site.socket() as socket:
        query = subscribe(payload={"query": "{hello}"})
        for _ in range(3):
            await socket.send(query)
            assert [(await socket.answer())["type"] for _ in range(2)] == ["next", "complete"]
        await socket.send(subscribe())
        await socket.send({"id": "1", "type": "complete"})
        await socket.send(query)
        answers = [await socket.answer() for _ in range(2)]
        while answers[-1]["type"] != "complete":
            answers.append(await socket.answer())
        assert answers[-2]["payload"]["data"] == {"hello": "hello world"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("[]", 4400),
        ('"x"', 4400),
        ("null", 4400),
        ("", 4400),
        ("{", 4400),
        ("{}", 4400),
        ('{"type": "start"}', 4400),
        ('{"type": {}}', 4400),
        ('{"type": "connection_init", "payload": []}', 4400),
        ('{"type": "ping", "payload": "x"}', 4400),
        ('{"type": "ping", "payload": {"authorization": 1}}', 4400),
        ('{"type": "complete"}', 4400),
        (json.dumps(subscribe(id={})), 4400),
        (json.dumps(subscribe(id=["1"])), 4400),
        (json.dumps(subscribe(id=1)), 4400),
        (json.dumps(subscribe(id="")), 4400),
        (json.dumps(subscribe(payload=None)), 4400),
        (json.dumps(subscribe(payload=[])), 4400),
        (json.dumps(subscribe(payload={})), 4400),
        (json.dumps(subscribe(payload={"query": {}})), 4400),
        (json.dumps(subscribe(payload={"query": "{hello}", "variables": []})), 4400),
        ("[" * 100_000, 4400),
        ('{"type": ' + "9" * 5_000 + "}", 4400),
        ('{"type": "ping", "payload": ' + '{"a": ' * 70 + "1" + "}" * 71, 4400),
        ('"\\ud800"', 4400),
        (b'{"type": "ping"}', 4400),
        (" " * 300_000, 1009),
        ([" " * 100_000] * 3, 1009),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_malformed_message_closes_and_leaves_no_traceback(
    site: Site, caplog: pytest.LogCaptureFixture, message: Any, code: int
) -> None:
    async with await site.socket() as socket:
        await socket.send(message)
        assert (await socket.closed()).code == code
    assert not [record for record in caplog.records if record.exc_info]


async def test_text_that_is_not_utf8_closes_and_leaves_no_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with await site.socket() as socket:
        await socket.connection.send(b'{"type": "\xff"}', text=True)
        assert (await socket.closed()).code == 1007
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_ping_is_answered_and_a_pong_is_not(site: Site) -> None:
    async with await GraphQLSocket.open(site.url) as socket:
        await socket.send({"type": "pong", "payload": {"any": 1}})
        await socket.send({"type": "ping", "payload": {"any": 1}})
        assert await socket.answer() == {"type": "pong"}


@pytest.mark.feature("S3.15")
async def test_queries_and_mutations_run_over_the_socket_too(site: Site) -> None:
    site.house.gate.set()
    async with await site.socket() as socket:
        query = await socket.subscribe("query($n: String!){hello(name: $n)}", {"n": "you"})
        assert (await query.next())["data"] == {"hello": "hello you"}
        with pytest.raises(Completed):
            await query.next()
        assert (await socket.run("mutation{write}"))["data"] == {"write": 1}
        failing = await socket.run("{denied boom}")
        assert {error["extensions"]["code"] for error in failing["errors"]} == {"FORBIDDEN", "INTERNAL"}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
        ("{__schema{queryType{name}}}", "GRAPHQL_VALIDATION_FAILED"),
        ("query($n: String!){hello(name: $n)}", "BAD_USER_INPUT"),
        ("subscription{forbidden}", "FORBIDDEN"),
    ],
)
async def test_what_cannot_run_is_an_error_of_the_operation(site: Site, document: str, code: str) -> None:
    async with await site.socket() as socket:
        operation = await socket.subscribe(document)
        with pytest.raises(Failed) as failed:
            await operation.next()
        assert failed.value.code == code
        assert "data" in await socket.run("{hello}")


async def test_a_stream_that_breaks_is_an_error_of_the_operation(site: Site) -> None:
    async with await site.socket() as socket:
        operation = await socket.subscribe("subscription{breaks}")
        assert await operation.next() == {"data": {"breaks": 0}}
        with pytest.raises(Failed) as failed:
            await operation.next()
        assert failed.value.code == "INTERNAL"


async def test_a_result_that_json_cannot_say_is_masked(site: Site) -> None:
    async with await site.socket() as socket:
        [error] = (await socket.run("{unsayable}"))["errors"]
        assert error["extensions"]["code"] == "INTERNAL"


async def test_each_operation_has_a_context_of_its_own(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.run("{user}")
        await socket.run("{user}")
    first, second = site.house.contexts
    assert first is not second
    assert first.viewer.request_id != second.viewer.request_id


async def test_a_token_comes_in_the_payload_or_in_the_header(site: Site) -> None:
    ada, bob = site.tokens.new(site.tokens.ada), site.tokens.new(site.tokens.bob)
    header = {"authorization": f"Bearer {bob}"}
    for token, headers, user in (
        (None, None, None),
        (ada, None, str(site.tokens.ada)),
        (None, header, str(site.tokens.bob)),
        (ada, header, str(site.tokens.ada)),
    ):
        async with await GraphQLSocket.connect(site.url, token, headers=headers) as socket:
            assert (await socket.run("{user}"))["data"] == {"user": user}


async def test_a_wrong_token_is_closed_with_4403(site: Site) -> None:
    for wrong in ("nonsense", site.tokens.new(site.tokens.ada, lives=-1)):
        with pytest.raises(Closed) as closed:
            await site.socket(wrong)
        assert (closed.value.code, closed.value.reason) == (4403, "Forbidden")


async def test_a_socket_closes_when_its_token_runs_out(site: Site) -> None:
    async with await site.socket(site.tokens.new(site.tokens.ada, lives=0.4)) as socket:
        quiet = await socket.subscribe(QUIET)
        await quiet.next()
        with pytest.raises(Closed) as closed:
            await quiet.next(seconds=1.4)
        assert closed.value.code == 4403
        await site.house.reached("quiet closed")


async def test_a_socket_closes_when_its_session_ends(site: Site) -> None:
    token = site.tokens.new(site.tokens.ada)
    async with await site.socket(token) as socket, await site.socket() as guest:
        site.sessions.end(site.tokens.session(token))
        assert (await socket.closed(seconds=1)).code == 4403
        assert "data" in await guest.run("{hello}")


async def test_a_fresh_token_keeps_the_socket_and_its_streams_open(site: Site) -> None:
    fresh = site.tokens.new(site.tokens.ada)
    async with await site.socket(site.tokens.new(site.tokens.ada, lives=0.4)) as socket:
        quiet = await socket.subscribe(QUIET)
        await quiet.next()
        await socket.renew(fresh)
        with pytest.raises(TimeoutError):
            await socket.closed(seconds=0.8)
        site.house.gate.set()
        assert await quiet.next() == {"data": {"quiet": 1}}
        site.sessions.end(site.tokens.session(fresh))
        assert (await socket.closed()).code == 4403


async def test_only_the_same_user_may_renew(site: Site) -> None:
    ada, bob = site.tokens.new(site.tokens.ada), site.tokens.new(site.tokens.bob)
    for before, after in ((ada, bob), (ada, "nonsense"), (None, ada)):
        async with await site.socket(before) as socket:
            with pytest.raises(Closed) as closed:
                await socket.renew(after)
            assert closed.value.code == 4403


async def test_no_watch_on_a_session_outlives_its_socket(site: Site) -> None:
    before = site.sessions.watching
    token = site.tokens.new(site.tokens.ada)
    async with await site.socket(token) as socket:
        await socket.renew(token)
        assert site.sessions.watching == before + 1
    await until(lambda: site.sessions.watching == before)


async def test_one_operation_above_the_limit_is_refused_and_the_others_go_on(site: Site) -> None:
    async with await site.socket() as socket:
        running = [await socket.subscribe(QUIET) for _ in range(5)]
        refused = await socket.subscribe(QUIET)
        with pytest.raises(Failed) as failed:
            await refused.next()
        assert failed.value.errors[0]["extensions"] == {"code": "TOO_MANY_OPERATIONS", "limit": 5}
        for operation in running:
            assert await operation.next() == {"data": {"quiet": 0}}
        await running[0].complete()
        await site.house.reached("quiet closed")
        assert await (await socket.subscribe(QUIET)).next() == {"data": {"quiet": 0}}


async def test_nothing_runs_on_when_the_socket_is_gone(site: Site) -> None:
    before = len(asyncio.all_tasks())
    async with await site.socket() as socket:
        for operation in [await socket.subscribe(QUIET) for _ in range(5)]:
            await operation.next()
    await site.house.reached("quiet closed", times=5)
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_query_ends_and_a_mutation_goes_on_when_the_socket_is_gone(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.subscribe("{slow}")
        await socket.subscribe("mutation{write}")
        await site.house.reached("slow started")
        await site.house.reached("write started")
    await until(lambda: site.house.counts["slow cancelled"] > 0)
    site.house.gate.set()
    await site.house.reached("write finished")


async def test_a_source_is_asked_for_the_next_event_only_when_the_last_was_taken(site: Site) -> None:
    async with await site.socket() as socket:
        ticks = await socket.subscribe("subscription{ticks(count: 1000)}")
        for tick in range(1000):
            assert await ticks.next() == {"data": {"ticks": tick}}
        with pytest.raises(Completed):
            await ticks.next()


async def test_a_reader_that_never_reads_holds_little_and_is_dropped(site: Site) -> None:
    await site.connections_gone()
    async with connect(
        site.url.replace("http", "ws"),
        subprotocols=[Subprotocol("graphql-transport-ws")],
        proxy=None,
        compression=None,
        max_queue=1,
        max_size=None,
        close_timeout=0.1,
    ) as connection:
        await connection.send('{"type": "connection_init"}')
        await connection.send(json.dumps(subscribe(payload={"query": "subscription{flood}"})))
        await site.house.reached("flood closed")
        # Of 100 kB each: what the two kernels hold between them, and no more.
        assert site.house.counts["flood pulled"] < 200
        await site.connections_gone()


async def test_pings_of_a_reader_that_never_reads_pile_up_no_answers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SocketProtocol, "frames_per_second", 1_000_000)
    await site.connections_gone()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    try:
        writer.write(
            b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        text = b'{"type":"connection_init"}'
        writer.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
        pings = (b"\x89\xfd" + bytes(4) + b"." * 125) * 8_000
        for _ in range(40):  # a million bytes each, of which the two kernels hold a few
            writer.write(pings)
            await writer.drain()
        (connection,) = site.server.server_state.connections
        assert connection.transport.get_write_buffer_size() < 2_000_000
    finally:
        writer.transport.abort()
    await site.connections_gone()


async def test_a_token_runs_out_on_a_reader_that_never_reads_too(site: Site) -> None:
    await site.connections_gone()
    token = site.tokens.new(site.tokens.ada, lives=0.2)
    async with connect(
        site.url.replace("http", "ws"),
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers={"authorization": f"Bearer {token}"},
        proxy=None,
        compression=None,
        max_queue=1,
        max_size=None,
        close_timeout=0.1,
    ) as connection:
        await connection.send('{"type": "connection_init"}')
        await connection.send(json.dumps(subscribe(payload={"query": "subscription{flood}"})))
        await site.house.reached("flood closed")
        await site.connections_gone()


async def test_a_failure_of_the_house_is_closed_with_1011_and_no_secret(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.tokens.failure = RuntimeError("secret of the house")
    with pytest.raises(Closed) as closed:
        await site.socket()
    assert (closed.value.code, closed.value.reason) == (1011, "Internal error")
    assert "secret of the house" in caplog.text


async def test_who_cannot_be_judged_now_may_come_again(site: Site) -> None:
    site.tokens.failure = Unavailable("The database does not answer.")
    with pytest.raises(Closed) as closed:
        await site.socket()
    assert closed.value.code == 1013


async def test_a_server_that_goes_away_says_so_and_ends_in_time() -> None:
    async with serving() as site, await site.socket() as socket:
        quiet = await socket.subscribe(QUIET)
        await quiet.next()
        async with asyncio.timeout(2):
            await site.transport.drain()
        assert (await socket.closed()).code == 1001
        assert site.house.counts["quiet closed"] == 1
        with pytest.raises(Closed) as closed:
            await site.socket()
        assert closed.value.code == 1001


async def test_a_mutation_is_finished_before_the_server_goes_away() -> None:
    async with serving() as site, await site.socket() as socket:
        await socket.subscribe("mutation{write}")
        await site.house.reached("write started")
        draining = asyncio.create_task(site.transport.drain())
        await socket.closed()
        assert not draining.done()
        site.house.gate.set()
        await draining
        assert site.house.counts["write finished"] == 1


async def test_a_server_told_to_stop_stops_with_open_streams() -> None:
    async with asyncio.timeout(3):
        async with serving() as site:
            socket = await site.socket()
            await (await socket.subscribe(QUIET)).next()
            site.server.should_exit = True
            assert (await socket.closed()).code == 1001
        await socket.__aexit__(None, None, None)


async def test_a_source_that_never_waits_leaves_turns_to_others(site: Site) -> None:
    async with await site.socket() as socket:
        await socket.subscribe("subscription{ticks(count: 100000)}")
        await site.house.reached("tick pulled")
        assert site.house.counts["tick pulled"] < 1000
