"""Many jobs on one worker, each with its login and its booking: ``python -m bench.soak_jobs [JOBS]``.

Ends with 1 where a login or a booking failed, or the worker's tree has grown by more than 100 MB.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator

from bench.customers import ANYWHERE, Customer, customers
from bench.office import SLOTS, Office, Worker, office_alone
from bench.rows.jobs import can_start, settled
from bench.run import say

JOBS = 1_000
MOST = 100.0
AT_ONCE = 6
"""Fewer than a worker runs: on two cores more would only wait for each other."""


def main() -> int:
    """Soak."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    with office_alone() as working:
        return asyncio.run(_soaked(working, count))


async def _soaked(made: Office, count: int) -> int:
    worker, ends, scans = made.hire(jobs_per_worker=SLOTS), Counter[str](), Counter[int]()
    async with customers(made, count) as people:
        await can_start(people[0])
        queue = iter(people)
        await _together(queue, AT_ONCE, ends, scans)
        begin = await _settled_pss(worker)
        say(f"after {sum(ends.values())} jobs the worker's tree has {begin / 2**20:.0f} MB")
        running = [asyncio.create_task(_one_after_the_other(queue, ends, scans)) for _ in range(AT_ONCE)]
        while not all(task.done() for task in running):
            await asyncio.wait(running, timeout=30)
            say(f"{sum(ends.values())} of {count}: {dict(ends)}, {worker.pss() / 2**20:.0f} MB")
        end = await _settled_pss(worker)
    grown = (end - begin) / 2**20
    print(f"{ends['COMPLETED']} of {count} booked, {dict(ends)}; scans a login {dict(scans)}")
    print(f"memory of the worker's tree {begin / 2**20:.0f} MB at first, {end / 2**20:.0f} MB at last")
    return 0 if ends["COMPLETED"] == count and grown <= MOST else 1


async def _together(queue: Iterator[Customer], count: int, ends: Counter[str], scans: Counter[int]) -> None:
    await asyncio.gather(
        *(_book(person, ends, scans) for _, person in zip(range(count), queue, strict=False))
    )


async def _one_after_the_other(queue: Iterator[Customer], ends: Counter[str], scans: Counter[int]) -> None:
    for person in queue:
        await _book(person, ends, scans)


async def _book(person: Customer, ends: Counter[str], scans: Counter[int]) -> None:
    try:
        async with person.job(**ANYWHERE) as job:
            await job.until(lambda job: job.codes)
            scans[await job.sign_in()] += 1
            await job.until(lambda job: job.over)
            ends[job.status] += 1
    except (RuntimeError, TimeoutError) as error:
        say(f"{person.name}: {error}")
        ends["lost"] += 1


async def _settled_pss(worker: Worker) -> int:
    await settled(worker, 1)
    return worker.pss()


if __name__ == "__main__":
    sys.exit(main())
