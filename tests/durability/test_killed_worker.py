"""kill -9 of workers that run jobs, in every status: every job ends, and the portal's own books never say two."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from domain.jobs import AutomationStatus, Job
from tests.automation.workplace import Workplace, new_workplace
from tests.durability.job_worker import BEHIND, STEPS
from tests.processes import Holdfast, eventually
from tests.servers import serving
from tests.world import SECRET, new_world

PROGRAM = (sys.executable, "-m", "tests.durability.job_worker")
S = AutomationStatus


class Workers:
    """Processes that run jobs of one database at one portal."""

    def __init__(self, folder: Path, database_url: str, closing: ExitStack) -> None:
        self.books = folder / "books"
        self.books.mkdir()
        self._folder = folder
        self._settings = {"database_url": serving(database_url), "secret": SECRET, "inline_worker": True}
        self._closing = closing

    def start(self, lease: float) -> Holdfast:
        worker = Holdfast(f"{self.books} {lease}", self._folder, program=PROGRAM, **self._settings)
        return self._closing.enter_context(worker)

    def all_held(self, jobs: Sequence[Job], worker: Holdfast, attempt: int = 1) -> bool:
        """Whether the visits of all these jobs have come to where they are held."""
        assert worker.running, worker.said
        return all((self.books / f"{job.id} {attempt}").exists() for job in jobs)

    def booked(self, job: Job) -> int:
        """How often the portal has booked for the job's person."""
        book = self.books / str(job.account_id)
        return len(book.read_text().splitlines()) if book.exists() else 0


@pytest.fixture
async def workplace(data_dir: Path, durable_database_url: str) -> AsyncIterator[Workplace]:
    async with new_world(data_dir, durable_database_url) as world, new_workplace(world) as made:
        yield made


@pytest.fixture
def workers(data_dir: Path, durable_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with ExitStack() as closing:
        yield Workers(data_dir, durable_database_url, closing)


@pytest.mark.durability
@pytest.mark.timeout(120)
@pytest.mark.feature("S0.16", "S1.24")
async def test_workers_killed_in_every_status_leave_no_job_without_an_end_and_no_person_with_two_bookings(
    workplace: Workplace, workers: Workers
) -> None:
    before = [await workplace.start(hold=step) for step in STEPS]
    behind = [await workplace.start(hold=step) for step in BEHIND]
    twice = [await workplace.start(hold=step, then="my_bookings") for step in BEHIND]
    unguarded = await workplace.start(hold="after the click", guarded=False)
    jobs = [*before, *behind, *twice, unguarded]

    first = workers.start(10)
    await eventually(lambda: workers.all_held(jobs, first), 30)
    second = workers.start(5)
    second.ready()
    first.kill()
    killed = monotonic()
    for job in (*before, *behind, unguarded):
        assert (await workplace.ends(job, 30)).status is S.COMPLETED
    assert monotonic() - killed < 30
    await eventually(lambda: workers.all_held(twice, second, 2), 30)
    for job in twice:
        assert (await workplace.job(job)).status is S.RECONCILING
    third = workers.start(5)
    third.ready()
    second.kill()
    for job in twice:
        assert (await workplace.ends(job, 30)).status is S.COMPLETED

    assert [workers.booked(job) for job in (*before, *behind, *twice)] == [1] * (len(jobs) - 1)
    assert workers.booked(unguarded) == 2  # what the guards are for
    for job in jobs:
        assert (await workplace.events(job.id))[-1] == "automation.completed"
