"""A program with a key of its own, over HTTP, event streams and sockets, at two servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from schema.ids import encode
from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, Person, field_of
from tests.acceptance.test_sessions import last_word, watching_bookings
from tests.clients import GraphQLHttp, GraphQLSocket

pytestmark = pytest.mark.feature("S0.5", "S1.30")

BEFORE_LONG = 1.5
CREATE = """mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on ApiKeyCreated { key apiKey { id } } ... on Refusal { message } } }"""
REVOKE = """mutation ($id: ID!) { revokeApiKey(input: {id: $id}) { ... on ApiKey { revokedAt } } }"""
BOOKINGS = "{ bookings(first: 1) { nodes { id } } }"


async def staffed(cluster: Cluster) -> tuple[Person, str]:
    """Somebody new, on the staff of one of the demo's organizations."""
    person = await cluster.person()
    async with cluster.database() as database:
        organization = await database.fetchval("SELECT id FROM organization ORDER BY slug LIMIT 1")
        await database.execute(
            "INSERT INTO membership (account_id, organization_id, role) VALUES ($1, $2, 'STAFF')",
            person.user_id,
            organization,
        )
    return person, encode("Organization", organization)


async def made_key(cluster: Cluster, person: Person, organization: str) -> dict[str, Any]:
    wish = {"organizationId": organization, "name": "till", "scopes": ["BOOKINGS_READ"]}
    async with GraphQLHttp(cluster.a.url) as http:
        made: dict[str, Any] = await field_of(http.run(CREATE, {"input": wish}, person.token))
    return made


async def test_a_key_that_is_revoked_at_one_server_ends_what_is_open_at_the_other(cluster: Cluster) -> None:
    person, organization = await staffed(cluster)
    made = await made_key(cluster, person, organization)
    key = made["key"]
    async with (
        await GraphQLSocket.connect(cluster.b.url, key) as socket,
        GraphQLHttp(cluster.b.url) as http,
        http.stream(documents.WATCH_BOOKINGS, token=key) as stream,
    ):
        await watching_bookings(socket)
        await stream.next()
        assert (await http.run(BOOKINGS, token=key))["data"]
        refused = await http.run(documents.EVENTS, token=key)
        assert refused["errors"][0]["extensions"] == {"code": "FORBIDDEN", "scope": "EVENTS_READ"}
        async with GraphQLHttp(cluster.a.url) as staff:
            assert (await field_of(staff.run(REVOKE, {"id": made["apiKey"]["id"]}, person.token)))[
                "revokedAt"
            ]
        async with asyncio.timeout(BEFORE_LONG):
            assert (await socket.closed()).code == 4403
            assert await last_word(stream) == "UNAUTHENTICATED"
        answer = await http.post(BOOKINGS, token=key)
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert key not in cluster.said
    assert key.split("_", 2)[2] not in cluster.said


async def test_a_socket_is_not_renewed_by_what_lends_something_else(cluster: Cluster) -> None:
    person, organization = await staffed(cluster)
    key = (await made_key(cluster, person, organization))["key"]
    fresh = cluster.token(person.user_id, person.session_id, timedelta(minutes=5))
    for first, then in ((person.token, key), (key, fresh)):
        async with await GraphQLSocket.connect(cluster.a.url, first) as socket:
            await socket.renew(first)
            await socket.send({"type": "ping", "payload": {"authorization": f"Bearer {then}"}})
            assert (await socket.closed()).code == 4403
