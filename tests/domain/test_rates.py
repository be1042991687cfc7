"""What each caller may send a minute, in one process and over several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from uuid import uuid4

import pytest

from domain import rates
from domain.errors import RateLimited
from domain.rates import Rates
from domain.viewer import Viewer
from tests.processes import eventually

SECRET = b"s" * 32
GUEST = Viewer("192.0.2.1", "request")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def user(address: str = "192.0.2.1") -> Viewer:
    return Viewer(address, "request", uuid4(), uuid4())


def taken(of: Rates, viewer: Viewer, most: int = 10_000) -> int:
    """How many requests get through at once."""
    for count in range(most):
        try:
            of.admit(viewer)
        except RateLimited:
            return count
    return most


@pytest.mark.feature("S2.37", "S3.43")
def test_sixty_requests_a_minute_are_let_through_and_the_next_one_is_told_how_long_to_wait() -> None:
    clock = Clock()
    limited = Rates(60, 60, SECRET, clock)
    assert taken(limited, GUEST) == 60
    with pytest.raises(RateLimited) as caught:
        limited.admit(GUEST)
    assert caught.value.message == "More than 60 requests a minute: wait, then send fewer."
    assert caught.value.extensions == {"retryAfter": 1}
    clock.now += 1
    assert taken(limited, GUEST) == 1
    clock.now += 60
    assert taken(limited, GUEST) == 60


def test_who_is_turned_away_waits_no_longer_for_trying_again() -> None:
    clock = Clock()
    limited = Rates(60, 60, SECRET, clock)
    taken(limited, GUEST)
    for _ in range(1_000):
        with pytest.raises(RateLimited):
            limited.admit(GUEST)
    clock.now += 1
    limited.admit(GUEST)


def test_accounts_do_not_count_for_the_address_nor_for_each_other() -> None:
    limited = Rates(5, 3, SECRET)
    ada, bob = user(), user()
    assert [taken(limited, caller) for caller in (ada, bob, GUEST)] == [5, 5, 3]
    assert taken(limited, Viewer("192.0.2.2", "request")) == 3


def test_guests_of_one_network_are_one() -> None:
    limited = Rates(5, 3, SECRET)
    assert taken(limited, Viewer("2001:db8::1", "request")) == 3
    assert taken(limited, Viewer("2001:db8::2", "request")) == 0
    assert taken(limited, Viewer("::ffff:192.0.2.9", "request")) == 3
    assert taken(limited, Viewer("192.0.2.9", "request")) == 0


def test_nought_is_no_limit_and_an_unknown_address_has_none() -> None:
    assert taken(Rates(0, 0, SECRET), GUEST) == 10_000
    assert taken(Rates(0, 0, SECRET), user()) == 10_000
    assert taken(Rates(1, 1, SECRET), Viewer("", "request")) == 10_000


def test_callers_who_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "FEW", 100)
    clock = Clock()
    limited = Rates(60, 60, SECRET, clock)
    limited._many = 100
    for number in range(100_000):
        limited.admit_address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        clock.now += 0.1
    assert len(limited._full) <= 200


def test_judging_costs_next_to_nothing() -> None:
    limited = Rates(10**9, 10**9, SECRET)
    begun = time.process_time()
    for _ in range(20_000):
        limited.admit(GUEST)
    assert (time.process_time() - begun) / 20_000 < 10e-6


class Shared:
    """Stands for Redis."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.full: dict[bytes, float] = {}
        self.away = False
        self.exchanges = 0

    async def add(self, used: Mapping[bytes, float]) -> Mapping[bytes, float]:
        self.exchanges += 1
        if self.away:
            raise ConnectionError("nobody there")
        for name, seconds in used.items():
            self.full[name] = max(self.full.get(name, 0.0), self.clock.now) + seconds
        return {name: self.full[name] - self.clock.now for name in used}


async def test_processes_that_share_let_through_what_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "INTERVAL", 0.005)
    clock = Clock()
    shared = Shared(clock)
    processes = [Rates(60, 60, SECRET, clock) for _ in range(3)]
    sharing = [asyncio.create_task(each.share(shared)) for each in processes]
    await asyncio.sleep(0)

    async def exchanged() -> None:
        await eventually(lambda: not any(each._used for each in processes))

    for _ in range(2):
        for each in processes:
            for _ in range(15):
                each.admit(GUEST)
        await exchanged()
    assert [taken(each, GUEST) for each in processes] == [0, 0, 0]
    clock.now += 29
    assert sum(taken(each, GUEST, 1) for each in processes) <= 2
    await exchanged()
    assert [taken(each, GUEST) for each in processes] == [
        0,
        0,
        0,
    ]  # ninety slipped through, and are paid back
    for task in sharing:
        task.cancel()
    await asyncio.gather(*sharing, return_exceptions=True)


async def test_without_the_others_each_process_judges_by_itself_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rates, "INTERVAL", 0.005)
    clock = Clock()
    shared = Shared(clock)
    shared.away = True
    limited = Rates(60, 60, SECRET, clock)
    sharing = asyncio.create_task(limited.share(shared))
    await asyncio.sleep(0)

    async def exchanged(times: int) -> None:
        for _ in range(times):
            seen = shared.exchanges
            clock.now += 1
            limited.admit(GUEST)
            await eventually(lambda: shared.exchanges > seen)  # noqa: B023

    await exchanged(5)
    assert len(caplog.records) == 1
    assert taken(limited, GUEST) == 60 - 1
    shared.away = False
    await eventually(lambda: not limited._used)
    await exchanged(2)
    await eventually(lambda: len(caplog.records) == 2)
    assert "192.0.2.1" not in caplog.text
    assert b"192.0.2.1" not in b"".join(shared.full)
    sharing.cancel()
    await asyncio.gather(sharing, return_exceptions=True)
