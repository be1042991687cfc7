from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from domain.ids import _Sequence, new_id


def test_an_id_is_a_version_7_uuid_that_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= before + 60_000


def test_ids_of_one_process_grow_also_within_a_millisecond() -> None:
    made = [new_id() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))


@pytest.fixture
def busy_threads() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("busy_threads")
def test_threads_never_get_the_same_id_even_with_no_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.ids.secrets.randbits", lambda _: 0)
    monkeypatch.setattr("domain.ids.time.time_ns", lambda: 5_000_000)
    ids = _Sequence()

    def many(_: int) -> list[UUID]:
        return [ids.next() for _ in range(5_000)]

    with ThreadPoolExecutor(4) as pool:
        made = [one for some in pool.map(many, range(4)) for one in some]
    assert len(set(made)) == len(made)


def test_ids_grow_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[int] = iter([2_000_000_000_000, 1_000_000_000_000, 1_999_000_000_000])
    monkeypatch.setattr("domain.ids.time.time_ns", lambda: next(clock))
    ids = _Sequence()
    made = [ids.next() for _ in range(3)]
    assert made == sorted(set(made))


def test_a_counter_that_is_full_carries_into_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.ids.time.time_ns", lambda: 5_000_000)
    monkeypatch.setattr("domain.ids.secrets.randbits", lambda bits: (1 << bits) - 1)
    ids = _Sequence()
    first, second = ids.next(), ids.next()
    assert (first.int >> 80, second.int >> 80) == (5, 6)
    assert first < second
    assert (second.version, second.variant) == (7, RFC_4122)


def test_ids_of_one_millisecond_cannot_be_counted_through() -> None:
    steps = [later.int - earlier.int for earlier, later in pairwise(new_id() for _ in range(1_000))]
    assert min(steps) > 1
    assert len(set(steps)) > 990
