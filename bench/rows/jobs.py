"""Jobs from end to end, over a server, Redis and workers that are processes of their own, at the demo portal.

Codes at the subscriber with 8 and 16 jobs at once, logins through a phone that refuses what is older than 2 seconds,
from the start to the first code, from the login to the booking, from a stop to the end of the browser, from a worker's
crash to a new code, memory a job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import psutil

from bench.customers import ANYWHERE, Customer, Watched, customers
from bench.figures import Figure, Goal, Row, percentile
from bench.office import SLOTS, Office, Worker, office
from bench.run import Run, say

BROWSER = "--remote-debugging-pipe"
STREAMING = 6.0
CALM = 2.0
"""Seconds after so many browsers were started at once."""

LOGINS = 6
STARTS = 2
CRASHES = 1


def measure(run: Run) -> Row:
    """All of it."""
    row = Row("jobs")
    with office(run) as made:
        for part in (_one_by_one, _streams, _memory, _crashes):
            say(f"  jobs: {part.__name__.strip('_').replace('_', ' ')}")
            asyncio.run(part(made, row, run.scale.repetitions <= 1))
            made.dismiss()
    return row


async def _one_by_one(made: Office, row: Row, tiny: bool) -> None:
    """Jobs one after the other on a warm worker; two at once for one that finds no spare browser."""
    worker = made.hire()
    first, signed, scans, gone, cold = [], [], [], [], []
    async with customers(made, 100) as people:
        await can_start(people[0])
        await settled(worker, 1)
        for number in range(2 if tiny else LOGINS):
            async with people[number].job(**ANYWHERE) as job:
                await job.until(lambda job: job.codes)
                first.append(job.codes[0].here - job.started)
                scans.append(await job.sign_in())
                await job.until(lambda job: job.over)
                if job.status != "COMPLETED":
                    raise RuntimeError(f"{job.status}: {job.message}")
                signed.append(job.statuses["COMPLETED"] - job.statuses["AUTHENTICATED"])
            await settled(worker, 1)
        for number in range(1 if tiny else STARTS):
            async with AsyncExitStack() as stack:
                pair = [
                    await stack.enter_async_context(people[50 + 2 * number + i].job(**ANYWHERE))
                    for i in (0, 1)
                ]
                for job in pair:
                    await job.until(lambda job: job.codes)
                cold.append(max(job.codes[0].here - job.started for job in pair))
                gone += [await _stop_to_gone(worker, job) for job in pair]
            await settled(worker, 1)
    row.figures += [
        Figure("job, start to first code, p95, warm", percentile(first, 0.95), Goal("at most", 1.0), "s"),
        Figure(
            "job, start to first code, p95, no spare browser",
            percentile(cold, 0.95),
            Goal("at most", 2.0),
            "s",
        ),
        Figure("job, login to confirmed, p95", percentile(signed, 0.95), Goal("at most", 3.0), "s"),
        Figure(
            "scans that the phone took, which refuses what is older than 2 s",
            100 * len(scans) / sum(scans),
            Goal("at least", 100),
            "%",
        ),
        Figure("job, stop to browser gone, p95", percentile(gone, 0.95), Goal("at most", 1.0), "s"),
    ]
    row.behind["one by one"] = {
        "start to first code, warm, s": _rounded(first),
        "start to first code, two at once, s": _rounded(cold),
        "login to confirmed, s": _rounded(signed),
        "scans a login": scans,
        "stop to browser gone, s": _rounded(gone),
    }


async def _streams(made: Office, row: Row, tiny: bool) -> None:
    """From the page to the subscriber, with 8 jobs on one worker and 16 on two."""
    for count, goal in ((SLOTS, 75.0), (2 * SLOTS, 150.0)):
        if tiny and count > SLOTS:
            continue
        made.hire()
        async with customers(made, count, 200 + count) as people, AsyncExitStack() as stack:
            await can_start(people[0])
            jobs = [await stack.enter_async_context(person.job(**ANYWHERE)) for person in people]
            for job in jobs:
                await job.until(lambda job: job.codes)
            await asyncio.sleep(0 if tiny else CALM)
            begin = time.time()
            await asyncio.sleep(2 if tiny else STREAMING)
            late = [(code.here - code.shown) * 1e3 for job in jobs for code in job.codes if code.here > begin]
            missed = sum(_missed(job, begin) for job in jobs)
            for job in jobs:
                await job.stop()
            for job in jobs:
                await job.until(lambda job: job.over)
        what = f"code changed on the page to its subscriber, {count} jobs, p99"
        row.figures.append(Figure(what, percentile(late, 0.99), Goal("at most", goal), "ms"))
        row.behind[f"codes, {count} jobs"] = {
            "frames": len(late),
            "missed": missed,
            "ms p50 p95 p99 max": [round(percentile(late, part), 1) for part in (0.5, 0.95, 0.99, 1.0)],
        }


async def _memory(made: Office, row: Row, tiny: bool) -> None:
    """What jobs that wait for their codes to be scanned add to a worker's tree."""
    for sharing, goal in (("job", 8), ("worker", 20)):
        worker = made.hire(browser_sharing=sharing, jobs_per_worker=SLOTS)
        async with customers(made, SLOTS, 300) as people, AsyncExitStack() as stack:
            await can_start(people[0])
            await settled(worker, 1)
            alone = worker.pss() - (_spare(worker) if sharing == "job" else 0)
            jobs = [
                await stack.enter_async_context(person.job(**ANYWHERE))
                for person in people[: 2 if tiny else None]
            ]
            for job in jobs:
                await job.until(lambda job: job.codes)
            each = (worker.pss() - alone) / len(jobs)
            for job in jobs:
                await job.stop()
            for job in jobs:
                await job.until(lambda job: job.over)
        what = f"jobs a GiB, a browser for each {sharing}"
        row.figures.append(Figure(what, 2**30 / each, Goal("at least", goal), "jobs"))
        row.behind[f"memory, a browser for each {sharing}"] = {
            "worker alone MB": round(alone / 2**20),
            "a job MB": round(each / 2**20),
        }
        made.dismiss()


async def _crashes(made: Office, row: Row, tiny: bool) -> None:
    """The worker that has the job is killed before the login; the other one takes it over."""
    took = []
    made.hire()
    async with customers(made, CRASHES, 400) as people:
        await can_start(people[0])
        for person in people[: 1 if tiny else None]:
            async with person.job(**ANYWHERE) as job:
                await job.until(lambda job: job.codes)
                busy = made.workers[0]
                made.hire()
                seen, begun = len(job.codes), time.time()
                busy.kill()
                made.workers.remove(busy)
                await job.until(lambda job, seen=seen, begun=begun: _anew(job, seen, begun))
                took.append(job.codes[-1].here - begun)
                await job.stop()
                await job.until(lambda job: job.over)
    what = "worker killed before the login, to a new code, p95"
    row.figures.append(Figure(what, percentile(took, 0.95), Goal("at most", 20), "s"))
    row.behind["worker killed to a new code, s"] = _rounded(took)


def _anew(job: Watched, seen: int, begun: float) -> bool:
    """Whether a code came that only another worker can have shown."""
    return len(job.codes) > seen and job.codes[-1].shown > begun + 1


def _missed(job: Watched, begin: float) -> int:
    """Seconds of an order whose code never came: the third part of a code's text counts them."""
    orders: dict[str, list[int]] = {}
    for code in job.codes:
        if code.here > begin:
            _, token, seconds, _ = code.text.split(".")
            orders.setdefault(token, []).append(int(seconds))
    return sum(max(seen) - min(seen) + 1 - len(seen) for seen in orders.values())


async def _stop_to_gone(worker: Worker, job: Watched) -> float:
    """Seconds from asking for a stop until one browser less runs."""
    before = _browsers(worker)
    begun = time.perf_counter()
    await job.stop()
    while len(before & _browsers(worker)) == len(before):
        if time.perf_counter() - begun > 30:
            raise RuntimeError("the browser stays")
        await asyncio.sleep(0.01)
    return time.perf_counter() - begun


def _spare(worker: Worker) -> int:
    """Bytes of the browser that waits: a worker that has no room for another job has none."""
    (root,) = map(psutil.Process, _browsers(worker))
    return sum(each.memory_full_info().pss for each in (root, *root.children(recursive=True)))


def _browsers(worker: Worker) -> set[int]:
    """The main processes of its browsers."""
    found = set()
    for process in worker.family()[1:]:
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if BROWSER in line and not any(word.startswith("--type=") for word in line):
            found.add(process.pid)
    return found


async def settled(worker: Worker, spare: int) -> None:
    """Wait until the worker has nothing but its spare browser."""
    await _until(lambda: len(_browsers(worker)) == spare)
    await asyncio.sleep(0.5)  # its first page is being made


async def can_start(person: Customer) -> None:
    """Wait until a worker has reported."""
    ends = time.monotonic() + 30
    while not (await person.ask("{ server { automationAvailable } }"))["automationAvailable"]:
        if time.monotonic() > ends:
            raise RuntimeError("no worker reports")
        await asyncio.sleep(0.05)


async def _until(met: Any) -> None:
    ends = time.monotonic() + 30
    while not met():
        if time.monotonic() > ends:
            raise RuntimeError("it does not settle")
        await asyncio.sleep(0.02)


def _rounded(seconds: Sequence[float]) -> dict[str, Any]:
    return {"median": round(median(seconds), 3), "all": [round(each, 3) for each in seconds]}
