"""A caller never sees another's reservation, booking, contact or session: every field of every type, tried.

The documents are made from the schema: each root field is asked for everything it can lead to. A root field that
the table of attempts does not have fails the test, and so does a field added later that tells a secret.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
)

from domain.access import Role
from domain.api_keys import KeyWish
from domain.catalogue import Organization
from domain.endpoints import EndpointWish
from domain.ids import new_id
from domain.jobs import Artifact, ArtifactKind, AutomationFailure
from domain.scopes import Scope
from domain.viewer import Viewer
from schema.documents import DocumentLimits
from schema.executor import Executor
from schema.ids import decode, encode, encode_cursor
from schema.root import schema
from tests.graphql.automating import PNG, PORTAL_URL, Automating, animated
from tests.world import World, new_world

pytestmark = pytest.mark.feature("S0.6", "S3.45")

Json = dict[str, Any]
core = schema._schema
PERSONAL = (
    "Reservation", "Booking", "Contact", "User", "Membership", "Event", "ApiKey", "WebhookEndpoint",
    "AutomationJob", "AutomationStep", "AutomationOutcome", "Artifact", "QrCode", "Delivery", "DeliveryAttempt",
)  # fmt: skip
MUCH = 1_000_000
LIMITS = DocumentLimits(
    characters=MUCH, tokens=MUCH, depth=100, aliases=MUCH, selections=MUCH, repeats=MUCH, cost=10**9
)
EXECUTOR = Executor(schema, LIMITS, suggestions=True)


# ------------------------------------------------------------------ documents, made from the schema


def everything(kind: str, name: str) -> str:
    """A document that asks one root field for all that it can lead to, each answer named Type_field."""
    root = {"query": core.query_type, "mutation": core.mutation_type, "subscription": core.subscription_type}[
        kind
    ]
    assert root is not None
    there = root.fields[name]
    taken = ", ".join(f"${argument}: {given.type}" for argument, given in there.args.items())
    passed = ", ".join(f"{argument}: ${argument}" for argument in there.args)
    call = f"{name}({passed})" if passed else name
    return f"{kind}{f' ({taken})' if taken else ''} {{ {call} {_selection(get_named_type(there.type), ())} }}"


def _selection(type_: GraphQLNamedType, above: Sequence[str]) -> str:
    if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
        members = [member for member in core.get_possible_types(type_) if member.name not in above]
        return "{ __typename " + " ".join(f"... on {m.name} {_selection(m, above)}" for m in members) + " }"
    if not isinstance(type_, GraphQLObjectType):
        return ""
    asked = [_asked(type_.name, name, there, (*above, type_.name)) for name, there in type_.fields.items()]
    return "{ __typename " + " ".join(filter(None, asked)) + " }"


def _asked(type_name: str, name: str, there: GraphQLField, above: Sequence[str]) -> str:
    inner = get_named_type(there.type)
    if inner.name in above:
        return ""
    page = "(first: 100)" if "first" in there.args else ""
    return f"{type_name}_{name}: {name}{page} {_selection(inner, above)}"


def root_fields() -> Iterator[tuple[str, str]]:
    for kind, root in ("query", core.query_type), ("mutation", core.mutation_type):
        assert root is not None
        yield from ((kind, name) for name in root.fields)


def named(value: object) -> Iterator[str]:
    """The Type_field names in an answer that hold something."""
    match value:
        case dict():
            for key, inner in value.items():
                if inner is not None and "_" in key:
                    yield key
                yield from named(inner)
        case list():
            for inner in value:
                yield from named(inner)


# ------------------------------------------------------------------ who has what


@dataclass
class Case:
    """Somebody with an account and a guest, each with a reservation and a booking; and everybody else."""

    world: World
    schedule: str
    organization: str
    resource: str
    offering: str
    astrid: Viewer
    staff: Viewer
    admin: Viewer
    provider: Viewer
    api_key: str
    endpoint: str
    delivery: str
    strangers: dict[str, Viewer]
    reservations: list[str] = field(default_factory=list)
    bookings: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    portal: str = ""
    jobs: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def users(self) -> list[str]:
        return [_user(self.astrid), _user(self.staff)]

    async def events(self) -> list[str]:
        rows = await self.world.tables.fetch(
            "SELECT id, xid::text::bigint AS xid FROM event WHERE organization_id = $1",
            decode(self.organization)[1],
        )
        return [_event(row["xid"], row["id"]) for row in rows]

    async def run(self, kind: str, name: str, viewer: Viewer, variables: Json) -> Json:
        prepared = EXECUTOR.prepare(everything(kind, name))
        return await EXECUTOR.execute(prepared, variables, self.world.context(viewer))


def _user(viewer: Viewer) -> str:
    assert viewer.user_id is not None
    return encode("User", viewer.user_id)


def _event(xid: int, id_: int) -> str:
    return encode("Event", UUID(int=xid << 64 | id_))


RESERVE = """mutation ($input: ReserveInput!) { reserve(input: $input) {
  ... on Reservation { id token } ... on Refusal { message } } }"""
BOOK = """mutation ($input: BookInput!) { book(input: $input) {
  ... on Booking { id reference } ... on Refusal { message } } }"""
EXTEND = """mutation ($input: ExtendReservationInput!) { extendReservation(input: $input) {
  ... on Reservation { id } ... on Refusal { message } } }"""


async def hold(world: World, viewer: Viewer, schedule: str, label: str, contact: Json | None = None) -> Json:
    target = {"seats": {"scheduleId": schedule, "labels": [label]}}
    held: Json = await world.data(RESERVE, viewer, input={"target": target, "contact": contact})
    assert "id" in held, held
    return held


async def sell(world: World, viewer: Viewer, held: Json, contact: Json | None = None) -> Json:
    request = {"reservationId": held["id"], "token": held["token"], "contact": contact}
    sold: Json = await world.data(BOOK, viewer, input=request)
    assert "id" in sold, sold
    return sold


@pytest.fixture
async def world(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """Give a world with a portal."""
    async with new_world(data_dir, database_url, demo_portal_url=PORTAL_URL) as made:
        yield made


@pytest.fixture
async def case(world: World) -> Case:
    organization, elsewhere = await world.organization(), await world.organization("Norrsken Lab")
    staff, admin = await world.member(organization), await world.member(organization, Role.ADMIN)
    provider, other_provider = [await world.member(organization, Role.PROVIDER) for _ in range(2)]
    resource = await world.resource(organization, staff, provider_id=provider.user_id)
    other_resource = await world.resource(organization, staff, provider_id=other_provider.user_id)
    offering = await world.offering(organization, staff)
    start = (datetime.now(UTC) + timedelta(days=7)).replace(tzinfo=None, microsecond=0)
    (schedule,) = await world.open(staff, offering, resource, [start])
    (other_schedule,) = await world.open(staff, offering, other_resource, [start])
    astrid = await world.person("astrid")
    case = Case(
        world=world,
        schedule=encode("Schedule", schedule),
        organization=encode("Organization", organization.id),
        resource=encode("Resource", resource.id),
        offering=encode("Offering", offering.id),
        astrid=astrid,
        staff=staff,
        admin=admin,
        provider=provider,
        api_key=await _api_key(world, staff, organization),
        endpoint=(endpoint := await _endpoint(world, staff, organization)),
        delivery=await _delivery(world, endpoint),
        strangers={
            "guest": world.guest("198.51.100.7"),
            "another account": await world.person("bertil"),
            "staff elsewhere": await world.member(elsewhere),
            "admin elsewhere": await world.member(elsewhere, Role.ADMIN),
            "provider elsewhere": await world.member(elsewhere, Role.PROVIDER),
            "provider of another resource": other_provider,
        },
    )
    await world.tables.execute("UPDATE account SET phone = '+46 70 111 22 33' WHERE id = $1", astrid.user_id)
    await _customer(case, astrid, "A", "Astrid Contact", "astrid-contact@secret.example", "+46 8 123 456")
    await _customer(case, world.guest(), "B", "Gunnar Guest", "gunnar@secret.example", "+46 8 654 321")
    for (
        name,
        stranger,
    ) in case.strangers.items():  # what is theirs must come back, or seeing nothing shows nothing
        label = f"{'CDEFGH'[list(case.strangers).index(name)]}1"
        mine = await hold(world, stranger, encode("Schedule", other_schedule), label)
        await sell(world, stranger, mine, {"email": "stranger@test.example"})
    account = await world.tables.fetchrow("SELECT * FROM account WHERE id = $1", astrid.user_id)
    assert account is not None
    prefix = await world.tables.fetchval(
        "UPDATE api_key SET expires_at = now() + interval '1 day', last_used_at = now() RETURNING prefix"
    )
    case.secrets |= {
        "the endpoint": case.endpoint,
        "its URL": "hooks.secret.example",
        "a delivery": case.delivery,
    }
    case.secrets |= {"the key": case.api_key, "the key's prefix": prefix, "the key's name": "A till of ours"}
    await _jobs(case)
    case.secrets |= {
        "Astrid's address": account["email"],
        "Astrid's name": account["name"],
        "Astrid's phone": account["phone"],
        "Astrid's id": _user(astrid),
    }
    return case


async def _api_key(world: World, staff: Viewer, organization: Organization) -> str:
    wish = KeyWish(organization.id, "A till of ours", [Scope.BOOKINGS_READ])
    return encode("ApiKey", (await world.app.services.api_keys.create(staff, wish)).id)


async def _jobs(case: Case) -> None:
    """Astrid's, and one that became a booking of Carola's, with her contact; staff here are staff of the portal, too.

    The worker goes home in the end, so that nobody starts another.
    """
    automating = await Automating.of(case.world)
    async with case.world.app.database.begin(None) as tx:
        for viewer in case.staff, case.admin:
            assert viewer.user_id is not None
            await tx.accounts.join(viewer.user_id, automating.organization_id, Role.STAFF)
    case.portal = automating.portal_organization
    carola = await case.world.person("carola")
    completed = await automating.waiting(carola, reference="order 1138")
    await completed.complete("NUMBER-4711")
    failed = await automating.waiting(case.astrid, subject="Astrid's neighbour", reference="order 1139")
    assert failed.lease is not None
    kept = Artifact(new_id(), failed.id, ArtifactKind.SCREENSHOT, datetime.now(UTC))
    await failed.automation.keep(failed.lease, [kept])
    await failed.fail(AutomationFailure.PORTAL_CHANGED)
    waiting = await automating.waiting(case.astrid, config={"places": ["Astrid's village"]})
    await waiting.show(1)
    queued = await automating.start(case.astrid, subject="Astrid's sister")
    await case.world.tables.execute("DELETE FROM automation_worker")
    running = (completed, failed, waiting, queued)
    case.jobs += [each.gid for each in running]
    booking = await case.world.tables.fetchval(
        "SELECT booking_id FROM automation_job WHERE id = $1", completed.id
    )
    case.secrets |= {f"job {number}": each.gid for number, each in enumerate(running)}
    case.secrets |= {f"job {number}, raw": str(each.id) for number, each in enumerate(running)}
    case.secrets |= {
        "the code": animated(1),
        "the code's picture": b64encode(PNG).decode(),
        "the code's link": "bankid:///?x=1",
        "the portal's number": "NUMBER-4711",
        "for whom a job is": "Astrid's neighbour",
        "a job's reference": "order 1138",
        "another job's reference": "order 1139",
        "a job's config": "Astrid's village",
        "what was kept of a job": str(kept.id),
        "a job's booking": encode("Booking", booking),
    }


async def _endpoint(world: World, staff: Viewer, organization: Organization) -> str:
    wish = EndpointWish(organization.id, "https://hooks.secret.example/ours", ["*"])
    saved = await world.app.services.endpoints.create(staff, wish)
    await world.tables.execute("UPDATE webhook_endpoint SET failing_since = now()")
    return encode("WebhookEndpoint", saved.id)


async def _delivery(world: World, endpoint: str) -> str:
    """The delivery of some event of the organization, tried twice."""
    tried = [{"at": "2026-11-01T12:00:00+00:00", "ms": 1, "status": 500, "error": "broken"}] * 2
    number = await world.tables.fetchval(
        "INSERT INTO webhook_delivery (endpoint_id, stream_id, version, status, due_at, attempts)"
        " SELECT $1, stream_id, version, 'RETRYING', now() + interval '1 h', $2"
        " FROM event WHERE organization_id IS NOT NULL LIMIT 1 RETURNING id",
        decode(endpoint)[1],
        tried,
    )
    return encode("Delivery", UUID(int=number))


async def _customer(case: Case, viewer: Viewer, row: str, name: str, email: str, phone: str) -> None:
    contact = {"name": name, "email": email, "phone": phone}
    held = await hold(case.world, viewer, case.schedule, f"{row}1", contact)
    sold = await sell(case.world, viewer, await hold(case.world, viewer, case.schedule, f"{row}2", contact))
    case.reservations.append(held["id"])
    case.bookings.append(sold["id"])
    case.references.append(sold["reference"])
    if held["token"]:
        case.tokens[held["id"]] = held["token"]
        case.secrets["the guest's token"] = held["token"]
    case.secrets |= {
        f"{name}'s name": name,
        f"{name}'s address": email,
        f"{name}'s phone": phone,
        f"{name}'s reservation": held["id"],
        f"{name}'s reservation, raw": str(decode(held["id"])[1]),
        f"{name}'s booking": sold["id"],
        f"{name}'s booking, raw": str(decode(sold["id"])[1]),
        f"{name}'s reference": sold["reference"],
    }


# ------------------------------------------------------------------ the table of attempts


async def attempts(case: Case) -> dict[str, list[Json]]:
    """What to try on each root field; a list of variables, ids and tokens of others among them."""
    events, wrong = await case.events(), "not-a-token"
    own = (*case.reservations, *case.bookings, *case.users, *case.jobs)
    everything_ = [*own, *events, case.api_key, case.endpoint, case.delivery]
    of_reservation = [
        {"id": id_, "token": token}
        for id_ in (*case.reservations, *case.bookings, "", "x", "'; DROP TABLE reservation; --", "\0")
        for token in (None, "", wrong, "\0", "ü", case.reservations[0])
    ]
    email, reference = "bertil@test.example", case.references
    whose = {"organizationId": case.organization}
    layout = {"rows": 1, "columns": 1}
    price = {"amount": "1", "currency": "INR"}
    page = {"first": 100}
    return {
        "node": [{"id": id_} for id_ in (*everything_, case.schedule, case.resource, case.organization)],
        "nodes": [{"ids": everything_[:100]}],
        "viewer": [{}],
        "server": [{}],
        "organizations": [page],
        "offerings": [page, page | whose],
        "resources": [page, page | whose],
        "schedules": [page | {"search": {}}, page | {"search": whose}],
        "schedule": [{"id": id_} for id_ in (case.schedule, *case.reservations)],
        "reservation": of_reservation,
        "reservations": [page, page | whose, page | {"status": "CONVERTED"}],
        "booking": [{"id": id_} for id_ in (*case.bookings, *case.reservations, "", "x", "\0")],
        "bookingByReference": [
            {"reference": each, "email": tried}
            for each in (*reference, "", "x", "\0")
            for tried in (email, "", "%", "\0", "' OR 1=1 --")
        ],
        "bookings": [
            page, page | {"filter": whose}, page | {"filter": {"organizationId": case.portal}},
            page | {"filter": {"status": ["CONFIRMED", "CANCELLED"]}},
        ],
        "portals": [{}],
        "automationJob": [{"id": id_} for id_ in (*case.jobs, *case.bookings, "", "x", "\0")],
        "automationJobs": [page, page | {"organizationId": case.portal}, page | {"status": ["QR_WAITING"]}],
        "startAutomationJob": [{"input": {"portalKey": "demo", "config": {}, "reference": "order 1138"}}],
        "stopAutomationJob": [{"input": {"id": id_}} for id_ in (*case.jobs, *case.bookings, "", "x")],
        "switchPortal": [{"input": {"portalKey": "demo", "enabled": False}}],
        "events": [
            page,
            page | {"filter": whose},
            page | {"filter": {"organizationId": case.portal}},
            *(page | {"filter": {"subjectId": id_}} for id_ in (*everything_, case.schedule)),
        ],
        "apiKeys": [page | whose],
        "createApiKey": [{"input": whose | {"name": "x", "scopes": ["BOOKINGS_READ"]}}],
        "revokeApiKey": [{"input": {"id": case.api_key}}],
        "webhookEndpoints": [{}],
        "createWebhookEndpoint": [{"input": whose | {"url": "https://hooks.example/", "types": ["*"]}}],
        "updateWebhookEndpoint": [{"input": {"id": case.endpoint, "url": "https://hooks.example/"}}],
        "deleteWebhookEndpoint": [{"input": {"id": case.endpoint}}],
        "rotateWebhookSecret": [{"input": {"id": case.endpoint}}],
        "testWebhookEndpoint": [{"input": {"id": case.endpoint}}],
        "retryDelivery": [{"input": {"id": case.delivery}}],
        "replayEvents": [{"input": {"endpointId": case.endpoint, "after": encode_cursor(["log", "x", 0, 0])}}],
        "register": [{"input": {"email": case.secrets["Astrid's address"].upper(), "password": "short"}}],
        "login": [{"input": {"email": case.secrets["Astrid's address"], "password": "a wrong password"}}],
        "refreshSession": [{"input": {"refreshToken": token}} for token in (wrong, "", *case.tokens.values())],
        "logout": [{"input": {"refreshToken": token}} for token in (wrong, *case.tokens.values())],
        "changePassword": [{"input": {"currentPassword": "a wrong password", "newPassword": "x"}}],
        "reserve": [{"input": {"target": {"seats": {"scheduleId": case.schedule, "labels": ["A1", "B2"]}}}}],
        "extendReservation": [{"input": each} for each in of_reservation],
        "releaseReservation": [{"input": each} for each in of_reservation],
        "book": [
            {"input": {"reservationId": each["id"], "token": each["token"], "contact": {"email": email}}}
            for each in of_reservation
        ],
        "cancelBooking": [
            {"input": {"id": id_, "token": token}} for id_ in case.bookings for token in (None, wrong, "")
        ],
        "forceReleaseReservation": [{"input": {"id": id_, "reason": "mine"}} for id_ in case.reservations],
        "saveResource": [
            {"input": whose | {"id": id_, "kind": "ROOM", "name": "x", "timeZone": "UTC", "layout": layout}}
            for id_ in (case.resource, None)
        ],
        "saveOffering": [
            {"input": whose | {"id": id_, "name": "x", "mode": "SLOT", "price": price}} for id_ in (case.offering, None)
        ],
        "openSchedules": [
            {"input": {"offeringId": case.offering, "resourceId": case.resource, "localStarts": ["2027-01-01T00:00"],
                       "duration": "PT1H"}}
        ],
        "blockSeats": [{"input": {"scheduleId": case.schedule, "labels": ["J4"], "blocked": True}}],
    }  # fmt: skip


READS = {name for kind, name in root_fields() if kind == "query"}
OPEN = {"organizations", "offerings", "resources", "schedules", "schedule", "server", "portals"}
"""Queries that everybody may ask; they lead to nobody."""


async def test_every_root_field_is_in_the_table_of_attempts(case: Case) -> None:
    assert set(await attempts(case)) == {name for _, name in root_fields()}


STRANGERS = [
    "guest",
    "another account",
    "staff elsewhere",
    "admin elsewhere",
    "provider elsewhere",
    "provider of another resource",
]


@pytest.mark.feature("S1.30", "S2.25", "S2.32", "S3.22", "S3.28")
async def test_nobody_learns_or_changes_anything_of_others(case: Case) -> None:
    secrets = case.secrets | {
        f"event {number}": id_ for number, id_ in enumerate(await _private_events(case))
    }
    before = await _tables(case.world)
    table = await attempts(case)
    for who, stranger in case.strangers.items():
        for kind, name in root_fields():
            for variables in table[name]:
                result = await case.run(kind, name, stranger, variables)
                told = json.dumps(result.get("data", result), ensure_ascii=False)
                leaked = [what for what, secret in secrets.items() if secret in told]
                assert not leaked, f"{who} learns {leaked} from {name}({variables}): {told[:2_000]}"
                codes = {error["extensions"]["code"] for error in result.get("errors", ())}
                assert "INTERNAL" not in codes, f"{who}: {name}({variables})"
    assert await _tables(case.world) == before


async def _private_events(case: Case) -> list[str]:
    """The events of others' reservations and bookings, and of the schedule that the strangers have no part in."""
    rows = await case.world.tables.fetch(
        "SELECT id, xid::text::bigint AS xid FROM event WHERE stream_id = ANY ($1::uuid[])",
        [decode(id_)[1] for id_ in (case.schedule, *case.reservations, *case.bookings, *case.jobs)],
    )
    return [_event(row["xid"], row["id"]) for row in rows]


async def _tables(world: World) -> dict[str, list[str]]:
    """All that the trade keeps, word for word."""
    names = (
        "reservation",
        "booking",
        "allocation",
        "schedule",
        "resource",
        "offering",
        "event",
        "membership",
        "api_key",
        "webhook_endpoint",
        "webhook_delivery",
        "automation_job",
        "artifact",
        "portal",
    )
    return {
        name: [row[0] for row in await world.tables.fetch(f"SELECT t::text FROM {name} t ORDER BY 1")]
        for name in names
    }


async def test_others_ids_are_refused_as_if_there_were_nothing(case: Case) -> None:
    table = await attempts(case)
    for name in (
        "extendReservation",
        "releaseReservation",
        "book",
        "cancelBooking",
        "forceReleaseReservation",
        "stopAutomationJob",
    ):
        for stranger in case.strangers.values():
            for variables in table[name]:
                result = (await case.run("mutation", name, stranger, variables))["data"][name]
                assert result["__typename"] == "NotFound", f"{name}({variables}): {result}"
    guest = case.strangers["guest"]
    for name in ("reservations", "bookings", "events", "automationJobs"):
        for variables in table[name]:
            errors = (await case.run("query", name, guest, variables))["errors"]
            assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
    for who in set(STRANGERS) - {"guest", "provider of another resource"}:
        for name, variables in (
            ("reservations", {"organizationId": case.organization}),
            ("bookings", {"filter": {"organizationId": case.organization}}),
            ("events", {"filter": {"organizationId": case.organization}}),
            ("automationJobs", {"organizationId": case.portal}),
        ):
            errors = (await case.run("query", name, case.strangers[who], {"first": 1} | variables))["errors"]
            assert errors[0]["extensions"]["code"] == "FORBIDDEN", who


@pytest.mark.feature("S2.22", "S2.24", "S2.25", "S3.53", "S4.23", "S4.31")
async def test_who_may_see_it_sees_every_field(case: Case) -> None:
    seen: set[str] = set()
    shown: dict[str, str] = {}
    table = await attempts(case)
    with_token = [{"id": id_, "token": token} for id_, token in case.tokens.items()]
    by_mail = [{"reference": case.references[1], "email": "GUNNAR@secret.example"}]
    for who, viewer in {
        "owner": case.astrid,
        "staff": case.staff,
        "admin": case.admin,
        "guest": case.world.guest(),
    }.items():
        told = ""
        for name in READS - OPEN:
            tried = table[name]
            if who == "guest":
                tried = {"reservation": with_token, "bookingByReference": by_mail}.get(name, [])
            for variables in tried:
                result = await case.run("query", name, viewer, variables)
                seen |= set(named(result["data"]))
                told += json.dumps(result["data"], ensure_ascii=False)
        shown[who] = told
    names = "name", "address", "phone", "reservation", "booking", "reference"
    for name in names:
        assert case.secrets[f"Astrid Contact's {name}"] in shown["owner"]
        assert case.secrets[f"Gunnar Guest's {name}"] not in shown["owner"]
        for who in "staff", "admin":
            assert case.secrets[f"Astrid Contact's {name}"] in shown[who]
            assert case.secrets[f"Gunnar Guest's {name}"] in shown[who]
        assert case.secrets[f"Gunnar Guest's {name}"] in shown["guest"]
    for name in "name", "address", "phone":
        assert case.secrets[f"Astrid's {name}"] in shown["owner"]
        assert case.secrets[f"Astrid's {name}"] not in shown["staff"]
    _see_a_job_and_the_owner_its_code(case, shown)
    for who in shown:
        assert case.secrets["the guest's token"] not in shown[who]  # it is given once, to who reserved
    never = {"Booking_cancelledAt", "Reservation_token", "ApiKey_revokedAt", "WebhookEndpoint_jobId"}
    every = {f"{name}_{inner}" for name in PERSONAL for inner in _object(name).fields}
    assert every - seen <= never, "fields that no positive control reached"


def _see_a_job_and_the_owner_its_code(case: Case, shown: Mapping[str, str]) -> None:
    for what in "the code", "the code's picture", "the code's link":
        assert case.secrets[what] in shown["owner"]
        assert case.secrets[what] not in shown["staff"] + shown["admin"] + shown["guest"]
    for what in "job 1", "a job's config", "for whom a job is", "what was kept of a job":
        for who in "owner", "staff", "admin":
            assert case.secrets[what] in shown[who]
        assert case.secrets[what] not in shown["guest"]


def _object(name: str) -> GraphQLObjectType:
    type_ = core.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    return type_


@pytest.mark.feature("S2.23", "S3.53")
async def test_a_provider_sees_what_is_booked_with_them_and_no_reservation(case: Case) -> None:
    whose = {"organizationId": case.organization}
    booked = await case.run("query", "bookings", case.provider, {"first": 100, "filter": whose})
    nodes = booked["data"]["bookings"]["BookingConnection_nodes"]
    assert {node["Booking_id"] for node in nodes} == set(case.bookings)
    assert {node["Booking_contact"]["Contact_phone"] for node in nodes} == {"+46 8 123 456", "+46 8 654 321"}
    for id_ in case.bookings:
        found = await case.run("query", "node", case.provider, {"id": id_})
        assert found["data"]["node"]["Booking_id"] == id_
    refused = await case.run("query", "reservations", case.provider, {"first": 1} | whose)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for id_ in case.reservations:
        assert (await case.run("query", "node", case.provider, {"id": id_}))["data"]["node"] is None
    heard = await case.run("query", "events", case.provider, {"first": 100, "filter": whose})
    told = json.dumps(heard["data"])
    assert '"booking.confirmed"' in told
    assert '"reservation.created"' not in told
    assert _user(case.astrid) not in told, "a provider learns who holds a seat"
    other = case.strangers["provider of another resource"]
    booked = await case.run("query", "bookings", other, {"first": 100, "filter": whose})
    assert len(booked["data"]["bookings"]["BookingConnection_nodes"]) == len(case.strangers)


async def test_who_acted_is_told_to_staff_and_to_who_it_was(case: Case) -> None:
    query = "query ($filter: EventFilter) { events(first: 100, filter: $filter) { nodes { type actor } } }"
    world, whose = case.world, {"organizationId": case.organization}
    release = (
        "mutation ($input: ForceReleaseInput!) { forceReleaseReservation(input: $input) { __typename } }"
    )
    await world.data(release, case.staff, input={"id": case.reservations[0], "reason": "no show"})
    of_staff = (await world.data(query, case.staff, filter=whose))["nodes"]
    assert {"type": "reservation.released", "actor": _user(case.staff)} in of_staff
    assert {"type": "reservation.created", "actor": _user(case.astrid)} in of_staff
    of_owner = (await world.data(query, case.astrid))["nodes"]
    assert {"type": "reservation.released", "actor": "user"} in of_owner
    assert {"type": "reservation.created", "actor": _user(case.astrid)} in of_owner


async def test_a_token_opens_its_own_reservation_alone(case: Case) -> None:
    query = "query ($id: ID!, $token: String) { reservation(id: $id, token: $token) { id } }"
    ((id_, token),) = case.tokens.items()
    guest = case.strangers["guest"]
    assert await case.world.data(query, guest, id=id_, token=token) == {"id": id_}
    for wrong in (token[:-1], token + "A", token.swapcase(), f" {token}", token + "=", "", "\0", "å"):
        assert await case.world.data(query, guest, id=id_, token=wrong) is None, wrong
    assert await case.world.data(query, guest, id=case.reservations[0], token=token) is None
    as_booking = encode("Booking", decode(id_)[1])
    assert await case.world.data(query, guest, id=as_booking, token=token) is None


@pytest.mark.feature("S3.28", "S4.7")
async def test_a_seat_map_is_the_same_for_everybody_but_for_what_is_mine(case: Case) -> None:
    seen: dict[str, Json] = {}
    viewers = case.strangers | {"owner": case.astrid, "staff": case.staff, "provider": case.provider}
    for who, viewer in viewers.items():
        seen[who] = (await case.run("query", "schedule", viewer, {"id": case.schedule}))["data"]["schedule"]
    mine = {who: _take_mine(schedule) for who, schedule in seen.items()}
    assert mine.pop("owner") == ["A1", "A2"]
    assert set(map(tuple, mine.values())) == {()}
    assert all(schedule == seen["owner"] for schedule in seen.values())


def _take_mine(schedule: Json) -> list[str]:
    """Take ``mine`` out of a schedule's seats; the labels for which it was true."""
    seats = [dict(seat) for seat in schedule["Schedule_seats"]]  # of their own: responses share what is alike
    mine = [seat["SeatState_seat"]["Seat_label"] for seat in seats if seat.pop("SeatState_mine")]
    schedule["Schedule_seats"] = seats
    return mine


async def test_no_event_holds_a_name_an_address_a_number_or_a_token(case: Case) -> None:
    rows = await case.world.tables.fetch("SELECT data::text, e::text AS whole FROM event e")
    assert len(rows) > 20
    for name in "name", "address", "phone", "reference":
        for whose in "Astrid Contact", "Gunnar Guest":
            assert not [row for row in rows if case.secrets[f"{whose}'s {name}"] in row["whole"]]
    for what in "Astrid's name", "Astrid's address", "Astrid's phone", "the guest's token":
        assert not [row for row in rows if case.secrets[what] in row["whole"]]
    of_schedule = [row["data"] for row in rows if "changed" in row["data"]]
    assert of_schedule
    for data in of_schedule:
        assert set(json.loads(data)) == {"changed", "counts"}
        assert {key for seat in json.loads(data)["changed"] for key in seat} == {
            "label",
            "status",
            "heldUntil",
        }


# ------------------------------------------------------------------ streams


@asynccontextmanager
async def watching(
    case: Case, name: str, viewer: Viewer, variables: Json
) -> AsyncIterator[AsyncIterator[Json]]:
    prepared = EXECUTOR.prepare(everything("subscription", name))
    results = EXECUTOR.subscribe(prepared, variables, case.world.context(viewer))
    try:
        yield results
    finally:
        await results.aclose()


STREAMS: Mapping[str, Sequence[str]] = {
    "seatChanges": ("target",),
    "reservation": ("id",),
    "bookings": (),
    "automationJob": ("id",),
    "qrCodes": ("jobId",),
    "automationScreen": ("jobId", "perSecond"),
    "events": (),
}


def test_every_stream_is_tried() -> None:
    assert core.subscription_type is not None
    assert set(STREAMS) == set(core.subscription_type.fields)


async def test_a_stream_of_others_does_not_begin(case: Case) -> None:
    whose = {"organizationId": case.organization}
    for who, stranger in case.strangers.items():
        for id_ in case.reservations:
            assert await _refusal(case, "reservation", stranger, {"id": id_, "token": "x"}) == "NOT_FOUND"
        for id_ in case.jobs:
            assert await _refusal(case, "automationJob", stranger, {"id": id_}) == "NOT_FOUND"
            assert await _refusal(case, "qrCodes", stranger, {"jobId": id_}) == "NOT_FOUND"
            watched = {"jobId": id_, "perSecond": 1}
            assert await _refusal(case, "automationScreen", stranger, watched) == "NOT_FOUND"
        if who == "guest":
            for name in "bookings", "events":
                assert await _refusal(case, name, stranger, {}) == "UNAUTHENTICATED"
        elif who != "provider of another resource":
            assert await _refusal(case, "bookings", stranger, whose) == "FORBIDDEN"
            assert await _refusal(case, "events", stranger, {"filter": whose}) == "FORBIDDEN"


async def _refusal(case: Case, name: str, viewer: Viewer, variables: Json) -> str:
    async with watching(case, name, viewer, variables) as results:
        return str((await anext(results))["errors"][0]["extensions"]["code"])


@pytest.mark.feature("S3.28", "S2.23")
async def test_a_stream_tells_a_stranger_of_their_own_alone(case: Case) -> None:
    """Each hears, of all that happens on the schedule, first of what they did themselves."""
    world, whose = case.world, {"organizationId": case.organization}
    target = {"target": {"scheduleId": case.schedule}}
    for row, who in ("I", "another account"), ("J", "staff elsewhere"):
        stranger = case.strangers[who]
        for _ in range(2):  # the first reading may have begun before the last commit
            await world.app.feed.turn()
        cursor = (await world.data("{ server { cursor } }"))["cursor"]
        async with (
            watching(case, "bookings", stranger, {}) as bookings,
            watching(case, "events", stranger, {"after": cursor}) as events,
            watching(case, "seatChanges", stranger, target) as seats,
            watching(case, "bookings", case.staff, whose) as of_staff,
        ):
            told = [await anext(bookings), await anext(seats)]
            shown = (await anext(of_staff))["data"]["bookings"]["BookingSnapshot_bookings"]
            assert set(case.bookings) < {booking["Booking_id"] for booking in shown}
            other = await hold(world, case.astrid, case.schedule, f"{row}1")
            await sell(world, case.astrid, other)
            mine = await hold(world, stranger, case.schedule, f"{row}2")
            sold = await sell(world, stranger, mine, {"email": "stranger@test.example"})
            told += [await anext(events), await anext(bookings), await anext(seats)]
            assert told[2]["data"]["events"]["EventDelivered_event"]["Event_subjectId"] == mine["id"]
            assert told[3]["data"]["bookings"]["BookingChanged_booking"]["Booking_id"] == sold["id"]
            text = json.dumps(told, ensure_ascii=False)
            assert other["id"] not in text
            assert not [what for what, secret in case.secrets.items() if secret in text]


async def test_a_seat_stream_is_the_same_for_everybody_but_for_what_is_mine(case: Case) -> None:
    target = {"target": {"scheduleId": case.schedule}}
    after = None
    told: dict[str, Json] = {}
    for who, viewer in (case.strangers | {"owner": case.astrid, "staff": case.staff}).items():
        async with watching(case, "seatChanges", viewer, target | {"after": after}) as messages:
            snapshot = (await anext(messages))["data"]["seatChanges"]
            for schedule in snapshot["SeatSnapshot_schedules"]:
                assert bool(_take_mine(schedule)) == (who == "owner")
            told[who] = snapshot
    cursor = told["owner"]["SeatSnapshot_cursor"]
    for message in told.values():
        message.pop("SeatSnapshot_at")
    assert all(message == told["owner"] for message in told.values())
    await case.world.data(EXTEND, case.astrid, input={"id": case.reservations[0]})
    deltas = []
    for viewer in (*case.strangers.values(), case.astrid, case.staff):
        async with watching(case, "seatChanges", viewer, target | {"after": cursor}) as messages:
            deltas.append(await anext(messages))
    assert all(delta == deltas[0] for delta in deltas)
    assert not [what for what, secret in case.secrets.items() if secret in json.dumps(deltas[0])]
