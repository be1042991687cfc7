"""Runs over a real PostgreSQL: leases, stops, shutdowns, and several workers; the portal alone is scripted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from domain.automation import Automation
from domain.errors import Unavailable
from domain.jobs import Advance, AutomationFailure, AutomationStatus, Job, Lease, LeaseLost, Slot
from domain.portals import BrowserCrashed, Person, Politeness, PortalChanged
from tests.automation.scripted_visits import Torn
from tests.automation.workplace import Workplace, new_workplace
from tests.domain.scripted_visit import UPPSALA, After, ScriptedPortal
from tests.processes import eventually
from tests.servers import PostgresServer
from tests.world import World, new_world

S, F = AutomationStatus, AutomationFailure

PLACES = {
    "start": S.STARTING,
    "arrive": S.NAVIGATING,
    "open_login": S.LOGIN,
    "begin_identity_check": S.BANKID,
    "signed_in": S.QR_WAITING,
    "my_bookings": S.AUTHENTICATED,
    "configure": S.CONFIGURING,
    "choose_places": S.LOCATIONS,
    "search": S.SEARCHING,
    "choose": S.BOOKING,
}
"""Where a visit can be held before the fence, and what the job's status is then."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(run_dir: Path, postgres: PostgresServer) -> AsyncIterator[World]:
    """Give one world to all tests of this module: each makes its own people, and leaves no job to the next."""
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=run_dir))
    with postgres.database() as database_url:
        async with new_world(folder, database_url) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def workplace(house: World) -> AsyncIterator[Workplace]:
    async with new_workplace(house) as made:
        yield made
    await house.tables.execute(
        """
        UPDATE automation_job SET status = 'STOPPED', failure = NULL, lease_until = NULL, finished_at = now()
        WHERE finished_at IS NULL
        """
    )
    await house.tables.execute("UPDATE portal SET enabled = true")


@pytest.mark.feature("S1.14", "S1.25", "S1.43")
async def test_a_job_is_run_to_a_booking_and_every_step_is_in_the_log(workplace: Workplace) -> None:
    job = await workplace.start()
    async with workplace.working():
        job = await workplace.ends(job)
    assert job.status is S.COMPLETED
    assert job.outcome is not None
    assert [job.outcome.booking_number] == workplace.booked(job)
    assert [step.status for step in job.steps] == [
        S.QUEUED,
        S.STARTING,
        S.NAVIGATING,
        S.LOGIN,
        S.BANKID,
        S.QR_WAITING,
        S.AUTHENTICATED,
        S.CONFIGURING,
        S.LOCATIONS,
        S.SEARCHING,
        S.BOOKING,
        S.BOOKING,
        S.COMPLETED,
    ]
    told = await workplace.events(job.id)
    assert told[:2] == ["automation.queued", "automation.started"]
    assert told[-1] == "automation.completed"
    assert job.progress == 100
    assert all(step.message for step in job.steps)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert workplace.visits.open == 0
    assert await workplace.live.code(job.id) is None


async def test_a_job_that_is_queued_is_begun_at_once(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.jobs.LOOKING", 60.0)  # nobody looks by themselves
    async with workplace.working():
        job = await workplace.start()
        assert (await workplace.ends(job)).status is S.COMPLETED


async def test_a_worker_runs_no_more_jobs_at_once_than_it_has_room_for(workplace: Workplace) -> None:
    jobs = [await workplace.start() for _ in range(3)]
    held = [workplace.visits.hold(job, "search") for job in jobs]
    async with workplace.working(slots=2):
        await asyncio.wait_for(asyncio.gather(held[0].wait(), held[1].wait()), 10)
        assert (await workplace.job(jobs[2])).status is S.QUEUED
        await workplace.stop(jobs[0])
        await asyncio.wait_for(held[2].wait(), 10)
        assert workplace.visits.open == 2


@pytest.mark.feature("S1.6", "S0.17")
async def test_a_job_can_be_stopped_in_every_status_within_five_seconds(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.jobs.RENEWING", 60.0)  # the log alone tells of it
    jobs = {step: await workplace.start() for step in PLACES}
    held = [workplace.visits.hold(job, step) for step, job in jobs.items()]
    behind = {"click": await workplace.start(), "list": await workplace.start()}
    held.append(workplace.visits.hold(behind["click"], "confirm"))
    held.append(workplace.visits.hold(behind["list"], "my_bookings", None))
    waiting = await workplace.start()
    async with workplace.working(slots=len(held), lease=timedelta(minutes=5)):
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in held)), 20)
        for step, status in PLACES.items():
            assert (await workplace.job(jobs[step])).status is status
        assert (await workplace.job(waiting)).status is S.QUEUED
        asked = asyncio.get_running_loop().time()
        for job in (waiting, *jobs.values(), *behind.values()):
            await workplace.stop(job)
        for job in (waiting, *jobs.values()):
            assert (await workplace.ends(job)).status is S.STOPPED
        assert asyncio.get_running_loop().time() - asked < 3
        for job in behind.values():
            ended = await workplace.ends(job)
            assert (ended.status, ended.failure) == (S.FAILED, F.UNKNOWN_OUTCOME)
            assert ended.message.startswith("Stopped. It is not known whether")
        assert asyncio.get_running_loop().time() - asked < 5
        assert workplace.visits.open == 0


async def test_a_stop_behind_the_fence_lets_the_booking_be_read_that_was_just_made(
    workplace: Workplace,
) -> None:
    job = await workplace.start()
    answer = asyncio.Event()
    clicked = asyncio.Event()

    async def slow() -> str:
        clicked.set()
        await answer.wait()
        return workplace.visits.ledgers[job.account_id].book(UPPSALA)

    workplace.visits.scripts[job.id] = {"confirm": [slow]}
    async with workplace.working():
        await asyncio.wait_for(clicked.wait(), 10)
        await workplace.stop(job)
        answer.set()
        ended = await workplace.ends(job)
    assert ended.status is S.COMPLETED


async def test_a_stop_that_the_log_does_not_tell_is_heard_with_the_next_renewal(workplace: Workplace) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")
    async with workplace.working():
        await asyncio.wait_for(held.wait(), 10)
        await workplace.world.tables.execute(
            "UPDATE automation_job SET stop_asked = true WHERE id = $1", job.id
        )
        assert (await workplace.ends(job, 5)).status is S.STOPPED


async def test_a_browser_that_does_not_close_keeps_no_job_from_its_end(workplace: Workplace) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")
    workplace.visits.stuck.add(job.id)
    async with workplace.working():
        await asyncio.wait_for(held.wait(), 10)
        await workplace.stop(job)
        assert (await workplace.ends(job, 5)).status is S.STOPPED


@pytest.mark.parametrize("step", ["start", "signed_in", "search"])
async def test_a_job_whose_worker_is_shut_down_before_the_fence_is_first_in_line_again(
    workplace: Workplace, step: str
) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, step)
    async with workplace.working():
        await asyncio.wait_for(held.wait(), 10)
        later = await workplace.start()
        workplace.visits.hold(later, "start")
    assert (await workplace.job(job)).status is S.QUEUED
    assert (await workplace.job(job)).place == 1
    assert workplace.visits.open == 0
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.status, ended.attempt) == (S.COMPLETED, 2)
    assert len(workplace.booked(job)) == 1


async def test_a_shutdown_behind_the_fence_gives_the_click_its_time(workplace: Workplace) -> None:
    job = await workplace.start()
    clicked = asyncio.Event()

    async def slow() -> str:
        clicked.set()
        await asyncio.sleep(0.3)
        return workplace.visits.ledgers[job.account_id].book(UPPSALA)

    workplace.visits.scripts[job.id] = {"confirm": [slow]}
    async with workplace.working(grace=20.0):
        await asyncio.wait_for(clicked.wait(), 10)
    assert (await workplace.job(job)).status is S.COMPLETED


async def test_a_shutdown_that_the_click_outlasts_leaves_it_to_the_next_worker_to_read(
    workplace: Workplace,
) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "my_bookings", None)  # the one after the click
    async with workplace.working(grace=0.3):
        await asyncio.wait_for(held.wait(), 10)
    left = await workplace.job(job)
    assert (left.status, left.fence) == (S.QUEUED, UPPSALA)
    async with workplace.working():
        ended = await workplace.ends(job)
    assert ended.status is S.COMPLETED
    assert S.RECONCILING in [step.status for step in ended.steps]
    assert len(workplace.booked(job)) == 1


async def test_a_lease_that_is_lost_ends_the_run_and_nothing_more_is_written(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.jobs.RENEWING", 0.2)
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")
    first = workplace.runner(lease=timedelta(minutes=5))
    async with workplace.working(first):
        await asyncio.wait_for(held.wait(), 10)
        (claim,) = [run.claim for run in first.runs]
        await workplace.world.tables.execute(
            "UPDATE automation_job SET lease_token = lease_token + 1 WHERE id = $1", job.id
        )
        await eventually(lambda: workplace.visits.open == 0)
        found = await workplace.job(job)
        assert found.status is S.SEARCHING
        with pytest.raises(LeaseLost):
            await workplace.automation.advance(claim.lease, Advance(S.BOOKING, "Too late."))


async def test_a_run_whose_lease_another_worker_has_never_clicks(workplace: Workplace) -> None:
    job = await workplace.start()
    at_the_slot, go = asyncio.Event(), asyncio.Event()

    async def slow() -> Slot:
        at_the_slot.set()
        await go.wait()
        return UPPSALA

    workplace.visits.scripts[job.id] = {"choose": [slow]}
    async with workplace.working(slots=1):
        await asyncio.wait_for(at_the_slot.wait(), 10)
        await workplace.world.tables.execute(
            "UPDATE automation_job SET lease_token = lease_token + 1 WHERE id = $1", job.id
        )
        go.set()  # before the next renewal tells of it
        await eventually(lambda: workplace.visits.open == 0)
    assert workplace.booked(job) == []
    assert (await workplace.job(job)).fence is None


async def test_a_stop_that_comes_while_the_fence_is_raised_comes_before_the_click(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await workplace.start()
    runner = workplace.runner()
    advance = Automation.advance

    async def advance_and_stop(self: Automation, lease: Lease, step: Advance) -> Job:
        written = await advance(self, lease, step)
        if step.fence is not None:
            (run,) = runner.runs
            run.stop()
        return written

    monkeypatch.setattr(Automation, "advance", advance_and_stop)
    async with workplace.working(runner):
        ended = await workplace.ends(job)
    assert (ended.status, ended.fence) == (S.STOPPED, None)
    assert workplace.booked(job) == []


async def test_a_run_that_cannot_renew_its_lease_is_over_before_the_lease_is(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")

    async def away(*_: object) -> Mapping[UUID, tuple[Lease, bool]]:
        raise Unavailable("The database does not answer.")

    async with workplace.working():
        await asyncio.wait_for(held.wait(), 10)
        with monkeypatch.context() as outage:
            outage.setattr(Automation, "renew", away)
            await eventually(lambda: workplace.visits.open == 0)
            left = await workplace.world.tables.fetchval(
                "SELECT lease_until - clock_timestamp() FROM automation_job WHERE id = $1", job.id
            )
            assert left > timedelta(0)
        assert (await workplace.ends(job)).status is S.COMPLETED
    assert workplace.visits.opened[job.id] == 2


async def test_a_job_whose_worker_is_gone_is_taken_over(workplace: Workplace) -> None:
    job = await workplace.start()
    assert await workplace.automation.claim(UUID(int=7), timedelta(seconds=1)) is not None
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.status, ended.attempt) == (S.COMPLETED, 2)


async def test_two_workers_never_run_one_job_at_the_same_time(workplace: Workplace) -> None:
    jobs = [await workplace.start() for _ in range(12)]
    async with workplace.working(slots=4), workplace.working(slots=4):
        ended = [await workplace.ends(job, 20) for job in jobs]
    assert {job.status for job in ended} == {S.COMPLETED}
    assert {job.attempt for job in ended} == {1}
    assert all(len(workplace.booked(job)) == 1 for job in jobs)
    assert set(workplace.visits.opened.values()) == {1}


@pytest.mark.parametrize("gone", [BrowserCrashed("gone"), Torn("target closed")])
async def test_after_a_browser_that_crashed_comes_another_attempt(
    workplace: Workplace, gone: Exception
) -> None:
    job = await workplace.start()
    workplace.visits.scripts[job.id] = {"configure": [gone]}
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.status, ended.attempt) == (S.COMPLETED, 2)
    assert len(workplace.booked(job)) == 1


async def test_a_browser_that_crashed_after_the_click_books_nothing_twice(workplace: Workplace) -> None:
    job = await workplace.start()
    workplace.visits.scripts[job.id] = {"confirm": [After(BrowserCrashed("gone"))]}
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.status, ended.attempt) == (S.COMPLETED, 2)
    assert len(workplace.booked(job)) == 1


async def test_a_browser_that_always_crashes_ends_the_job_after_five_attempts(workplace: Workplace) -> None:
    job = await workplace.start()
    await workplace.world.tables.execute("UPDATE automation_job SET attempt = 4 WHERE id = $1", job.id)
    workplace.visits.scripts[job.id] = {"start": [BrowserCrashed("gone")]}
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.failure, ended.attempt) == (F.BROWSER_CRASHED, 5)


async def test_the_page_of_a_job_that_runs_is_shown_to_who_watches(workplace: Workplace) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")
    async with workplace.working(), workplace.live.pictures(job.id, own=True) as pictures:
        await asyncio.wait_for(held.wait(), 10)
        picture = await asyncio.wait_for(anext(pictures), 10)
        assert picture.job_id == job.id


@pytest.mark.feature("S0.20")
async def test_what_nobody_thought_of_ends_the_job_without_the_words_of_a_page(
    workplace: Workplace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    job = await workplace.start()
    workplace.visits.scripts[job.id] = {"search": [RuntimeError("Ada Lindström, 19900101-0017")]}
    async with workplace.working():
        ended = await workplace.ends(job)
    assert ended.failure is F.INTERNAL
    said = "".join((*capsys.readouterr(), caplog.text, ended.message))
    assert "RuntimeError" in said
    assert "scripted_visit.py:" in said
    assert said.count(str(job.id)) > 8  # each step, by the job's id
    assert "Lindström" not in said


async def test_a_page_that_is_not_known_is_kept_for_who_mends_the_adapter(workplace: Workplace) -> None:
    job = await workplace.start()
    workplace.visits.scripts[job.id] = {"search": [PortalChanged("no list")]}
    async with workplace.working():
        ended = await workplace.ends(job)
    assert ended.failure is F.PORTAL_CHANGED
    kept = await workplace.world.tables.fetch("SELECT kind FROM artifact WHERE job_id = $1", job.id)
    assert [row["kind"] for row in kept] == ["SCREENSHOT"]


async def test_a_job_ends_at_its_deadline_run_or_not(house: World) -> None:
    async with new_workplace(house, minutes=1 / 30) as workplace:
        running, waiting = await workplace.start(), await workplace.start()
        held = workplace.visits.hold(running, "search")
        await workplace.world.tables.execute(
            "UPDATE automation_job SET deadline_at = deadline_at - interval '1 second' WHERE id = $1",
            waiting.id,
        )
        async with workplace.working(slots=1):
            await asyncio.wait_for(held.wait(), 10)
            for job in (running, waiting):
                assert (await workplace.ends(job)).status is S.TIMED_OUT


async def test_one_person_has_one_job_at_a_portal_whoever_started_it(workplace: Workplace) -> None:
    first, second = await workplace.start(), await workplace.start()
    workplace.visits.people[second.account_id] = Person("Ada Lindström", str(first.account_id))
    held = workplace.visits.hold(first, "search")
    async with workplace.working(slots=1):
        await asyncio.wait_for(held.wait(), 10)  # whoever signs in first has the job
        async with workplace.working(slots=1):
            ended = await workplace.ends(second)
        assert ended.failure is F.LOGIN_REFUSED


async def test_another_person_cannot_end_what_the_first_one_began(workplace: Workplace) -> None:
    job = await workplace.start()
    workplace.visits.scripts[job.id] = {"confirm": [After(BrowserCrashed("gone"))]}
    workplace.visits.then[job.id] = Person("Ada Lindström", "a namesake")
    async with workplace.working():
        ended = await workplace.ends(job)
    assert (ended.status, ended.failure) == (S.FAILED, F.UNKNOWN_OUTCOME)
    assert len(workplace.booked(job)) == 1


async def test_the_kill_switch_ends_what_runs_within_five_seconds(workplace: Workplace) -> None:
    job = await workplace.start()
    held = workplace.visits.hold(job, "search")
    async with workplace.working():
        await asyncio.wait_for(held.wait(), 10)
        async with workplace.world.app.database.begin(None) as tx:
            await tx.jobs.switch_portal("demo", False)
        assert (await workplace.ends(job, 5)).status is S.STOPPED


async def test_requests_of_all_jobs_keep_the_portals_distance(workplace: Workplace) -> None:
    gap = timedelta(seconds=0.2)
    portal = ScriptedPortal(Politeness(timedelta(0), timedelta(0), gap))
    workplace.automation = replace(workplace.automation, portals={"demo": portal})
    jobs = [await workplace.start() for _ in range(2)]
    for job in jobs:
        workplace.visits.hold(job, "configure")
    async with workplace.working(), workplace.working():
        await asyncio.wait_for(asyncio.gather(*(workplace.visits.held[job.id].wait() for job in jobs)), 10)
    at = sorted(workplace.visits.asked)
    assert len(at) == 10
    assert at[-1] - at[0] > 8 * gap.total_seconds()  # nine gaps, of which the first may seem shorter
