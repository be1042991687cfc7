"""Webhooks through GraphQL: made, listed, changed, paged, and refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domain.ids import new_id
from domain.scopes import Grant, Scope
from domain.viewer import Viewer
from schema.ids import encode
from tests.graphql.automating import Automating
from tests.graphql.statements import counted
from tests.world import Departure, World

SAVED = """... on WebhookEndpointSaved {
  secret endpoint { id url types status older organizationId jobId failingSince }
} ... on Refusal { code path }"""
CREATE = f"mutation ($input: WebhookEndpointInput!) {{ createWebhookEndpoint(input: $input) {{ {SAVED} }} }}"
UPDATE = (
    f"mutation ($input: UpdateWebhookEndpointInput!) {{ updateWebhookEndpoint(input: $input) {{ {SAVED} }} }}"
)
DELETE = f"mutation ($input: IdInput!) {{ deleteWebhookEndpoint(input: $input) {{ {SAVED} }} }}"
ROTATE = f"mutation ($input: IdInput!) {{ rotateWebhookSecret(input: $input) {{ {SAVED} }} }}"
REPLAY = f"mutation ($input: ReplayEventsInput!) {{ replayEvents(input: $input) {{ {SAVED} }} }}"
ALL = "{ webhookEndpoints { id } }"
ALL_WITH_DELIVERIES = "{ webhookEndpoints { id deliveries(first: 2) { nodes { id } } } }"
DELIVERIES = """query ($id: ID!, $after: String, $status: DeliveryStatus) { node(id: $id) { ... on WebhookEndpoint {
  deliveries(first: 2, after: $after, status: $status) {
    nodes { id status nextAttemptAt event { type } attempts { statusCode } }
    pageInfo { hasNextPage endCursor } } } } }"""
URL = "https://hooks.example/holdfast"


@pytest.fixture
async def departure(world: World) -> Departure:
    """Give an organization with something to sell."""
    return await world.departure()


def wish(departure: Departure | None = None, **more: Any) -> dict[str, Any]:
    owner = {"organizationId": encode("Organization", departure.organization.id)} if departure else {}
    return {"url": URL, "types": ["resource.*"], **owner, **more}


@pytest.mark.feature("S1.29", "S1.34")
async def test_a_secret_is_shown_once_and_again_to_the_same_request(
    world: World, departure: Departure
) -> None:
    staff, request = departure.staff, wish(departure, idempotencyKey="once")
    first = await world.data(CREATE, staff, input=request)
    assert first["secret"].startswith("whsec_")
    assert await world.data(CREATE, staff, input=request) == first
    id_ = first["endpoint"]["id"]
    assert await world.data(ALL, staff) == [{"id": id_}]
    changed = await world.data(UPDATE, staff, input={"id": id_, "paused": True, "types": ["*"]})
    assert changed["secret"] is None
    assert (changed["endpoint"]["status"], changed["endpoint"]["types"]) == ("PAUSED", ["*"])
    rotated = await world.data(ROTATE, staff, input={"id": id_})
    assert rotated["secret"] not in (None, first["secret"])
    assert (await world.data(DELETE, staff, input={"id": id_}))["endpoint"]["id"] == id_
    assert await world.data(ALL, staff) == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"url": "https://user:word@hooks.example/"}, None),
        ({"url": "https://hooks.example/#part"}, ["url"]),
        ({"types": []}, ["types"]),
        ({"types": ["no type"]}, ["types"]),
        ({"older": True}, ["types"]),
    ],
)
async def test_what_is_wrong_is_named(world: World, more: dict[str, Any], path: list[str] | None) -> None:
    result = await world.run(CREATE, await world.person(), input=wish(**more))
    if path is None:
        assert result["errors"]
    else:
        assert result["data"]["createWebhookEndpoint"] == {"code": "INVALID_INPUT", "path": path}


async def test_deliveries_are_paged_the_newest_first(world: World, departure: Departure) -> None:
    saved = await world.data(CREATE, departure.staff, input=wish(departure))
    for _ in range(3):
        await world.resource(departure.organization, departure.staff)
    async with world.app.database.begin(None) as tx:
        await tx.webhooks.tell(100, behind=True)
    id_ = saved["endpoint"]["id"]
    first = (await world.data(DELIVERIES, departure.staff, id=id_))["deliveries"]
    assert [node["event"]["type"] for node in first["nodes"]] == ["resource.saved"] * 2
    assert {node["status"] for node in first["nodes"]} == {"PENDING"}
    after = first["pageInfo"]["endCursor"]
    second = (await world.data(DELIVERIES, departure.staff, id=id_, after=after))["deliveries"]
    assert len(second["nodes"]) == 1
    assert not second["pageInfo"]["hasNextPage"]
    ids = [node["id"] for node in (*first["nodes"], *second["nodes"])]
    assert len(set(ids)) == 3
    dead = (await world.data(DELIVERIES, departure.staff, id=id_, status="DEAD"))["deliveries"]
    assert dead["nodes"] == []


async def test_the_newest_deliveries_of_many_endpoints_cost_the_statements_of_one(
    world: World, departure: Departure
) -> None:
    saved = [await world.data(CREATE, departure.staff, input=wish(departure)) for _ in range(3)]
    for _ in range(4):
        await world.resource(departure.organization, departure.staff)
    async with world.app.database.begin(None) as tx:
        await tx.webhooks.tell(100, behind=True)
    one = saved[0]["endpoint"]["id"]
    whole = (await world.data(DELIVERIES, departure.staff, id=one))["deliveries"]["nodes"]
    ran = await counted(world)
    listed = await world.data(ALL_WITH_DELIVERIES, departure.staff)
    assert len(ran) == 2, "one for the endpoints, one for what all were sent"
    assert {each["id"]: len(each["deliveries"]["nodes"]) for each in listed} == dict.fromkeys(
        (each["endpoint"]["id"] for each in saved), 2
    )
    ids = {each["id"]: [node["id"] for node in each["deliveries"]["nodes"]] for each in listed}
    assert ids[one] == [node["id"] for node in whole]
    assert len({id_ for each in ids.values() for id_ in each}) == 6


async def test_who_looks_at_an_endpoint_waits_for_nobody_who_changes_it(
    world: World, departure: Departure
) -> None:
    id_ = (await world.data(CREATE, departure.staff, input=wish(departure)))["endpoint"]["id"]
    async with world.tables.acquire() as another, another.transaction():
        await another.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await another.execute("SELECT FROM webhook_endpoint FOR UPDATE")
        found = await world.data(DELIVERIES, departure.staff, id=id_)
        assert found == {"deliveries": {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}


async def test_of_a_deleted_endpoint_there_are_no_deliveries(world: World, departure: Departure) -> None:
    id_ = (await world.data(CREATE, departure.staff, input=wish(departure)))["endpoint"]["id"]
    deleted = DELETE.replace("endpoint { id", "endpoint { deliveries(first: 2) { nodes { id } } id")
    gone = await world.data(deleted, departure.staff, input={"id": id_})
    assert (gone["endpoint"]["id"], gone["endpoint"]["deliveries"]) == (id_, {"nodes": []})
    assert await world.data(ALL, departure.staff) == []


async def test_a_replay_needs_a_cursor_of_this_log(world: World, departure: Departure) -> None:
    saved = await world.data(CREATE, departure.staff, input=wish(departure))
    request = {"endpointId": saved["endpoint"]["id"], "after": "bm9uZQ"}
    assert await world.data(REPLAY, departure.staff, input=request) == {
        "code": "INVALID_INPUT",
        "path": ["after"],
    }
    events = "{ events(first: 1) { nodes { cursor } } }"
    cursor = (await world.data(events, departure.staff))["nodes"][0]["cursor"]
    replayed = await world.data(REPLAY, departure.staff, input=request | {"after": cursor})
    assert replayed["endpoint"]["id"] == request["endpointId"]


async def test_a_key_reaches_its_organizations_endpoints_alone(world: World, departure: Departure) -> None:
    staff = departure.staff
    ours = await world.data(CREATE, staff, input=wish(departure))
    own = await world.data(CREATE, staff, input=wish())
    assert len(await world.data(ALL, staff)) == 2
    grant = Grant(new_id(), departure.organization.id, frozenset({Scope.WEBHOOKS}))
    program = replace(staff, grant=grant)
    assert await world.data(ALL, program) == [{"id": ours["endpoint"]["id"]}]
    refused = await world.data(ROTATE, program, input={"id": own["endpoint"]["id"]})
    assert refused["code"] == "NOT_FOUND"
    assert (await world.data(CREATE, program, input=wish()))["code"] == "INVALID_INPUT"


async def test_a_key_reaches_a_jobs_endpoint_only_if_it_lends_jobs(automating: Automating) -> None:
    world, owner = automating.world, automating.owner
    await automating.start(webhook_url="https://hooks.example/job")
    id_ = (await world.data(ALL, owner))[0]["id"]
    hear = {"id": id_, "types": ["automation.qr_code"], "url": "https://elsewhere.example/"}

    def program(*scopes: Scope) -> Viewer:
        return replace(owner, grant=Grant(new_id(), automating.organization_id, frozenset(scopes)))

    without = program(Scope.WEBHOOKS, Scope.EVENTS_READ)
    assert await world.data(ALL, without) == []
    for document, wanted in ((UPDATE, hear), (ROTATE, {"id": id_})):
        assert (await world.data(document, without, input=wanted))["code"] == "NOT_FOUND"
    changed = await world.data(UPDATE, program(Scope.WEBHOOKS, Scope.AUTOMATION), input=hear)
    assert changed["endpoint"]["id"] == id_


async def test_fifty_endpoints_are_fifty_however_many_are_made_at_once(world: World) -> None:
    anna = await world.person()
    made = await asyncio.gather(*(world.data(CREATE, anna, input=wish()) for _ in range(60)))
    assert sum("endpoint" in each for each in made) == 50
    assert len(await world.data(ALL, anna)) == 50
