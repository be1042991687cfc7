"""Keys of integrators: made once, used within their scopes, ended at once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLObjectType

from domain.access import Role
from domain.api_keys import FRESH, KnownKeys
from domain.catalogue import Organization
from domain.errors import Unauthenticated
from domain.scopes import Scope
from domain.viewer import Viewer
from schema.ids import decode, encode
from schema.root import schema
from schema.scopes import NODES, ROOTS
from tests.graphql.test_privacy import hold, root_fields, sell
from tests.world import World

pytestmark = pytest.mark.feature("S0.5", "S1.30")

Json = dict[str, Any]
core = schema._schema

CREATE = """mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename
  ... on ApiKeyCreated { key apiKey { id name prefix scopes createdAt expiresAt lastUsedAt revokedAt createdBy } }
  ... on Refusal { code message path } } }"""
REVOKE = """mutation ($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { __typename
  ... on ApiKey { id revokedAt } ... on Refusal { code } } }"""
LIST = """query ($organization: ID!, $first: Int! = 10, $after: String) {
  apiKeys(organizationId: $organization, first: $first, after: $after) {
    nodes { id name prefix scopes lastUsedAt revokedAt createdBy } pageInfo { hasNextPage endCursor } } }"""


def whose(organization: Organization) -> str:
    return encode("Organization", organization.id)


async def key_of(
    world: World, staff: Viewer, organization: Organization, *scopes: Scope, **more: object
) -> Json:
    wish = {"organizationId": whose(organization), "name": "till", "scopes": list(scopes), **more}
    made: Json = await world.data(CREATE, staff, input=wish)
    assert made["__typename"] == "ApiKeyCreated", made
    return made


async def bearer(world: World, made: Json, keys: KnownKeys | None = None) -> Viewer:
    return await (keys or world.app.identity.keys).bearer(made["key"], "192.0.2.9", "r")


# ------------------------------------------------------------------------------- making and revoking


async def test_a_key_is_shown_once_and_kept_as_a_hash(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    wish = {
        "organizationId": whose(house),
        "name": " till ",
        "scopes": ["BOOKINGS_READ"],
        "idempotencyKey": "k",
    }
    first = await world.data(CREATE, staff, input=wish)
    again = await world.data(CREATE, staff, input=wish)
    assert first["apiKey"] == again["apiKey"]
    assert again["key"] is None
    assert (first["apiKey"]["name"], first["apiKey"]["scopes"]) == ("till", ["BOOKINGS_READ"])
    mark, prefix, secret = first["key"].split("_", 2)
    assert (mark, prefix, len(secret)) == ("hf", first["apiKey"]["prefix"], 43)
    for table in ("api_key", "event", "idempotency_key"):
        rows = [row[0] for row in await world.tables.fetch(f"SELECT t::text FROM {table} t")]
        assert rows
        assert not any(secret in row for row in rows)
    listed = await world.data(LIST, staff, organization=whose(house))
    assert [node["id"] for node in listed["nodes"]] == [first["apiKey"]["id"]]
    assert secret not in json.dumps(listed)


@pytest.mark.feature("S1.32")
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": " "}, ["name"]),
        ({"scopes": []}, ["scopes"]),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, ["expiresAt"]),
        ({"organizationId": "x"}, ["organizationId"]),
    ],
)
async def test_a_wish_that_cannot_be_met_names_the_field(world: World, change: Json, path: list[str]) -> None:
    house = await world.organization()
    wish = {"organizationId": whose(house), "name": "till", "scopes": ["EVENTS_READ"], **change}
    refused = await world.data(CREATE, await world.member(house), input=wish)
    assert refused["path"] == path


async def test_staff_of_the_organization_alone_makes_lists_and_revokes_keys(world: World) -> None:
    house, elsewhere = await world.organization(), await world.organization()
    admin = await world.member(house, Role.ADMIN)
    made = await key_of(world, admin, house, Scope.EVENTS_READ)
    wish = {"organizationId": whose(house), "name": "till", "scopes": ["EVENTS_READ"]}
    node = "query ($id: ID!) { node(id: $id) { __typename id } }"
    for other, code in (
        (world.guest(), "UNAUTHENTICATED"),
        (await world.person(), "FORBIDDEN"),
        (await world.member(house, Role.PROVIDER), "FORBIDDEN"),
        (await world.member(elsewhere, Role.ADMIN), "FORBIDDEN"),
    ):
        assert await world.code(CREATE, other, input=wish) == code
        assert await world.code(LIST, other, organization=whose(house)) == code
        refused = await world.data(REVOKE, other, input={"id": made["apiKey"]["id"]})
        assert refused["code"] == "NOT_FOUND"
        assert await world.data(node, other, id=made["apiKey"]["id"]) is None
    colleague = await world.member(house)
    assert await world.data(node, colleague, id=made["apiKey"]["id"])
    revoked = await world.data(REVOKE, colleague, input={"id": made["apiKey"]["id"]})
    again = await world.data(REVOKE, colleague, input={"id": made["apiKey"]["id"], "idempotencyKey": "k"})
    assert revoked["revokedAt"] == again["revokedAt"]
    types = [row["type"] for row in await world.tables.fetch("SELECT type FROM event ORDER BY id")]
    assert types == ["api_key.created", "api_key.revoked"]


async def test_keys_are_listed_page_by_page_the_newest_first(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = [(await key_of(world, staff, house, Scope.EVENTS_READ))["apiKey"]["id"] for _ in range(3)]
    first = await world.data(LIST, staff, organization=whose(house), first=2)
    rest = await world.data(
        LIST, staff, organization=whose(house), first=2, after=first["pageInfo"]["endCursor"]
    )
    assert [node["id"] for node in first["nodes"] + rest["nodes"]] == made[::-1]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)


# ------------------------------------------------------------------------------------- what it opens


def test_every_root_field_and_every_node_says_which_scope_it_needs() -> None:
    roots = {f"{kind.title()}.{name}" for kind, name in root_fields()}
    assert core.subscription_type is not None
    roots |= {f"Subscription.{name}" for name in core.subscription_type.fields}
    assert roots == set(ROOTS), "what is not said no key opens: say None, or which scope does"
    nodes = {
        name
        for name, type_ in core.type_map.items()
        if isinstance(type_, GraphQLObjectType) and any(i.name == "Node" for i in type_.interfaces)
    }
    assert nodes == set(NODES)


def test_an_account_and_its_keys_are_opened_by_no_scope() -> None:
    closed = {place for place, scope in ROOTS.items() if scope is None}
    assert {"Query.viewer", "Query.apiKeys"} < closed
    assert {f"Mutation.{name}" for name in ("login", "changePassword", "logout", "createApiKey")} < closed
    assert NODES["User"] is NODES["ApiKey"] is None


async def test_a_key_without_the_scope_gets_no_further_than_the_document(world: World) -> None:
    """Every root field, asked with a key that has every scope but the one it needs."""
    house = await world.organization()
    viewer = await bearer(world, await key_of(world, await world.member(house), house, Scope.AUTOMATION))
    assert viewer.grant is not None
    for kind, name in root_fields():
        place = f"{kind.title()}.{name}"
        needed = ROOTS[place]
        if needed is Scope.CATALOGUE_READ:
            continue
        lent = frozenset(
            scope for scope in Scope if not replace(viewer.grant, scopes=frozenset({scope})).covers(needed)
        )
        less = replace(viewer, grant=replace(viewer.grant, scopes=lent))
        prepared = world.executor.prepare(_least(kind, name))
        result = await world.executor.execute(prepared, None, world.context(less))
        assert "data" not in result, place
        error = result["errors"][0]
        assert error["extensions"] == {"code": "FORBIDDEN"} | ({"scope": needed} if needed else {}), place
        assert place in error["message"]


def _least(kind: str, name: str) -> str:
    root = {"query": core.query_type, "mutation": core.mutation_type}[kind]
    assert root is not None
    arguments = root.fields[name].args
    taken = ", ".join(f"${argument}: {given.type}" for argument, given in arguments.items())
    passed = ", ".join(f"{argument}: ${argument}" for argument in arguments)
    call = f"({taken}) {{ {name}({passed})" if arguments else f"{{ {name}"
    return f"{kind} {call} {{ __typename }} }}"


async def test_a_key_reads_what_its_scope_opens_and_nothing_through_it(world: World) -> None:
    trip = await world.departure()
    sold = await sell(world, trip.staff, await hold(world, trip.staff, trip.id, "A1"))
    reader = await bearer(world, await key_of(world, trip.staff, trip.organization, Scope.BOOKINGS_READ))
    other = await bearer(world, await key_of(world, trip.staff, trip.organization, Scope.EVENTS_READ))
    bookings = "{ bookings(first: 1) { nodes { id reference schedule { id } } } }"
    assert (await world.data(bookings, reader))["nodes"][0]["id"] == sold["id"]
    assert await world.code(bookings, other) == "FORBIDDEN"
    node = "query ($id: ID!) { node(id: $id) { __typename id } }"
    assert await world.data(node, reader, id=sold["id"]) == {"__typename": "Booking", "id": sold["id"]}
    assert await world.data(node, other, id=sold["id"]) is None
    assert await world.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", other, ids=[sold["id"]]) == [
        None
    ]
    for document in (
        "query ($id: ID!) { node(id: $id) { ... on Booking { reference } } }",
        "query ($id: ID!) { node(id: $id) { ...on_booking } } fragment on_booking on Booking { reference }",
        "query ($id: ID!) { node(id: $id) { ... on Schedule { id ... on Node { ... on Booking { id } } } } }",
    ):
        assert await world.code(document, other, id=sold["id"]) == "FORBIDDEN", document
    watch = "subscription { bookings { __typename } }"
    async with world.watching(watch, other) as refused:
        assert await refused.code() == "FORBIDDEN"
    async with world.watching(watch, reader) as watching:
        assert (await watching.next())["__typename"] == "BookingSnapshot"


async def test_a_scope_to_write_brings_the_one_to_read(world: World) -> None:
    trip = await world.departure()
    made = await key_of(world, trip.staff, trip.organization, Scope.BOOKINGS_WRITE)
    viewer = await bearer(world, made)
    held = await hold(world, viewer, trip.id, "A1")
    assert (await sell(world, viewer, held))["reference"]
    assert await world.code("{ events(first: 1) { nodes { id } } }", viewer) == "FORBIDDEN"


async def test_a_key_is_staff_of_its_own_organization_alone(world: World) -> None:
    here, there = await world.departure(), await world.departure()
    async with world.app.database.begin(None) as tx:
        assert here.staff.user_id is not None
        await tx.accounts.join(here.staff.user_id, there.organization.id, Role.ADMIN)
    scopes = Scope.BOOKINGS_READ, Scope.CATALOGUE_WRITE
    viewer = await bearer(world, await key_of(world, here.staff, here.organization, *scopes))
    bookings = (
        "query ($id: ID) { bookings(first: 1, filter: {organizationId: $id}) { pageInfo { hasNextPage } } }"
    )
    block = """mutation ($input: BlockSeatsInput!) { blockSeats(input: $input) { __typename } }"""
    for trip, may in ((here, True), (there, False)):
        asked = {"scheduleId": trip.id, "labels": ["A1"], "blocked": True}
        for result in (
            await world.run(bookings, viewer, id=whose(trip.organization)),
            await world.run(block, viewer, input=asked),
        ):
            refused = (
                "errors" in result or result["data"].get("blockSeats", {}).get("__typename") == "NotFound"
            )
            assert refused is not may, result


# ------------------------------------------------------------------------------------ how it ends


async def test_what_is_no_key_or_ended_is_refused_without_saying_why(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = await key_of(world, staff, house, Scope.EVENTS_READ)
    key = made["key"]
    said = set()
    for text in (
        key[:-1], key + "A", key.swapcase(), key[:-1] + ("A" if key[-1] != "A" else "B"), "hf_", "hf_x_y",
        f"hf_{'0' * 12}_{key[-43:]}", "hf_" + "a" * 100_000, "hf_å_\0", key.upper(),
    ):  # fmt: skip
        with pytest.raises(Unauthenticated) as refusal:
            await world.app.identity.authenticate(f"Bearer {text}", "192.0.2.1", "r")
        said.add(str(refusal.value))
    assert len(said) == 2  # an access token is told from a key by how it begins
    assert (await bearer(world, made)).user_id == staff.user_id


async def test_a_revoked_key_is_refused_at_once_and_its_watchers_are_told(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = await key_of(world, staff, house, Scope.EVENTS_READ)
    viewer = await bearer(world, made)
    assert viewer.session_id is not None
    told: list[bool] = []
    world.app.identity.ended.watch(viewer.session_id, lambda: told.append(True))
    await world.data(REVOKE, staff, input={"id": made["apiKey"]["id"]})
    assert told
    with pytest.raises(Unauthenticated):
        await bearer(world, made)


async def test_a_key_ends_when_it_runs_out(world: World) -> None:
    house = await world.organization()
    ends = datetime.now(UTC) + timedelta(hours=1)
    made = await key_of(
        world, await world.member(house), house, Scope.EVENTS_READ, expiresAt=ends.isoformat()
    )
    assert (await bearer(world, made)).expires_at is not None
    await world.tables.execute("UPDATE api_key SET expires_at = now()")
    with pytest.raises(Unauthenticated):
        await bearer(world, made, KnownKeys(world.app.database.begin, world.app.identity.ended))


async def test_a_key_ends_when_its_creator_is_staff_no_more(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = await key_of(world, staff, house, Scope.EVENTS_READ)
    now = 0.0
    keys = KnownKeys(world.app.database.begin, world.app.identity.ended, lambda: now)
    assert await bearer(world, made, keys)
    for change in ("UPDATE membership SET role = 'PROVIDER'", "DELETE FROM membership"):
        await world.tables.execute(f"{change} WHERE account_id = $1", staff.user_id)
        now += FRESH.total_seconds()
        with pytest.raises(Unauthenticated):
            await bearer(world, made, keys)


async def test_a_key_is_looked_up_once_and_its_uses_are_written_down_together(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = await key_of(world, staff, house, Scope.EVENTS_READ)
    keys = KnownKeys(world.app.database.begin, world.app.identity.ended, lambda: 0.0)
    await bearer(world, made, keys)
    await world.tables.execute("ALTER TABLE api_key RENAME TO away")  # a second look would fail
    for _ in range(100):
        await bearer(world, made, keys)
    await world.tables.execute("ALTER TABLE away RENAME TO api_key")

    async def used() -> str | None:
        told: str | None = (await world.data(LIST, staff, organization=whose(house)))["nodes"][0][
            "lastUsedAt"
        ]
        return told

    assert await used() is None
    await keys.note_uses()
    noted = await used()
    assert noted is not None
    await keys.note_uses()
    assert await used() == noted


async def test_the_log_names_no_key(world: World) -> None:
    house = await world.organization()
    staff = await world.member(house)
    made = await key_of(world, staff, house, Scope.WEBHOOKS)
    events = "{ events(first: 10) { nodes { type subjectId data } } }"
    (node,) = (await world.data(events, staff))["nodes"]
    assert node == {
        "type": "api_key.created",
        "subjectId": made["apiKey"]["id"],
        "data": {"scopes": ["WEBHOOKS"]},
    }
    assert decode(node["subjectId"], "ApiKey")[1].__class__ is UUID
