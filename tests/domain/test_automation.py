"""What callers and workers do with jobs, and what becomes of a portal's booking, over a real database."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from automation.portals.demo import DemoPortal
from domain.access import Role
from domain.automation import StartJob, job_event
from domain.bookings import CancelBooking
from domain.catalogue import Organization, ScheduleStatus
from domain.errors import (
    Forbidden,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PolicyViolation,
    PortalUnavailable,
    Refusal,
    Unauthenticated,
)
from domain.ids import new_id
from domain.jobs import FINAL, AutomationFailure, AutomationStatus, Claim, Job, LeaseLost, Slot
from domain.ledger import Booking, BookingStatus
from domain.reads import JobSearch
from domain.viewer import Viewer
from tests.audit import broken_rules
from tests.errands import CONFIG, LEASE, SLOT, Errands, crews_of
from tests.world import World

LANES = "SELECT name, (attributes ->> 'lane')::int AS lane FROM resource ORDER BY lane"
STATUS = AutomationStatus
ON_THE_WAY = [status for status in STATUS if status not in FINAL | {STATUS.QUEUED}]


@pytest.fixture
async def errands(world: World) -> AsyncIterator[Errands]:
    """Give jobs at one portal; what they leave behind is looked into."""
    yield await Errands.at(world)
    assert await broken_rules(world.tables) == []


@pytest.fixture
async def crews(data_dir: Path, database_url: str) -> AsyncIterator[list[Errands]]:
    """Give the same in two processes, all connections open."""
    async with crews_of(data_dir, database_url, count=2, pool=10, jobs_per_account=5) as crews:
        yield crews


async def outcome(work: Awaitable[Job]) -> str:
    """What came of it, by name."""
    try:
        return type(await work).__name__
    except Refusal as refusal:
        return type(refusal).__name__


async def staff_of_portal(errands: Errands) -> Viewer:
    """Somebody who runs the portal's organization."""
    return await errands.world.member(await organization_of_portal(errands))


async def organization_of_portal(errands: Errands, key: str = "toy") -> Organization:
    async with errands.world.app.database.begin(None) as tx:
        state = await tx.jobs.portal(key)
        assert state is not None
        found = await tx.catalogue.organization(state.organization_id)
    assert found is not None
    return found


async def booking_of(errands: Errands, job: Job) -> Booking:
    assert job.outcome is not None
    assert job.outcome.booking_id is not None
    async with errands.world.app.database.begin(None) as tx:
        found = await tx.ledger.booking(job.outcome.booking_id)
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------- starting


@pytest.mark.feature("S0.2")
async def test_a_job_is_queued_for_its_owner_with_the_portals_own_config(errands: Errands) -> None:
    anna = await errands.world.person()
    job = await errands.start(anna, reference="mine-1")
    assert (job.status, job.progress, job.place, job.version) == (STATUS.QUEUED, 0, 1, 1)
    assert job.config == {"exam": "theory", "places": []}
    assert job.deadline_at - job.created_at == timedelta(minutes=60)
    assert job.organization_id == (await organization_of_portal(errands)).id
    owned = errands.world.app.services.owned
    assert await owned.job_by_reference(anna, "mine-1") == job
    assert await owned.job_by_reference(await errands.world.person(), "mine-1") is None
    async with errands.world.app.database.begin(None) as tx:
        assert anna.user_id is not None
        assert await tx.jobs.by_reference(anna.user_id, "mine-1") == job
    assert await errands.events(job.id) == ["automation.queued"]


async def test_a_guest_has_no_jobs(errands: Errands) -> None:
    with pytest.raises(Unauthenticated):
        await errands.start(errands.world.guest())
    with pytest.raises(NotFound):
        await errands.automation.stop(errands.world.guest(), new_id())


WRONG: list[tuple[StartJob, type[Refusal], tuple[str, ...]]] = [
    (StartJob("elsewhere", CONFIG), NotFound, ("portalKey",)),
    (StartJob("toy", {}), InvalidInput, ("config", "exam")),
    (StartJob("toy", []), InvalidInput, ("config", "exam")),
    (StartJob("toy", CONFIG, subject="x" * 201), InvalidInput, ("subject",)),
    (StartJob("toy", CONFIG, reference="\0"), InvalidInput, ("reference",)),
]


async def test_a_wish_that_cannot_be_met_is_refused_where_it_is_wrong(errands: Errands) -> None:
    anna = await errands.world.person()
    for wish, refusal, path in WRONG:
        with pytest.raises(refusal) as refused:
            await errands.automation.start(anna, wish)
        assert refused.value.path == path
    assert await errands.world.tables.fetchval("SELECT count(*) FROM automation_job") == 0


async def test_who_has_no_name_says_who_will_sign_in_or_starts_nothing(errands: Errands) -> None:
    anna, demo = await errands.world.person(), DemoPortal("http://127.0.0.1:9")
    automation = replace(errands.automation, portals={"toy": errands.automation.portals["toy"], "demo": demo})
    await automation.register()
    for name in (None, "\u0301"):
        await errands.world.tables.execute("UPDATE account SET name = $2 WHERE id = $1", anna.user_id, name)
        for wish in (StartJob("toy", CONFIG), StartJob("demo", {}), StartJob("demo", {"person": " "})):
            with pytest.raises(InvalidInput, match="`person`") as refused:
                await automation.start(anna, wish)
            assert refused.value.path == ("config", "person")
    assert await automation.start(anna, StartJob("demo", {"person": "Ada Ahlgren"}))


async def test_jobs_that_are_started_and_stopped_make_us_call_so_many_addresses_an_hour(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.automation.MOST_WEBHOOKS", 1)
    errands = await Errands.at(errands.world, jobs_per_account=3)
    anna, bert = await errands.world.person(), await errands.world.person()
    for _ in range(3):
        job = await errands.start(anna, webhook_url="https://hooks.example/")
        await errands.automation.stop(anna, job.id)
    with pytest.raises(PolicyViolation, match="an hour") as refused:
        await errands.start(anna, webhook_url="https://hooks.example/")
    assert refused.value.path == ("webhookUrl",)
    assert await errands.start(anna)
    assert await errands.start(bert, webhook_url="https://hooks.example/")
    await errands.world.tables.execute("UPDATE webhook_endpoint SET created_at = now() - interval '61 min'")
    assert await errands.start(anna, "another", webhook_url="https://hooks.example/")


async def test_without_a_worker_that_has_a_browser_no_job_starts(errands: Errands) -> None:
    await errands.world.tables.execute("UPDATE automation_worker SET reported_at = now() - interval '31 s'")
    with pytest.raises(PortalUnavailable):
        await errands.start(await errands.world.person())


async def test_at_a_portal_that_does_not_answer_no_job_starts(errands: Errands) -> None:
    async with errands.world.app.database.begin(None) as tx:
        for _ in range(5):
            await tx.jobs.note_portal("toy", down=True)
    with pytest.raises(PortalUnavailable, match="does not answer"):
        await errands.start(await errands.world.person())


async def test_of_twenty_starts_with_one_key_one_makes_a_job_and_all_get_it(crews: list[Errands]) -> None:
    anna = await crews[0].world.person()
    wish = StartJob("toy", CONFIG)
    started = await asyncio.gather(*(crews[n % 2].automation.start(anna, wish, "key") for n in range(20)))
    assert len({job.id for job in started}) == 1
    assert await crews[0].world.tables.fetchval("SELECT count(*) FROM automation_job") == 1
    with pytest.raises(IdempotencyMismatch):
        await crews[0].automation.start(anna, replace(wish, reference="another"), "key")


async def test_of_twenty_starts_for_one_person_one_makes_a_job(crews: list[Errands]) -> None:
    anna = await crews[0].world.person()
    came = await asyncio.gather(*(outcome(crews[n % 2].start(anna)) for n in range(20)))
    assert Counter(came) == {"Job": 1, "PolicyViolation": 19}


async def test_an_account_has_no_more_jobs_under_way_than_it_may(crews: list[Errands]) -> None:
    anna = await crews[0].world.person()
    came = await asyncio.gather(*(outcome(crews[n % 2].start(anna, f"pupil {n}")) for n in range(20)))
    assert Counter(came) == {"Job": 5, "PolicyViolation": 15}
    claim = await crews[0].taken()
    await crews[0].step(claim.lease, STATUS.STOPPED)
    await crews[1].start(anna, "one more")


# -------------------------------------------------------------------------------------------- stopping


async def in_status(errands: Errands, viewer: Viewer, status: AutomationStatus) -> Claim | None:
    """A job that stands there; the claim of whoever runs it."""
    if status is STATUS.QUEUED:
        await errands.start(viewer)
        return None
    claim = await errands.begun(viewer)
    if status is STATUS.RECONCILING:
        await errands.fenced(claim.lease)
        await errands.lapse(claim.job.id)
        return await errands.taken()
    await errands.step(claim.lease, status)
    return claim


@pytest.mark.feature("S0.17", "S1.6")
async def test_a_job_can_be_stopped_in_every_status_and_twice_is_once(errands: Errands) -> None:
    for status in [STATUS.QUEUED, *ON_THE_WAY]:
        anna = await errands.world.person()
        claim = await in_status(errands, anna, status)
        (found,) = await jobs_of(errands, anna)
        stopped = await errands.automation.stop(anna, found.id, "key")
        assert await errands.automation.stop(anna, found.id) == stopped, status
        assert (await errands.automation.stop(anna, found.id, "key")).id == found.id
        if claim is None or status is not STATUS.RECONCILING:
            assert stopped.status is STATUS.STOPPED
        else:
            assert (stopped.status, stopped.stop_asked) == (status, True)
            assert (await errands.automation.renew([claim.lease], LEASE))[found.id][1] is True
            unknown = AutomationFailure.UNKNOWN_OUTCOME
            ended = await errands.step(claim.lease, STATUS.FAILED, failure=unknown)
            assert await errands.automation.stop(anna, found.id) == ended
        told = await errands.events(found.id)
        assert told.count("automation.stop_asked") + told.count("automation.stopped") == 1


async def test_whoever_runs_what_was_stopped_before_a_fence_comes_to_no_click(errands: Errands) -> None:
    anna = await errands.world.person()
    lease = (await errands.begun(anna)).lease
    assert (await errands.automation.stop(anna, lease.job_id)).status is STATUS.STOPPED
    assert await errands.automation.renew([lease], LEASE) == {}
    with pytest.raises(LeaseLost):
        await errands.fenced(lease)
    with pytest.raises(LeaseLost):
        await errands.step(lease, STATUS.SEARCHING)
    assert (await errands.read(lease.job_id)).status is STATUS.STOPPED


async def jobs_of(errands: Errands, viewer: Viewer) -> list[Job]:
    search = JobSearch(account_id=viewer.user_id)
    page = await errands.world.app.services.owned.jobs(viewer, 10, None, search)
    return [job for _, job in page.items]


async def test_staff_of_the_portal_stop_a_job_and_nobody_else_knows_of_it(errands: Errands) -> None:
    world = errands.world
    anna, staff = await world.person(), await staff_of_portal(errands)
    lease = (await errands.begun(anna)).lease
    for stranger in (await world.person(), (await world.departure()).staff, world.guest()):
        with pytest.raises(NotFound):
            await errands.automation.stop(stranger, lease.job_id)
        assert await world.app.services.owned.jobs_by_id(stranger, [lease.job_id]) == {}
    assert [*await world.app.services.owned.jobs_by_id(staff, [lease.job_id])] == [lease.job_id]
    assert (await errands.automation.stop(staff, lease.job_id)).status is STATUS.STOPPED


async def test_what_is_stopped_behind_the_fence_by_nobody_who_runs_it_ends_as_unknown(
    errands: Errands,
) -> None:
    anna = await errands.world.person()
    lease = (await errands.begun(anna)).lease
    await errands.fenced(lease)
    await errands.lapse(lease.job_id)
    stopped = await errands.automation.stop(anna, lease.job_id)
    assert (stopped.status, stopped.failure) == (STATUS.FAILED, AutomationFailure.UNKNOWN_OUTCOME)


async def test_the_kill_switch_stops_what_runs_and_lets_nothing_begin(errands: Errands) -> None:
    world, staff = errands.world, await staff_of_portal(errands)
    running = [await errands.begun(await world.person()) for _ in range(3)]
    waiting = await errands.start(await world.person())
    assert (await errands.automation.switch_portal(staff, "toy", on=False)).on is False
    for claim in running:
        assert (await errands.events(claim.job.id))[-1] == "automation.stop_asked"
    renewed = await errands.automation.renew([claim.lease for claim in running], LEASE)
    assert all(stop for _, stop in renewed.values())
    assert await errands.claim() is None
    assert (await errands.read(waiting.id)).place is None
    with pytest.raises(PortalUnavailable, match="switched off"):
        await errands.start(await world.person())
    await errands.automation.switch_portal(staff, "toy", on=False)  # twice is once
    assert (await errands.automation.switch_portal(staff, "toy", on=True)).on is True
    assert (await errands.taken()).job.id == waiting.id


async def test_a_job_taken_in_the_moment_of_the_switch_hears_of_it_when_its_lease_is_renewed(
    errands: Errands,
) -> None:
    await errands.start(await errands.world.person())
    async with errands.world.app.database.begin(None) as tx:
        claim = await tx.jobs.claim(new_id(), ["toy"], LEASE)
        assert claim is not None
        await errands.automation.switch_portal(await staff_of_portal(errands), "toy", on=False)
        tx.emit(job_event("automation.started", claim.job))
    assert (await errands.automation.renew([claim.lease], LEASE))[claim.job.id][1] is True


async def test_the_kill_switch_is_for_staff_of_the_portals_organization(errands: Errands) -> None:
    world, house = errands.world, await organization_of_portal(errands)
    others = [
        await world.person(),
        (await world.departure()).staff,
        await world.member(house, Role.PROVIDER),
    ]
    for other in others:
        with pytest.raises(Forbidden):
            await errands.automation.switch_portal(other, "toy", on=False)
    with pytest.raises(Unauthenticated):
        await errands.automation.switch_portal(world.guest(), "toy", on=False)
    with pytest.raises(NotFound):
        await errands.automation.switch_portal(others[0], "elsewhere", on=False)
    states = await world.app.services.owned.portal_states()
    assert {key: state.on for key, state in states.items()} == {"toy": True}


# ------------------------------------------------------------------------------------------ completing


@pytest.mark.feature("S1.26", "S1.43")
async def test_what_the_portal_booked_is_a_booking_like_any_other(errands: Errands) -> None:
    world, anna = errands.world, await errands.world.person("anna")
    lease = (await errands.begun(anna)).lease
    await errands.fenced(lease)
    job = await errands.complete(lease, "TOY-77")
    booking = await booking_of(errands, job)
    assert (job.status, job.progress) == (STATUS.COMPLETED, 100)
    assert job.started_at
    assert job.finished_at
    assert job.created_at <= job.started_at < job.finished_at
    assert (booking.status, booking.external_reference) == (BookingStatus.CONFIRMED, "TOY-77")
    assert (booking.account_id, booking.organization_id) == (anna.user_id, job.organization_id)
    assert (booking.contact.name or "").startswith("Anna")
    assert booking.contact.email
    assert (str(booking.total.amount), booking.total.currency) == ("0.00", "SEK")
    (schedule,) = (await world.app.services.reads.schedules_by_id([booking.schedule_id])).values()
    assert schedule.start == datetime(2027, 3, 1, 8, 30, tzinfo=UTC)
    assert (schedule.status, schedule.seat_total) == (ScheduleStatus.CLOSED, 1)
    assert await world.app.services.owned.jobs_by_booking(anna, [booking.id]) == {booking.id: job}
    assert await errands.events(job.id) == [
        "automation.queued",
        "automation.started",
        "automation.updated",
        "automation.completed",
    ]
    assert await errands.events(booking.id) == ["booking.confirmed"]
    assert await errands.events(schedule.id) == ["schedule.opened", "seats.held", "seats.booked"]
    instants = "SELECT count(DISTINCT xid) FROM event WHERE stream_id = ANY ($1) AND type <> ALL ($2)"
    before = ["automation.queued", "automation.started", "automation.updated"]
    assert await world.tables.fetchval(instants, [job.id, booking.id, schedule.id], before) == 1


async def test_a_job_that_completes_again_has_the_same_booking(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    first = await errands.complete(lease)
    again = await asyncio.gather(*(errands.complete(lease, "another") for _ in range(5)))
    assert {job.outcome for job in again} == {first.outcome}
    assert await errands.world.tables.fetchval("SELECT count(*) FROM booking") == 1


async def test_of_two_who_complete_one_job_at_once_one_makes_its_booking(crews: list[Errands]) -> None:
    lease = (await crews[0].begun(await crews[0].world.person())).lease
    done = await asyncio.gather(*(crews[n % 2].complete(lease) for n in range(12)))
    assert len({job.outcome for job in done}) == 1
    assert await crews[0].world.tables.fetchval("SELECT count(*) FROM booking") == 1


async def test_nothing_is_left_of_a_completion_by_who_has_lost_the_job(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    await errands.lapse(lease.job_id)
    await errands.taken()
    with pytest.raises(LeaseLost):
        await errands.complete(lease)
    for table in ("booking", "reservation", "schedule", "resource", "offering"):
        assert await errands.world.tables.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_many_at_one_place_and_time_get_a_lane_each_and_the_next_hour_the_first_again(
    crews: list[Errands],
) -> None:
    owners = [await crews[0].world.person() for _ in range(16)]
    claims = [await crews[0].begun(owner) for owner in owners]
    hours = [SLOT, replace(SLOT, time=time(10, 30))]
    done = await asyncio.gather(
        *(crews[n % 2].complete(claim.lease, f"TOY-{n}", hours[n // 8]) for n, claim in enumerate(claims))
    )
    bookings = [await booking_of(crews[0], job) for job in done]
    assert len({booking.schedule_id for booking in bookings}) == 16
    rows = await crews[0].world.tables.fetch(LANES)
    assert [row["lane"] for row in rows] == [*range(1, 9)]
    assert {row["name"] for row in rows} == {"Uppsala", *(f"Uppsala ({lane})" for lane in range(2, 9))}
    assert await crews[0].world.tables.fetchval("SELECT count(*) FROM offering") == 1


async def test_places_and_hours_that_do_not_touch_share_what_they_can(errands: Errands) -> None:
    slots = [
        SLOT,
        replace(SLOT, location="Umeå"),
        replace(SLOT, date=date(2027, 3, 2)),
        replace(SLOT, time=time(10, 0)),
    ]
    for number, slot in enumerate(slots):
        lease = (await errands.begun(await errands.world.person())).lease
        await errands.complete(lease, f"TOY-{number}", slot)
    rows = await errands.world.tables.fetch("SELECT name FROM resource ORDER BY name")
    assert [row["name"] for row in rows] == ["Umeå", "Uppsala", "Uppsala (2)"]


async def test_a_time_that_the_clock_shows_twice_or_never_is_kept_all_the_same(errands: Errands) -> None:
    for number, slot in enumerate(
        [Slot(date(2027, 3, 28), time(2, 30), "Uppsala"), Slot(date(2027, 10, 31), time(2, 30), "Uppsala")]
    ):
        lease = (await errands.begun(await errands.world.person())).lease
        job = await errands.complete(lease, f"TOY-{number}", slot)
        assert job.outcome is not None
        assert job.outcome.slot == slot


async def test_a_booking_at_a_portal_is_cancelled_at_the_portal(errands: Errands) -> None:
    anna = await errands.world.person()
    job = await errands.complete((await errands.begun(anna)).lease)
    booking = await booking_of(errands, job)
    cancel = errands.world.app.services.bookings.cancel
    with pytest.raises(PolicyViolation, match="at the portal"):
        await cancel(anna, CancelBooking(booking.id))
    cancelled = await cancel(await staff_of_portal(errands), CancelBooking(booking.id))
    assert cancelled.status is BookingStatus.CANCELLED
    assert (await errands.read(job.id)).status is STATUS.COMPLETED


@pytest.mark.feature("S1.24")
async def test_every_end_is_told_by_its_name_and_why(errands: Errands) -> None:
    ends = {
        STATUS.FAILED: "automation.failed",
        STATUS.TIMED_OUT: "automation.failed",
        STATUS.STOPPED: "automation.stopped",
    }
    for status, told in ends.items():
        lease = (await errands.begun(await errands.world.person())).lease
        failure = AutomationFailure.QR_TIMEOUT if status is STATUS.FAILED else None
        job = await errands.step(lease, status, "That was it.", failure=failure)
        assert (await errands.events(job.id))[-1] == told
        assert job.progress == 5
        data = json.loads(
            await errands.world.tables.fetchval(
                "SELECT data::text FROM event WHERE stream_id = $1 ORDER BY version DESC LIMIT 1", job.id
            )
        )
        assert data == {
            "status": status.value,
            "progress": 5,
            "attempt": 1,
            "message": "That was it.",
            "portal": "toy",
            **({"failure": "QR_TIMEOUT"} if failure else {}),
        }


async def test_no_event_of_a_job_names_anybody(errands: Errands) -> None:
    anna = await errands.world.person("anna")
    wish = StartJob("toy", {**CONFIG, "person": "Anna Persson"}, reference="secret-ref", subject="Anna's son")
    await errands.automation.start(anna, wish)
    lease = (await errands.taken()).lease
    await errands.automation.identify(lease, b"Anna Persson, hashed")
    await errands.complete(lease)
    told = await errands.world.tables.fetchval("SELECT string_agg(data::text, ' ') FROM event")
    for word in ("Anna", "secret-ref", "son", "test.example", "hashed"):
        assert word not in told


@pytest.mark.feature("S1.7")
async def test_jobs_are_listed_newest_first_page_by_page(errands: Errands) -> None:
    anna, owned = await errands.world.person(), errands.world.app.services.owned
    made: list[UUID] = [(await errands.start(anna, f"pupil {n}")).id for n in range(5)]
    await errands.automation.stop(anna, made[4])
    search = JobSearch(account_id=anna.user_id)
    first = await owned.jobs(anna, 2, None, search)
    rest = await owned.jobs(anna, 9, first.items[-1][0], search)
    assert [job.id for _, job in [*first.items, *rest.items]] == made[::-1]
    assert [job.place for _, job in [*first.items, *rest.items]] == [None, 4, 3, 2, 1]
    assert (first.more, rest.more) == (True, False)
    stopped = await owned.jobs(anna, 9, None, replace(search, status=[STATUS.STOPPED, STATUS.FAILED]))
    assert [job.id for _, job in stopped.items] == [made[4]]
    staff, house = await staff_of_portal(errands), await organization_of_portal(errands)
    theirs = await owned.jobs(staff, 9, None, JobSearch(organization_id=house.id))
    assert len(theirs.items) == 5
