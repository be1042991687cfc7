"""Jobs through GraphQL: started, listed, stopped, completed into a booking; and for whom each part of one is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.statements import Counting
from domain.access import Role
from domain.ids import new_id
from domain.jobs import Advance, Artifact, ArtifactKind, AutomationFailure, AutomationStatus
from domain.viewer import Viewer
from schema.ids import decode, encode
from tests.graphql.automating import SLOT, Automating, animated
from tests.world import World

Json = dict[str, Any]
S = AutomationStatus

PARTS = """
  id status message progress attempt config createdAt startedAt finishedAt failure version subject reference
  queuePlace portal { key name enabled } steps { status message at }
  qrCode { frame text imageDataUrl autostartUrl expiresAt }
  result { bookingId examDate examTime location booking { id status externalReference reference } }
  artifacts { kind url takenAt }
"""
REFUSED = "... on Refusal { code message path }"
START = f"""mutation ($input: AutomationStartInput!) {{
  startAutomationJob(input: $input) {{ __typename ... on AutomationJob {{ {PARTS} }} {REFUSED} }} }}"""
STOP = f"""mutation ($input: StopAutomationInput!) {{
  stopAutomationJob(input: $input) {{ __typename ... on AutomationJob {{ {PARTS} }} {REFUSED} }} }}"""
SWITCH = f"""mutation ($input: SwitchPortalInput!) {{
  switchPortal(input: $input) {{ __typename ... on Portal {{ key enabled }} {REFUSED} }} }}"""
JOB = f"query ($id: ID!) {{ automationJob(id: $id) {{ {PARTS} }} }}"
JOBS = f"""
query ($first: Int!, $after: String, $status: [AutomationStatus!], $organizationId: ID) {{
  automationJobs(first: $first, after: $after, status: $status, organizationId: $organizationId) {{
    nodes {{ {PARTS} }} edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""
BOOKINGS = "{ bookings(first: 10) { nodes { id externalReference automationJob { id status } } } }"
WISH = {"portalKey": "demo", "config": {"places": ["Uppsala", "Gävle"]}}


async def look(automating: Automating, gid: str, viewer: Viewer | None = None) -> Any:
    return await automating.world.data(JOB, viewer or automating.owner, id=gid)


# ------------------------------------------------------------------ start


@pytest.mark.feature("S0.3", "S1.3", "S1.4")
async def test_a_job_that_is_started_waits_in_the_queue_and_says_where(automating: Automating) -> None:
    world, other = automating.world, await automating.world.person("bertil")
    await automating.start(other)
    made = await world.data(START, automating.owner, input=WISH)
    assert made["__typename"] == "AutomationJob"
    assert (made["status"], made["progress"], made["attempt"]) == ("QUEUED", 0, 0)
    assert made["queuePlace"] == 2
    assert made["config"]["places"] == ["Uppsala", "Gävle"]
    assert made["portal"] == {"key": "demo", "name": "Demo Licence Authority", "enabled": True}
    assert [step["status"] for step in made["steps"]] == ["QUEUED"]
    assert made["startedAt"] is made["finishedAt"] is made["qrCode"] is made["result"] is None
    assert await look(automating, made["id"]) == {k: v for k, v in made.items() if k != "__typename"}


@pytest.mark.feature("S0.2")
async def test_a_job_keeps_the_id_that_its_caller_picked_and_for_whom_it_is(automating: Automating) -> None:
    wish = WISH | {"reference": "order-1138", "subject": "customer 7"}
    made = await automating.world.data(START, automating.owner, input=wish)
    assert (made["reference"], made["subject"]) == ("order-1138", "customer 7")


async def test_a_job_sent_again_under_its_key_is_the_same_job(automating: Automating) -> None:
    world, wish = automating.world, WISH | {"idempotencyKey": "once"}
    first = await world.data(START, automating.owner, input=wish)
    again = await world.data(START, automating.owner, input=wish)
    assert again["id"] == first["id"]
    other = await world.data(START, automating.owner, input=wish | {"config": {"places": ["Malmö"]}})
    assert other["__typename"] == "IdempotencyMismatch"


@pytest.mark.feature("S0.10", "S0.15")
async def test_what_a_portal_cannot_do_is_refused_with_its_place(automating: Automating) -> None:
    for wish, refusal, path in (
        ({"portalKey": "nowhere"}, "NotFound", ["portalKey"]),
        ({"config": {"places": []}}, "InvalidInput", ["config", "places"]),
        ({"config": {"licence": "Z9"}}, "InvalidInput", ["config", "licence"]),
        ({"config": ["Uppsala"]}, "InvalidInput", ["config"]),
    ):
        told = await automating.world.data(START, automating.owner, input=WISH | wish)
        assert (told["__typename"], told["path"]) == (refusal, path)


async def test_a_second_job_for_the_same_person_is_against_the_rules(automating: Automating) -> None:
    world = automating.world
    await world.data(START, automating.owner, input=WISH)
    again = await world.data(START, automating.owner, input=WISH)
    assert again["__typename"] == "PolicyViolation"
    another = await world.data(START, automating.owner, input=WISH | {"subject": "my daughter"})
    assert another["__typename"] == "AutomationJob"


async def test_a_guest_starts_and_lists_nothing(automating: Automating) -> None:
    world = automating.world
    assert await world.code(START, None, input=WISH) == "UNAUTHENTICATED"
    assert await world.code(JOBS, None, first=1) == "UNAUTHENTICATED"


async def test_without_a_browser_the_server_says_so_and_starts_no_job(automating: Automating) -> None:
    world, query = automating.world, "{ server { automationAvailable } }"
    assert (await world.data(query))["automationAvailable"] is True
    await world.tables.execute("UPDATE automation_worker SET reported_at = now() - interval '31 seconds'")
    assert (await world.data(query))["automationAvailable"] is False
    made = await world.data(START, automating.owner, input=WISH)
    assert (made["__typename"], made["code"]) == ("PortalUnavailable", "PORTAL_UNAVAILABLE")


# ------------------------------------------------------------------ portals


@pytest.mark.feature("S0.15")
async def test_portals_say_what_they_need(automating: Automating) -> None:
    (portal,) = await automating.world.data("{ portals { key name enabled configSchema } }")
    assert (portal["key"], portal["enabled"]) == ("demo", True)
    assert "places" in portal["configSchema"]["properties"]


async def test_staff_switch_a_portal_off_and_on(automating: Automating) -> None:
    world, staff = automating.world, await automating.staff()
    running = await automating.waiting()
    off = await world.data(SWITCH, staff, input={"portalKey": "demo", "enabled": False})
    assert off == {"__typename": "Portal", "key": "demo", "enabled": False}
    made = await world.data(START, await world.person(), input=WISH)
    assert made["__typename"] == "PortalUnavailable"
    assert "switched off" in made["message"]
    renewed = await running.automation.renew([running.lease], timedelta(seconds=10))  # type: ignore[list-item]
    assert renewed[running.id][1], "a job that runs there is to stop"
    on = await world.data(SWITCH, staff, input={"portalKey": "demo", "enabled": True})
    assert on["enabled"] is True


async def test_nobody_else_switches_a_portal(automating: Automating) -> None:
    world, off = automating.world, {"portalKey": "demo", "enabled": False}
    elsewhere = await world.organization("Norrsken Lab")
    assert await world.code(SWITCH, None, input=off) == "UNAUTHENTICATED"
    for viewer in (automating.owner, await world.member(elsewhere), await automating.staff(Role.PROVIDER)):
        assert await world.code(SWITCH, viewer, input=off) == "FORBIDDEN"
    (portal,) = await world.data("{ portals { enabled } }")
    assert portal["enabled"]
    nowhere = await world.data(SWITCH, automating.owner, input=off | {"portalKey": "nowhere"})
    assert nowhere["__typename"] == "NotFound"


# ------------------------------------------------------------------ look


@pytest.mark.feature("S0.17", "S1.7")
async def test_ones_jobs_are_listed_newest_first_page_by_page_and_by_status(automating: Automating) -> None:
    world = automating.world
    started = [await automating.start(subject=f"customer {number}") for number in range(5)]
    await automating.start(await world.person("bertil"))
    newest = [job.gid for job in reversed(started)]
    first = await world.data(JOBS, automating.owner, first=2)
    assert [node["id"] for node in first["nodes"]] == newest[:2]
    assert first["pageInfo"]["hasNextPage"]
    rest = await world.data(JOBS, automating.owner, first=10, after=first["pageInfo"]["endCursor"])
    assert [node["id"] for node in rest["nodes"]] == newest[2:]
    await world.data(STOP, automating.owner, input={"id": newest[0]})
    stopped = await world.data(JOBS, automating.owner, first=10, status=["STOPPED", "FAILED"])
    assert [node["id"] for node in stopped["nodes"]] == newest[:1]
    assert await world.code(JOBS, automating.owner, first=0) == "BAD_USER_INPUT"
    assert await world.code(JOBS, automating.owner, first=1, after="x") == "BAD_USER_INPUT"


async def test_staff_list_the_jobs_at_their_portal_and_nobody_else_does(automating: Automating) -> None:
    world, staff = automating.world, await automating.staff()
    mine, theirs = await automating.start(), await automating.start(await world.person("bertil"))
    whose = {"first": 10, "organizationId": automating.portal_organization}
    listed = await world.data(JOBS, staff, **whose)
    assert [node["id"] for node in listed["nodes"]] == [theirs.gid, mine.gid]
    assert (await world.data(JOBS, staff, first=10))["nodes"] == []
    elsewhere = await world.organization("Norrsken Lab")
    for viewer in (automating.owner, await world.member(elsewhere), await automating.staff(Role.PROVIDER)):
        assert await world.code(JOBS, viewer, **whose) == "FORBIDDEN"


async def test_a_long_list_of_jobs_costs_the_statements_of_a_short_one(automating: Automating) -> None:
    counts = []
    for more in (2, 10):
        for _ in range(more):
            person = await automating.world.person()
            running = await automating.start(person)
            await running.reach(S.STARTING)
            await running.complete(f"DEMO-{new_id()}")
        staff = await automating.staff()
        before = Counting.statements
        whose = {"first": 100, "organizationId": automating.portal_organization}
        listed = await automating.world.data(JOBS, staff, **whose)
        counts.append(Counting.statements - before)
        assert all(node["result"]["booking"] for node in listed["nodes"])
    assert counts[0] == counts[1]


@pytest.mark.feature("S0.4", "S0.25", "S1.5", "S1.42")
async def test_who_polls_gets_the_newest_code_while_the_job_waits_for_it(automating: Automating) -> None:
    running = await automating.waiting()
    assert (await look(automating, running.gid))["qrCode"] is None
    await running.show(1)
    await running.show(2)
    told = await look(automating, running.gid)
    assert (told["status"], told["qrCode"]["text"]) == ("QR_WAITING", animated(2))
    assert told["qrCode"]["imageDataUrl"].startswith("data:image/png;base64,")
    assert told["qrCode"]["autostartUrl"] == "bankid:///?x=2"
    assert datetime.fromisoformat(told["qrCode"]["expiresAt"]) > datetime.now(UTC)
    await running.reach(S.AUTHENTICATED)  # before the worker has taken the code back
    assert (await look(automating, running.gid))["qrCode"] is None


async def test_a_code_is_drawn_as_a_picture_of_its_text_where_that_is_asked_for(
    automating: Automating,
) -> None:
    running = await automating.waiting()
    await running.show(1)
    query = "query ($id: ID!) { automationJob(id: $id) { qrCode { imageDataUrl(format: SVG) } } }"
    told = await automating.world.data(query, automating.owner, id=running.gid)
    assert told["qrCode"]["imageDataUrl"].startswith("data:image/svg+xml;base64,")


async def test_what_was_kept_of_a_failure_has_an_address(automating: Automating) -> None:
    running = await automating.waiting()
    assert running.lease is not None
    kept = Artifact(new_id(), running.id, ArtifactKind.SCREENSHOT, datetime.now(UTC))
    await running.automation.keep(running.lease, [kept])
    await running.fail(AutomationFailure.PORTAL_CHANGED)
    for viewer in (automating.owner, await automating.staff()):
        told = await look(automating, running.gid, viewer)
        assert told["failure"] == "PORTAL_CHANGED"
        (artifact,) = told["artifacts"]
        assert artifact["kind"] == "SCREENSHOT"
        assert artifact["url"].startswith("http")


# ------------------------------------------------------------------ stop


@pytest.mark.feature("S0.17", "S1.6")
async def test_a_job_is_stopped_at_once_and_behind_its_fence_is_asked_to(automating: Automating) -> None:
    world, queued = automating.world, await automating.start()
    assert (await world.data(STOP, automating.owner, input={"id": queued.gid}))["status"] == "STOPPED"
    running = await automating.waiting()
    for _ in range(2):
        assert (await world.data(STOP, automating.owner, input={"id": running.gid}))["status"] == "STOPPED"
    fenced = await automating.waiting()
    await fenced.advance(Advance(AutomationStatus.BOOKING, "Booking.", fence=SLOT))
    assert (await world.data(STOP, automating.owner, input={"id": fenced.gid}))["status"] == "BOOKING"
    assert fenced.lease is not None
    renewed = await fenced.automation.renew([fenced.lease], timedelta(seconds=10))
    assert renewed[fenced.id][1]


async def test_staff_stop_a_job_at_their_portal_and_are_shown_no_code(automating: Automating) -> None:
    running, staff = await automating.waiting(), await automating.staff()
    await running.show(1)
    stopped = await automating.world.data(STOP, staff, input={"id": running.gid})
    assert stopped["id"] == running.gid
    assert stopped["qrCode"] is None


# ------------------------------------------------------------------ completed


@pytest.mark.feature("S1.12", "S1.26", "S1.43")
async def test_a_completed_job_and_its_booking_lead_to_each_other(automating: Automating) -> None:
    world, running = automating.world, await automating.waiting()
    await running.complete("DEMO-4711")
    told = await look(automating, running.gid)
    assert (told["status"], told["progress"]) == ("COMPLETED", 100)
    assert told["startedAt"] < told["finishedAt"]
    booking = told["result"].pop("booking")
    assert told["result"] == {
        "bookingId": "DEMO-4711",
        "examDate": SLOT.date.isoformat(),
        "examTime": "09:30",
        "location": "Uppsala",
    }
    assert (booking["status"], booking["externalReference"]) == ("CONFIRMED", "DEMO-4711")
    (listed,) = (await world.data(BOOKINGS, automating.owner))["nodes"]
    assert listed == {
        "id": booking["id"],
        "externalReference": "DEMO-4711",
        "automationJob": {"id": running.gid, "status": "COMPLETED"},
    }


async def test_a_booking_without_a_job_says_so(automating: Automating) -> None:
    from tests.graphql.trading import booked

    world = automating.world
    departure = await world.departure()
    await booked(world, departure, "A1", viewer=automating.owner)
    (listed,) = (await world.data(BOOKINGS, automating.owner))["nodes"]
    assert listed["automationJob"] is None


@pytest.mark.feature("S1.9", "S1.10")
async def test_the_log_tells_a_jobs_story_with_ids_that_lead_back(automating: Automating) -> None:
    running = await automating.waiting()
    await running.show(1)
    await running.complete()
    query = """query ($filter: EventFilter) {
      events(first: 100, filter: $filter) { nodes { type subjectId data } } }"""
    await automating.settled()
    story = (await automating.world.data(query, automating.owner, filter={"subjectId": running.gid}))["nodes"]
    assert {event["subjectId"] for event in story} == {running.gid}
    types = [event["type"] for event in story]
    assert types[:2] == ["automation.queued", "automation.started"]
    assert types[-1] == "automation.completed"
    assert [event["data"]["status"] for event in story][-2:] == ["QR_WAITING", "COMPLETED"]
    kind, _ = decode(story[-1]["data"]["bookingId"])
    assert kind == "Booking"
    assert animated(1) not in json.dumps(story)


# ------------------------------------------------------------------ for whom


async def test_a_job_of_others_is_as_if_it_did_not_exist(automating: Automating) -> None:
    world, running = automating.world, await automating.waiting()
    await running.show(1)
    nothing = encode("AutomationJob", new_id())
    node = "query ($id: ID!) { node(id: $id) { __typename id } }"
    for who, viewer in (await automating.others()).items():
        for document in (JOB, node):
            for id_ in (running.gid, nothing, "x"):
                assert await world.data(document, viewer, id=id_) is None, who
        told = [await world.data(STOP, viewer, input={"id": id_}) for id_ in (running.gid, nothing)]
        assert told[0] == told[1], who
        assert told[0]["__typename"] == "NotFound"
    assert not (await look(automating, running.gid))["status"].startswith("STOP")


async def test_a_job_found_by_its_id_is_the_job(automating: Automating) -> None:
    running = await automating.start()
    node = "query ($id: ID!) { node(id: $id) { ... on AutomationJob { id status } } }"
    for viewer in (automating.owner, await automating.staff()):
        told = await automating.world.data(node, viewer, id=running.gid)
        assert told == {"id": running.gid, "status": "QUEUED"}


async def test_staff_see_the_job_and_not_its_code(automating: Automating) -> None:
    running = await automating.waiting()
    await running.show(1)
    for role in (Role.STAFF, Role.ADMIN):
        told = await look(automating, running.gid, await automating.staff(role))
        assert told["status"] == "QR_WAITING"
        assert told["qrCode"] is None
        assert animated(1) not in json.dumps(told)


async def test_a_code_is_in_no_table(automating: Automating) -> None:
    running = await automating.waiting()
    for second in range(3):
        await running.show(second)
    assert (await look(automating, running.gid))["qrCode"]
    await running.complete()
    assert await _tables(automating.world) == []


async def _tables(world: World) -> list[str]:
    """The tables that hold the order's token, which each code has."""
    names = await world.tables.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [
        row["tablename"]
        for row in names
        if await world.tables.fetchval(
            f'SELECT EXISTS (SELECT FROM "{row["tablename"]}" t WHERE strpos(t::text, $1) > 0)',
            animated(0).split(".")[1],
        )
    ]
