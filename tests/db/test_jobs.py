"""The queue of jobs, their leases, and what a portal is spared, asked of the database by the verbs of workers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

import pytest

from db import jobs
from domain.automation import StartJob, job_event
from domain.errors import PolicyViolation, PortalUnavailable
from domain.housekeeping import Housekeeping
from domain.ids import new_id
from domain.jobs import (
    Artifact,
    ArtifactKind,
    AutomationFailure,
    AutomationStatus,
    Lease,
    LeaseLost,
    PortalState,
)
from domain.viewer import Viewer
from tests.audit import broken_rules
from tests.errands import CONFIG, LEASE, SLOT, Errands, crews_of
from tests.world import World

STATUS = AutomationStatus


@pytest.fixture
async def errands(world: World) -> AsyncIterator[Errands]:
    """Give jobs at one portal; what they leave behind is looked into."""
    yield await Errands.at(world)
    assert await broken_rules(world.tables) == []


@pytest.fixture
async def crews(data_dir: Path, database_url: str) -> AsyncIterator[list[Errands]]:
    """Give the same in three processes, all connections open."""
    async with crews_of(data_dir, database_url, count=3, pool=8) as crews:
        yield crews


# -------------------------------------------------------------------------------------------- the queue


async def test_whose_account_runs_least_is_served_first_and_then_who_came_first(errands: Errands) -> None:
    many, one, two = [await errands.world.person() for _ in range(3)]
    first, second, third = [await errands.start(many, f"pupil {n}") for n in range(3)]
    other, another = await errands.start(one), await errands.start(two)
    taken = [(await errands.taken()).job.id for _ in range(5)]
    assert taken == [first.id, other.id, another.id, second.id, third.id]


async def test_the_place_told_is_the_order_in_which_jobs_are_taken(errands: Errands) -> None:
    chance = random.Random(4)
    people = [await errands.world.person() for _ in range(5)]
    begun = [await errands.begun(chance.choice(people), f"begun {n}") for n in range(8)]
    waiting = [await errands.start(chance.choice(people), f"waiting {n}") for n in range(12)]
    await errands.automation.give_back([claim.lease for claim in begun[:2]])
    await errands.lapse(begun[2].job.id)
    told = {job.id: (await errands.read(job.id)).place for job in [*waiting, begun[0].job, begun[1].job]}
    order = [(await errands.taken()).job.id for _ in range(15)]
    assert await errands.claim() is None
    assert {id_: place for place, id_ in enumerate(order, start=1) if id_ != begun[2].job.id} == told


async def test_what_has_begun_before_goes_on_before_what_is_new(errands: Errands) -> None:
    anna, bert = await errands.world.person(), await errands.world.person()
    lapsed, given_back = await errands.begun(anna, "one"), await errands.begun(anna, "two")
    new = await errands.start(bert)
    await errands.lapse(lapsed.job.id)
    (waits,) = await errands.automation.give_back([given_back.lease])
    assert (waits.status, waits.attempt) == (STATUS.QUEUED, 1)
    claims = [await errands.taken() for _ in range(3)]
    assert [claim.job.id for claim in claims] == [lapsed.job.id, given_back.job.id, new.id]
    assert [(claim.job.attempt, claim.lease.token) for claim in claims] == [(2, 2), (2, 2), (1, 1)]


async def test_a_job_is_taken_with_its_owners_name_and_starts(errands: Errands) -> None:
    anna = await errands.world.person("anna")
    claim = await errands.begun(anna)
    assert claim.owner_name
    assert claim.owner_name.startswith("Anna")
    assert claim.owner_name not in repr(claim)
    assert (claim.job.status, claim.job.attempt, claim.job.progress) == (STATUS.STARTING, 1, 5)
    assert claim.job.started_at is not None


async def test_a_worker_takes_nothing_at_portals_that_it_does_not_know(world: World) -> None:
    here, there = await Errands.at(world, "here"), await Errands.at(world, "there")
    job = await here.start(await world.person(), portal="here")
    assert await there.claim() is None
    assert (await here.taken()).job.id == job.id


async def test_a_second_job_for_the_same_person_waits_for_the_end_of_the_first(errands: Errands) -> None:
    anna = await errands.world.person()
    claim = await errands.begun(anna)
    with pytest.raises(PolicyViolation, match="not over"):
        await errands.start(anna)
    pupil = await errands.begun(anna, "a pupil")
    with pytest.raises(PolicyViolation, match="not over"):
        await errands.start(anna, "a pupil")
    await errands.automation.identify(claim.lease, b"one and the same")
    with pytest.raises(PolicyViolation, match="person who signed in"):
        await errands.automation.identify(pupil.lease, b"one and the same")
    await errands.step(claim.lease, STATUS.STOPPED)
    await errands.automation.identify(pupil.lease, b"one and the same")
    await errands.start(anna)


# ------------------------------------------------------------------------------------------------ leases


@pytest.mark.feature("S0.16")
async def test_two_workers_never_run_one_job(crews: list[Errands]) -> None:
    assert max(await taken_at_once(crews)) == 1


async def test_without_the_guards_the_same_race_gives_a_job_to_several(
    crews: list[Errands], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: were there no guard, the test above would see it."""
    lock = "pg_try_advisory_xact_lock(hashtextextended(id::text, 2))"
    assert lock in jobs._NEXT
    assert jobs._NOBODYS in jobs._CLAIM
    monkeypatch.setattr(jobs, "_NEXT", jobs._NEXT.replace(lock, "true"))
    monkeypatch.setattr(
        jobs,
        "_CLAIM",
        jobs._CLAIM.replace(jobs._NOBODYS, "true").replace("FOR NO KEY UPDATE OF j SKIP LOCKED", ""),
    )
    await crews[0].world.tables.execute("ALTER TABLE event DROP CONSTRAINT event_pkey")
    assert max(await taken_at_once(crews)) > 1
    await crews[0].world.tables.execute("TRUNCATE automation_job, event CASCADE")


async def taken_at_once(crews: list[Errands]) -> list[int]:
    """By how many workers each of thirty jobs is taken, of twenty-four who take what they can get."""
    owners = [await crews[0].world.person() for _ in range(30)]
    started = [await crews[0].start(owner) for owner in owners]

    async def work(crew: Errands) -> list[UUID]:
        taken = []
        for _ in range(30):
            claim = await crew.claim()
            if claim is not None:
                taken.append(claim.job.id)
        return taken

    runs = await asyncio.gather(*(work(crews[n % 3]) for n in range(24)))
    by_job = Counter(id_ for run in runs for id_ in run)
    assert set(by_job) == {job.id for job in started}
    return list(by_job.values())


async def test_while_one_takes_a_job_another_takes_the_next_without_waiting(errands: Errands) -> None:
    first, second = [await errands.start(await errands.world.person()) for _ in range(2)]
    async with asyncio.timeout(2), errands.world.app.database.begin(None) as tx:
        mine = await tx.jobs.claim(new_id(), ["toy"], LEASE)
        assert mine is not None
        tx.emit(job_event("automation.started", mine.job))
        theirs = await errands.taken()
    assert [mine.job.id, theirs.job.id] == [first.id, second.id]


SINCE = (
    "UPDATE automation_job SET stop_asked = true",
    "UPDATE automation_job SET deadline_at = clock_timestamp()",
    "UPDATE automation_job SET status = 'STOPPED', finished_at = clock_timestamp()",
    "UPDATE automation_job SET status = 'LOGIN', lease_until = clock_timestamp() + interval '5 s'",
    "UPDATE portal SET enabled = false",
    "UPDATE portal SET shut_until = clock_timestamp() + interval '5 s'",
)


async def test_what_changed_since_the_queue_was_looked_at_is_not_taken(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, tables = await errands.world.person(), errands.world.tables
    monkeypatch.setattr(jobs, "_NEXT", "SELECT id FROM automation_job WHERE portal_key = ANY ($1)")
    for number, change in enumerate(SINCE):
        await errands.start(owner, str(number))
        await tables.execute(change)
        assert await errands.claim() is None, change
        await tables.execute("TRUNCATE automation_job CASCADE")
        await tables.execute("UPDATE portal SET enabled = true, shut_until = NULL")


async def test_who_was_given_up_for_dead_writes_nothing_any_more(errands: Errands) -> None:
    anna = await errands.world.person()
    old = (await errands.begun(anna)).lease
    await errands.lapse(old.job_id)
    new = (await errands.taken()).lease
    assert new.token == old.token + 1
    artifact = Artifact(new_id(), old.job_id, ArtifactKind.SCREENSHOT, old.until)
    automation = errands.automation
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: errands.step(old, STATUS.SEARCHING),
        lambda: errands.step(old, STATUS.STOPPED),
        lambda: errands.fenced(old),
        lambda: errands.complete(old),
        lambda: automation.keep(old, [artifact]),
        lambda: automation.identify(old, b"somebody"),
    ]
    before = await errands.read(old.job_id)
    for write in writes:
        with pytest.raises(LeaseLost):
            await write()
    assert await automation.give_back([old]) == []
    assert await automation.renew([old], LEASE) == {}
    assert await errands.read(old.job_id) == before
    assert await errands.world.tables.fetchval("SELECT count(*) FROM booking") == 0
    assert (await errands.step(new, STATUS.SEARCHING)).status is STATUS.SEARCHING


async def test_nothing_is_written_of_a_job_that_is_over(errands: Errands) -> None:
    for end in (STATUS.STOPPED, STATUS.TIMED_OUT):
        lease = (await errands.begun(await errands.world.person())).lease
        over = await errands.step(lease, end)
        assert (over.over, over.finished_at is not None) == (True, True)
        for status in (STATUS.SEARCHING, STATUS.STOPPED):
            with pytest.raises(LeaseLost):
                await errands.step(lease, status)
        assert await errands.automation.renew([lease], LEASE) == {}
    assert await errands.claim() is None


async def test_a_lease_that_ran_out_can_be_renewed_until_another_takes_the_job(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    await errands.lapse(lease.job_id)
    assert (await errands.step(lease, STATUS.SEARCHING)).status is STATUS.SEARCHING
    renewed, stop = (await errands.automation.renew([lease], LEASE))[lease.job_id]
    assert (renewed.token, renewed.until > lease.until, stop) == (lease.token, True, False)
    assert await errands.claim() is None


async def test_a_fence_needs_a_lease_that_has_not_run_out(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    await errands.lapse(lease.job_id)
    with pytest.raises(LeaseLost):
        await errands.fenced(lease)
    await errands.automation.renew([lease], LEASE)
    assert (await errands.fenced(lease)).fence == SLOT


async def test_behind_a_fence_the_next_attempt_begins_by_finding_out(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    await errands.fenced(lease)
    await errands.step(lease, STATUS.BOOKING, "Still at it.")
    await errands.lapse(lease.job_id)
    claim = await errands.taken()
    assert (claim.job.status, claim.job.fence, claim.job.attempt) == (STATUS.RECONCILING, SLOT, 2)
    lifted = await errands.step(claim.lease, STATUS.SEARCHING, lift_fence=True)
    assert (lifted.fence, lifted.status, lifted.progress) == (None, STATUS.SEARCHING, 70)


async def test_steps_are_the_newest_hundred_and_tell_nothing_twice(errands: Errands) -> None:
    lease = (await errands.begun(await errands.world.person())).lease
    for number in range(120):
        await errands.step(lease, STATUS.SEARCHING, f"Look {number // 2}.")
    steps = (await errands.read(lease.job_id)).steps
    assert [step.message for step in steps[-2:]] == ["Look 58.", "Look 59."]
    assert len(steps) == 62
    for number in range(60):
        job = await errands.step(lease, STATUS.SEARCHING, f"Again {number}.")
    assert (len(job.steps), job.steps[-1].message, job.steps[0].message) == (100, "Again 59.", "Look 20.")


async def test_what_nobody_runs_ends_with_its_time_and_behind_a_fence_as_unknown(errands: Errands) -> None:
    world = errands.world
    waiting = await errands.start(await world.person())
    claims = [
        await errands.taken(),
        await errands.begun(await world.person()),
        await errands.begun(await world.person()),
    ]
    await errands.automation.give_back([claims[0].lease])
    await errands.fenced(claims[1].lease)
    assert await errands.automation.overdue() == []
    for claim in claims:
        await errands.expire(claim.job.id)
    ended = await errands.automation.overdue()
    assert [(job.id, job.status) for job in ended] == [(waiting.id, STATUS.TIMED_OUT)]
    await errands.lapse(claims[1].job.id)
    await errands.lapse(claims[2].job.id)
    next_ = await errands.start(await world.person())
    assert ((await errands.taken()).job.id, await errands.claim()) == (next_.id, None)
    ends = {job.id: (job.status, job.failure) for job in await errands.automation.overdue()}
    assert ends == {
        claims[1].job.id: (STATUS.FAILED, AutomationFailure.UNKNOWN_OUTCOME),
        claims[2].job.id: (STATUS.TIMED_OUT, None),
    }


async def test_a_job_that_was_to_stop_and_whose_worker_is_gone_ends_with_its_lease(errands: Errands) -> None:
    anna, bo = await errands.world.person(), await errands.world.person()
    free, lease = [(await errands.begun(each)).lease for each in (anna, bo)]
    await errands.world.tables.execute(
        "UPDATE automation_job SET stop_asked = true WHERE id = $1", free.job_id
    )
    await errands.fenced(lease)
    assert (await errands.automation.stop(bo, lease.job_id)).status is STATUS.BOOKING
    assert (await errands.automation.renew([lease], LEASE))[lease.job_id][1] is True
    for each in (free, lease):
        await errands.lapse(each.job_id)
    assert await errands.claim() is None
    ends = {job.id: job.status for job in await errands.automation.overdue()}
    assert ends == {free.job_id: STATUS.STOPPED, lease.job_id: STATUS.FAILED}
    assert await errands.events(lease.job_id) == [
        "automation.queued",
        "automation.started",
        "automation.updated",
        "automation.stop_asked",
        "automation.failed",
    ]


async def test_files_kept_of_a_job_are_known_until_they_are_too_old(errands: Errands) -> None:
    anna = await errands.world.person()
    lease = (await errands.begun(anna)).lease
    kept = [Artifact(new_id(), lease.job_id, kind, lease.until) for kind in ArtifactKind]
    job = await errands.automation.keep(lease, kept)
    owned = errands.world.app.services.owned
    assert await owned.artifacts_by_job(anna, [job.id]) == {job.id: kept}
    assert await owned.artifacts_by_job(await errands.world.person(), [job.id]) == {job.id: []}
    begin = errands.world.app.database.begin
    assert await Housekeeping(begin).sweep() == 0
    assert await Housekeeping(begin, artifacts=timedelta(seconds=-60)).sweep() == 2
    assert await owned.artifacts_by_job(anna, [job.id]) == {job.id: []}


async def test_of_many_who_write_one_job_each_is_a_step_in_the_order_of_the_log(crews: list[Errands]) -> None:
    lease = (await crews[0].begun(await crews[0].world.person())).lease
    steps = (crews[n % 3].step(lease, STATUS.SEARCHING, f"Look {n}.") for n in range(60))
    written = await asyncio.gather(*steps)
    assert sorted(job.version for job in written) == [*range(3, 63)]


async def test_a_storm_of_workers_and_owners_leaves_each_job_one_story(crews: list[Errands]) -> None:
    chance, tables = random.Random(11), crews[0].world.tables
    owners = [await crews[0].world.person() for _ in range(12)]

    async def own(crew: Errands, owner: Viewer) -> None:
        for turn in range(4):
            job = await crew.start(owner, f"{turn}")
            if chance.random() < 0.4:
                await crew.automation.stop(owner, job.id)

    async def work(crew: Errands) -> None:
        for _ in range(10):
            claim = await crew.claim()
            await crew.automation.overdue()
            if claim is not None:
                with suppress(LeaseLost):
                    await chance.choice(RUNS)(crew, claim.lease)

    owning = (own(crews[n % 3], owner) for n, owner in enumerate(owners))
    await asyncio.gather(*owning, *(work(crews[n % 3]) for n in range(15)))
    rows = await tables.fetch("SELECT DISTINCT status FROM automation_job")
    assert {row["status"] for row in rows} >= {"COMPLETED", "FAILED", "STOPPED"}


async def _completes(crew: Errands, lease: Lease) -> None:
    await crew.step(lease, STATUS.SEARCHING)
    await crew.automation.renew([lease], LEASE)
    await crew.fenced(lease)
    await crew.complete(lease, str(lease.job_id))


async def _fails(crew: Errands, lease: Lease) -> None:
    await crew.step(lease, STATUS.SEARCHING)
    await crew.step(lease, STATUS.FAILED, failure=AutomationFailure.NO_SLOT_FOUND)


async def _loses(crew: Errands, lease: Lease) -> None:
    await crew.lapse(lease.job_id)
    await crew.step(lease, STATUS.SEARCHING, "Still alive.")


async def _gives_back(crew: Errands, lease: Lease) -> None:
    await crew.automation.give_back([lease])


RUNS = [_completes, _completes, _fails, _loses, _gives_back]


# ------------------------------------------------------------------------------------------------ portals


async def note(errands: Errands, *, down: bool, portal: str = "toy") -> PortalState:
    async with errands.world.app.database.begin(None) as tx:
        return await tx.jobs.note_portal(portal, down)


async def shut_for(errands: Errands) -> timedelta:
    span: timedelta = await errands.world.tables.fetchval("SELECT shut_until - clock_timestamp() FROM portal")
    return span


async def reopen(errands: Errands) -> None:
    await errands.world.tables.execute("UPDATE portal SET shut_until = clock_timestamp()")


async def test_a_portal_that_was_unavailable_is_asked_again_by_the_same_request(errands: Errands) -> None:
    anna, wish = await errands.world.person(), StartJob("toy", CONFIG)
    await errands.world.tables.execute("UPDATE portal SET enabled = false")
    with pytest.raises(PortalUnavailable):
        await errands.automation.start(anna, wish, "a key")
    await errands.world.tables.execute("UPDATE portal SET enabled = true")
    job = await errands.automation.start(anna, wish, "a key")
    assert (await errands.automation.start(anna, wish, "a key")).id == job.id


async def test_a_portal_that_fails_five_times_in_a_row_is_left_in_peace(errands: Errands) -> None:
    job = await errands.start(await errands.world.person())
    for _ in range(4):
        assert (await note(errands, down=True)).shut_until is None
    await note(errands, down=False)
    for _ in range(4):
        assert (await note(errands, down=True)).shut_until is None
    assert (await note(errands, down=True)).shut_until is not None
    assert timedelta(seconds=59) < await shut_for(errands) <= timedelta(seconds=60)
    assert await errands.claim() is None
    assert (await errands.read(job.id)).place is None
    for _ in range(8):  # those who were there already
        await note(errands, down=True)
    assert await shut_for(errands) <= timedelta(seconds=60)


async def test_one_job_tries_a_portal_again_and_its_failure_doubles_the_time(errands: Errands) -> None:
    for _ in range(5):
        await note(errands, down=True)
    jobs_ = [await started_in_spite(errands) for _ in range(8)]
    minutes = []
    for _ in range(7):
        await reopen(errands)
        claim = await errands.taken()
        assert await errands.claim() is None, "one at a time"
        await note(errands, down=True)
        minutes.append(round(await shut_for(errands) / timedelta(minutes=1)))
        await errands.step(claim.lease, STATUS.FAILED, failure=AutomationFailure.PORTAL_DOWN)
    assert minutes == [2, 4, 8, 16, 30, 30, 30]
    await reopen(errands)
    last = await errands.taken()
    assert last.job.id == jobs_[-1]
    assert (await note(errands, down=False)).shut_until is None
    await errands.start(await errands.world.person())
    assert await errands.claim() is not None


async def started_in_spite(errands: Errands) -> UUID:
    """A job queued before the portal was shut."""
    await errands.world.tables.execute("UPDATE portal SET shut_until = NULL")
    try:
        return (await errands.start(await errands.world.person())).id
    finally:
        await reopen(errands)


async def test_of_many_workers_one_tries_a_portal_that_was_shut(crews: list[Errands]) -> None:
    for _ in range(6):
        await crews[0].start(await crews[0].world.person())
    for _ in range(5):
        await note(crews[0], down=True)
    await reopen(crews[0])
    claims = await asyncio.gather(*(crews[n % 3].claim() for n in range(20)))
    assert len([claim for claim in claims if claim is not None]) == 1


async def test_turns_at_a_portal_are_a_gap_apart_over_all_workers(crews: list[Errands]) -> None:
    gap, taken = timedelta(seconds=0.1), list[float]()

    async def turn(crew: Errands) -> None:
        while True:
            async with crew.world.app.database.begin(None) as tx:
                wait = await tx.jobs.turn("toy", gap)
            if not wait:
                taken.append(monotonic())
                return
            await asyncio.sleep(wait.total_seconds())

    began = monotonic()
    await asyncio.gather(*(turn(crews[n % 3]) for n in range(20)))
    assert len(taken) == 20
    assert monotonic() - began >= 19 * gap.total_seconds()


async def test_a_turn_that_is_not_waited_for_is_nobodys(crews: list[Errands]) -> None:
    async with crews[0].world.app.database.begin(None) as tx:
        assert await tx.jobs.turn("toy", timedelta(seconds=60)) == timedelta(0)
        waits = [await tx.jobs.turn("toy", timedelta(seconds=60)) for _ in range(3)]
    assert all(timedelta(seconds=50) < wait <= timedelta(seconds=60) for wait in waits)


async def test_who_can_work_is_who_has_told_so_within_half_a_minute(errands: Errands) -> None:
    world, owned = errands.world, errands.world.app.services.owned

    async def passes(seconds: int) -> None:
        await world.tables.execute(
            "UPDATE automation_worker SET reported_at = reported_at - $1 * interval '1 second'", seconds
        )

    assert await owned.automation_available() is True
    await passes(31)
    assert await owned.automation_available() is False
    await passes(86_400)
    async with world.app.database.begin(None) as tx:
        await tx.jobs.report(new_id(), 4, 1)
    assert await owned.automation_available() is True
    assert await world.tables.fetchval("SELECT count(*) FROM automation_worker") == 1


async def test_a_portal_is_registered_once_with_an_organization_of_its_own(crews: list[Errands]) -> None:
    await asyncio.gather(*(crew.automation.register() for crew in crews for _ in range(5)))
    rows = await crews[0].world.tables.fetch(
        "SELECT o.name, o.currency FROM portal p JOIN organization o ON o.id = p.organization_id"
    )
    assert [tuple(row) for row in rows] == [("Toy examinations", "SEK")]
