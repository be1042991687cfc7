"""What is told of costs, rates and time; who leaves takes nothing along."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from domain.rates import Rates
from tests.clients import Failed, GraphQLHttp, GraphQLSocket
from tests.holdfast.transport.conftest import LIMITS, serving

SHORT = replace(LIMITS, operation=0.2)


def rates(per_account: int = 0, per_address: int = 0) -> Rates:
    return Rates(per_account, per_address, b"s" * 32)


async def test_every_result_tells_what_it_cost() -> None:
    async with serving() as site, GraphQLHttp(site.url) as http:
        expected = {"cost": {"estimate": 11, "limit": 50_000}}
        assert (await http.run("{hello}"))["extensions"] == expected
        assert (await http.run("query($n: Int!){take(number: $n)}"))["extensions"] == expected
        assert "extensions" not in await http.run("{nothing}")
        async with http.stream("{hello}") as stream:
            assert (await stream.next())["extensions"] == expected
        async with await GraphQLSocket.connect(site.url) as socket:
            assert (await socket.run("{hello}"))["extensions"] == expected
            ticks = await socket.subscribe("subscription{ticks(count: 1)}")
            assert await ticks.next() == {"data": {"ticks": 0}}  # not in a message that thousands get


@pytest.mark.feature("S2.37", "S3.43", "S4.52")
async def test_a_caller_above_the_rate_is_told_when_to_come_back() -> None:
    async with serving(rates=rates(per_address=60)) as site, GraphQLHttp(site.url) as http:
        for _ in range(60):
            assert (await http.post("{hello}")).status_code == 200
        response = await http.post("{hello}")
        (error,) = response.json()["errors"]
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 1}
        assert "60 requests a minute" in error["message"]
        assert site.transport.refused == {"RATE_LIMITED": 1}
        async with http.stream("{hello}") as stream:
            assert stream.response.status_code == 429


async def test_operations_of_a_socket_count_each() -> None:
    async with serving(rates=rates(per_address=5)) as site, await GraphQLSocket.connect(site.url) as socket:
        for _ in range(5):
            await socket.run("{hello}")
        with pytest.raises(Failed) as caught:
            await socket.run("{hello}")
        assert caught.value.code == "RATE_LIMITED"
        with pytest.raises(Failed) as caught:
            await (await socket.subscribe("subscription{ticks}")).next()
        assert caught.value.code == "RATE_LIMITED"


async def test_accounts_count_apart_wherever_they_ask() -> None:
    async with serving(rates=rates(per_account=3, per_address=2)) as site, GraphQLHttp(site.url) as http:
        ada, bob = site.tokens.new(site.tokens.ada), site.tokens.new(site.tokens.bob)
        async with await GraphQLSocket.connect(site.url, ada) as socket:
            await socket.run("{hello}")
            assert [(await http.post("{hello}", token=ada)).status_code for _ in range(3)] == [200, 200, 429]
            with pytest.raises(Failed):
                await socket.run("{hello}")
        assert (await http.post("{hello}", token=bob)).status_code == 200
        assert [(await http.post("{hello}")).status_code for _ in range(3)] == [200, 200, 429]


async def test_tokens_that_are_none_count_for_the_address() -> None:
    async with serving(rates=rates(per_address=4)) as site, GraphQLHttp(site.url) as http:
        found = [(await http.post("{hello}", token="nonsense")).status_code for _ in range(6)]
        assert found == [401, 401, 401, 401, 429, 429]
        assert (await http.post("{hello}")).status_code == 429
        ada = site.tokens.new(site.tokens.ada)
        assert (await http.post("{hello}", token=ada)).status_code == 200


async def test_bodies_that_are_none_count_too() -> None:
    async with serving(rates=rates(per_address=3)) as site, GraphQLHttp(site.url) as http:
        found = [(await http.client.post(http.url, content=b"{")).status_code for _ in range(4)]
        assert found == [415, 415, 415, 429]


async def test_a_query_that_takes_too_long_is_ended_and_told() -> None:
    async with serving(limits=SHORT) as site, GraphQLHttp(site.url) as http:
        response = await http.post("{slow}")
        (error,) = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (504, {"code": "TIMED_OUT"})
        assert (
            error["message"]
            == "This query took longer than 0.2 s and was ended: ask for less, or again later."
        )
        assert site.house.counts["slow cancelled"] == 1
        async with await GraphQLSocket.connect(site.url) as socket:
            with pytest.raises(Failed) as caught:
                await socket.run("{slow}")
            assert caught.value.code == "TIMED_OUT"
        assert site.house.counts["slow cancelled"] == 2
        assert (await http.run("{hello}"))["data"]
        assert site.transport.refused["TIMED_OUT"] == 2


async def test_a_mutation_that_takes_too_long_goes_on_and_its_caller_is_told() -> None:
    async with serving(limits=SHORT) as site, GraphQLHttp(site.url) as http:
        response = await http.post("mutation{write}")
        (error,) = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (504, {"code": "TIMED_OUT"})
        assert "goes on" in error["message"]
        assert "idempotencyKey" in error["message"]
        async with await GraphQLSocket.connect(site.url) as socket:
            with pytest.raises(Failed) as caught:
                await socket.run("mutation{write}")
            assert caught.value.code == "TIMED_OUT"
        site.house.gate.set()
        await site.house.reached("write finished", 2)
        assert (await http.run("{hello}"))["data"]


async def test_what_is_quick_enough_is_told_as_ever() -> None:
    async with serving(limits=SHORT) as site, GraphQLHttp(site.url) as http:
        asking = asyncio.create_task(http.run("mutation{write}"))
        await site.house.reached("write started")
        site.house.gate.set()
        assert (await asking)["data"] == {"write": 1}
        assert (await http.run("{slow}"))["data"] == {"slow": "done"}
        assert not site.transport.refused
