"""What goes wrong around a job, at a real portal in real browsers; the portal's own books say what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest

from bench.browser_processes import alive
from tests.acceptance.conftest import reachable_folder
from tests.acceptance.holds import BEFORE, BEHIND, Hold, slow, trouble
from tests.acceptance.office import Day, Office, day_at, running_office
from tests.processes import eventually
from tests.servers import PostgresServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STOPPED_WITHIN = 5.0


@pytest.fixture(scope="module")
def office(run_dir: Path, postgres: PostgresServer) -> Iterator[Office]:
    """Give a portal, Redis and a server."""
    with postgres.database() as database_url, running_office(database_url, reachable_folder(run_dir)) as made:
        yield made


@pytest.fixture
async def day(office: Office) -> AsyncIterator[Day]:
    async with day_at(office) as begun:
        yield begun


@pytest.mark.feature("S0.16", "S1.24")
async def test_of_workers_killed_in_every_status_nothing_is_left_and_nobody_is_booked_twice(day: Day) -> None:
    """The first shares one browser among its jobs; the second has one for each, and its driver hangs before it dies."""
    office, places = day.office, len(BEFORE) + 1
    dense = await office.hire(patient=True, jobs_per_worker=places, browser_sharing="worker")
    await office.open()
    jobs = {where: await hold.take(day, f"at {where}") for where, hold in BEFORE.items()}
    gone = await BEFORE["the times"].take(day, "who gives up")
    roomy = await office.hire(patient=True, jobs_per_worker=len(BEHIND) + 2)
    jobs |= {where: await hold.take(day, f"at {where}") for where, hold in BEHIND.items()}
    await day.portal.scenario(renamed="Choose places")
    jobs["places"] = await Hold("LOCATIONS").take(day, "at the places")
    for driver in roomy.drivers():
        driver.suspend()
    jobs["start"] = await Hold("STARTING", signs=False).take(day, "at the start")
    jobs["queue"] = await Hold("QUEUED", signs=False).take(day, "in the queue")

    roomy.kill()
    dense.kill()
    held = {hold.status for hold in (*BEFORE.values(), *BEHIND.values())} | {
        "LOCATIONS",
        "STARTING",
        "QUEUED",
    }
    assert {each.status for each in jobs.values()} == held
    assert (await gone.stop())["status"] == "STOPPED"
    await day.portal.scenario(renamed="")
    heir = await office.hire(jobs_per_worker=5, browser_sharing="worker")
    for worker in (roomy, dense):
        await worker.nothing_is_left()
    await asyncio.gather(*(each.sign_in() for each in jobs.values()))
    for where, each in jobs.items():
        await each.ends(60)
        assert each.status == "COMPLETED", (where, each.job)
    assert {where: await day.times_booked(each) for where, each in jobs.items()} == dict.fromkeys(jobs, 1)
    assert await day.times_booked(gone) == 0
    heir.kill()
    await heir.nothing_is_left()


@pytest.mark.feature("S0.17", "S1.6")
async def test_jobs_are_stopped_in_every_status_within_five_seconds_though_the_portal_hangs(day: Day) -> None:
    office = day.office
    where = {**BEFORE, **BEHIND}
    worker = await office.hire(patient=True, jobs_per_worker=len(where), browser_sharing="worker")
    await office.open()
    jobs = {name: await hold.take(day, f"at {name}") for name, hold in where.items()}
    jobs["queue"] = await Hold("QUEUED").take(day, "in the queue")
    with day.frozen_portal():
        asked = monotonic()
        await asyncio.gather(*(each.stop() for each in jobs.values()))
        await asyncio.gather(*(each.ends(STOPPED_WITHIN) for each in jobs.values()))
        assert monotonic() - asked < STOPPED_WITHIN
    for name, each in jobs.items():
        if name in BEHIND:
            assert (each.status, each.job["failure"]) == ("FAILED", "UNKNOWN_OUTCOME")
            assert "bookings" in each.job["message"]
        else:
            assert each.status == "STOPPED", (name, each.job)
        assert await day.clicks(each) == (name in BEHIND)
    await eventually(lambda: "job.left" in worker.process.said)


async def test_a_worker_frozen_past_its_lease_writes_and_clicks_nothing_when_it_wakes(day: Day) -> None:
    frozen = await day.office.hire(jobs_per_worker=1)
    await day.office.open()
    theirs = frozen.browsers()
    job = await Hold("BOOKING", slow("keep", after=True, seconds=2)).take(day, "who waits")
    frozen.process.freeze()
    heir = await day.office.hire(jobs_per_worker=1)
    await job.ends()
    assert (job.status, job.job["attempt"]) == ("COMPLETED", 2)
    heir.kill()

    frozen.process.thaw()
    await eventually(lambda: not any(alive(one) for one in theirs), 5)
    next_ = await day.apply("who comes next")
    await next_.ends()
    assert next_.status == "COMPLETED"
    assert [await day.clicks(each) for each in (job, next_)] == [1, 1]
    assert job.told[-1]["attempt"] == 2


async def test_a_browser_killed_in_the_middle_costs_its_job_an_attempt_and_others_nothing(day: Day) -> None:
    worker = await day.office.hire(patient=True)
    await day.office.open()
    theirs = worker.browsers()
    job = await BEHIND["the answer to the click"].take(day, "whose browser dies")
    other = await BEFORE["the person"].take(day, "whose does not")
    for one in theirs:
        one.kill()
    await job.ends()
    await other.sign_in()
    await other.ends()
    assert [(each.status, each.job["attempt"]) for each in (job, other)] == [
        ("COMPLETED", 2),
        ("COMPLETED", 1),
    ]
    assert [await day.clicks(each) for each in (job, other)] == [1, 1]


async def test_without_redis_codes_arrive_beside_the_worker_and_elsewhere_the_job_says_why_they_do_not(
    day: Day,
) -> None:
    office, waits = day.office, BEFORE["the person"]
    await office.hire(jobs_per_worker=1)
    await office.open()
    elsewhere = await waits.take(day, "elsewhere")
    inline = office.cluster.start(inline_worker=True, **office.settings | {"jobs_per_worker": 1})
    await asyncio.to_thread(inline.ready)
    beside = await waits.take(day, "beside it", server=inline)

    await office.cluster.redis.stop()
    seen = len(beside.codes)
    await beside.until(lambda: len(beside.codes) > seen + 2)
    await elsewhere.until(lambda: "cannot be handed over" in elsewhere.job["message"])
    await beside.sign_in()
    await beside.ends()
    await office.cluster.redis.start()
    seen = len(elsewhere.codes)
    await elsewhere.until(lambda: len(elsewhere.codes) > seen)
    await elsewhere.sign_in()
    await elsewhere.ends()
    for each in (beside, elsewhere):
        assert each.status == "COMPLETED", each.job
        frames = [code["frame"] for code in each.codes]
        assert frames == sorted(set(frames))


async def test_who_cancels_dawdles_or_scans_twice_is_told_and_booked_once_at_most(day: Day) -> None:
    await day.office.hire(browser_sharing="worker")
    await day.office.open()
    cancels, twice = [
        await BEFORE["the person"].take(day, name) for name in ("who cancels", "who scans twice")
    ]
    await day.portal.scenario(order_seconds=1.5, orders=1)
    dawdles = await BEFORE["the person"].take(day, "who dawdles")

    await cancels.scan()
    await cancels.phone.cancel()
    await cancels.ends()
    assert (cancels.status, cancels.job["failure"]) == ("FAILED", "LOGIN_REFUSED")
    assert "cancelled" in cancels.job["message"]

    assert (await twice.scan()).hint == "userSign"
    assert (await twice.phone.scan(twice.codes[-1]["text"])).hint == "alreadyInProgress"
    await twice.phone.confirm()

    await dawdles.until(lambda: len({code["text"].split(".")[1] for code in dawdles.codes}) > 1)
    await day.portal.scenario(order_seconds=30)
    await dawdles.sign_in()
    for each in (twice, dawdles):
        await each.ends()
        assert each.status == "COMPLETED", each.job
    assert [await day.times_booked(each) for each in (cancels, twice, dawdles)] == [0, 1, 1]


async def test_a_portal_that_ends_sessions_is_down_or_changed_is_told_of_and_books_once_at_most(
    day: Day,
) -> None:
    await day.office.hire(browser_sharing="worker")
    await day.office.open()
    down = await Hold("NAVIGATING", [trouble("front", "maintenance")]).take(day, "in the night")
    await down.ends()
    late = [*slow("times", before=1, seconds=0), trouble("times", "signed-out")]
    ended = await Hold("SEARCHING", late).take(day, "in a search")
    await ended.ends()
    clicked = await Hold("BOOKING", [trouble("book", "signed-out", after=True)]).take(day, "at a click")
    await clicked.ends()
    await day.portal.scenario(renamed="Search")
    changed = await day.apply("with an older adapter")
    await changed.ends()
    assert (changed.status, changed.job["failure"]) == ("FAILED", "PORTAL_CHANGED")
    assert {each.status for each in (down, ended, clicked)} == {"COMPLETED"}
    assert any("does not answer" in told["message"] for told in down.told)
    signed_in = [entry["person"] for entry in await day.portal.log("signed-in")]
    assert [signed_in.count(each.person) for each in (ended, clicked, down)] == [2, 2, 1]
    assert [await day.clicks(each) for each in (ended, clicked, down, changed)] == [1, 1, 1, 0]
