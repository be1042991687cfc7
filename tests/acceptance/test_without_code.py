"""What an operator changes by a setting or a request, and nobody programs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, field_of
from tests.clients import GraphQLHttp, GraphQLSocket

FRIEND, STRANGER = "https://shop.example", "https://evil.example"


@pytest.mark.feature("S2.40")
async def test_pages_of_the_sites_in_the_setting_may_call_and_no_others(cluster: Cluster) -> None:
    with await asyncio.to_thread(cluster.start(allowed_origins=FRIEND).ready) as server:
        async with httpx2.AsyncClient() as browser:
            for origin, allowed in (FRIEND, FRIEND), (STRANGER, None):
                asked = await browser.options(
                    server.url,
                    headers={
                        "origin": origin,
                        "access-control-request-method": "POST",
                        "access-control-request-headers": "authorization,content-type",
                    },
                )
                told = await browser.post(
                    server.url, json={"query": documents.SERVER}, headers={"origin": origin}
                )
                for answer in asked, told:
                    assert answer.headers.get("access-control-allow-origin") == allowed
        async with await GraphQLSocket.connect(server.url, origin=FRIEND) as socket:
            assert "data" in await socket.run(documents.SERVER)
        with pytest.raises(InvalidStatus) as turned_away:
            await GraphQLSocket.connect(server.url, origin=STRANGER)
        assert turned_away.value.response.status_code == 403


@pytest.mark.feature("S3.30")
async def test_hours_are_opened_by_a_request_and_limits_set_by_a_setting(cluster: Cluster) -> None:
    departure = await cluster.departure()
    admin = (await cluster.sign_in("admin"))["accessToken"]
    customer = await cluster.person()
    limited = cluster.start(max_active_reservations=1, requests_per_minute=3)
    with await asyncio.to_thread(limited.ready) as server:
        async with GraphQLHttp(server.url) as http:
            slots = await field_of(http.run(documents.OPEN, {"input": await _hours(http, departure)}, admin))
            first, second, *_ = slots["schedules"]

            async def reserved(slot: str) -> str:
                target = {"bestAvailable": {"scheduleId": slot, "count": 1}}
                answer = await field_of(http.run(documents.RESERVE, {"target": target}, customer.token))
                return str(answer.get("code", answer["__typename"]))

            assert await reserved(first["id"]) == "Reservation"
            assert await reserved(second["id"]) == "RESERVATION_LIMIT_REACHED"
            assert await reserved(second["id"]) == "RESERVATION_LIMIT_REACHED"
            refused = await http.run(documents.SERVER, token=customer.token)
            assert refused["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def _hours(http: GraphQLHttp, departure: dict[str, object]) -> dict[str, object]:
    """Two slots far ahead, of what a departure sells, on what it runs on."""
    document = "query ($id: ID!) { schedule(id: $id) { offering { id } resource { id } } }"
    sold = await field_of(http.run(document, {"id": departure["id"]}))
    day = (datetime.now(UTC) + timedelta(days=700)).date().isoformat()
    return {
        "offeringId": sold["offering"]["id"],
        "resourceId": sold["resource"]["id"],
        "localStarts": [f"{day}T09:00", f"{day}T10:00"],
        "duration": "PT1H",
    }
