"""The rules of taking seats, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.best_available import best_available
from domain.catalogue import Terms
from domain.errors import InvalidInput, PolicyViolation, ReservationLimitReached, SeatsUnavailable
from domain.events import Stream
from domain.holding import (
    MAX_ALTERNATIVES,
    BestAvailable,
    Seats,
    changes,
    hold_until,
    must_be_extensible,
    must_be_on_sale,
    must_be_under_limit,
    must_find,
    not_free,
    seats_event,
    taken_of,
    wanted_seats,
)
from domain.ids import new_id
from domain.ledger import Holder, LockedSchedule
from domain.money import Money
from domain.seats import Allocation, SeatCounts, SeatLayout, SeatStatus, plan_layout, recount

NOW = datetime(2027, 3, 1, 8, tzinfo=UTC)
TTL = timedelta(minutes=15)
LAYOUT = SeatLayout(new_id(), 3, 4, 2, plan_layout(3, 4, 2))
COUNTS = SeatCounts(12, 6, 3, 2, 1)


def terms(**more: Any) -> Terms:
    """The terms of a schedule that starts in an hour."""
    values: dict[str, Any] = {
        "start": NOW + timedelta(hours=1),
        "price": Money(Decimal("500.00"), "INR"),
        "reservation_ttl": TTL,
        "max_seats": 4,
        **more,
    }
    return Terms(new_id(), new_id(), new_id(), LAYOUT.id, **values)


def locked(*held: int, **more: Any) -> LockedSchedule:
    """A schedule under its lock, with these seats in other hands."""
    taken = {seat: Allocation(seat, SeatStatus.HELD, NOW + TTL, new_id()) for seat in held}
    values: dict[str, Any] = {
        "terms": terms(),
        "version": 7,
        "on_sale": True,
        "at": NOW,
        "counts": COUNTS,
        **more,
    }
    return LockedSchedule(taken={*held}, allocations=taken, **values)


def test_seats_are_wanted_in_the_order_of_their_index() -> None:
    named = wanted_seats(Seats(["B1", "A2"]), LAYOUT, 4)
    assert named is not None
    assert [seat.label for seat in named] == ["A2", "B1"]


def test_the_best_are_ours_to_choose() -> None:
    assert wanted_seats(BestAvailable(4), LAYOUT, 4) is None


@pytest.mark.parametrize(
    "wanted",
    [
        Seats([]),
        Seats(["A1"] * 2),
        Seats(["D1"]),
        Seats(["a1"]),
        Seats(["A1", "A2", "A3", "A4", "B1"]),
        BestAvailable(0),
        BestAvailable(5),
        BestAvailable(1, category="gold"),
    ],
)
def test_a_wish_that_nothing_could_meet_is_invalid(wanted: Seats | BestAvailable) -> None:
    with pytest.raises(InvalidInput) as refused:
        wanted_seats(wanted, LAYOUT, 4)
    assert refused.value.path
    assert refused.value.path[0] == "target"


def test_a_schedule_is_sold_until_the_instant_it_starts() -> None:
    must_be_on_sale(locked(terms=terms(start=NOW + timedelta(microseconds=1))))
    for start, on_sale in ((NOW, True), (NOW - TTL, True), (NOW + TTL, False)):
        with pytest.raises(InvalidInput):
            must_be_on_sale(locked(terms=terms(start=start), on_sale=on_sale))


def test_the_limit_is_how_many_one_may_hold_at_once() -> None:
    must_be_under_limit(Holder(4, NOW), 5)
    with pytest.raises(ReservationLimitReached) as refused:
        must_be_under_limit(Holder(5, NOW + TTL), 5)
    assert (refused.value.limit, refused.value.retry_at) == (5, NOW + TTL)


@pytest.mark.parametrize(
    ("until_start", "lasts"),
    [(timedelta(hours=1), TTL), (TTL, TTL), (timedelta(minutes=3), timedelta(minutes=3))],
)
def test_a_hold_ends_after_its_time_or_at_the_start(until_start: timedelta, lasts: timedelta) -> None:
    assert hold_until(terms().reservation_ttl, NOW + until_start, NOW) == NOW + lasts


def test_a_reservation_that_has_extensions_left_may_be_extended() -> None:
    must_be_extensible(1)
    with pytest.raises(PolicyViolation):
        must_be_extensible(0)


def test_a_refusal_names_what_is_taken_and_offers_what_is_near() -> None:
    state = locked(0, 1, 4, 5)
    named = wanted_seats(Seats(["A1", "A2", "A3"]), LAYOUT, 4)
    assert named is not None
    assert [seat.label for seat in taken_of(named, state)] == ["A1", "A2"]
    refused = not_free(named, LAYOUT, state)
    assert [(state.seat.label, state.status) for state in refused.unavailable] == [
        ("A1", SeatStatus.HELD),
        ("A2", SeatStatus.HELD),
    ]
    assert [state.seat.label for state in refused.alternatives] == ["A3", "A4", "B3", "C1", "C2"]
    assert not any(state.mine for state in (*refused.unavailable, *refused.alternatives))
    assert "A1, A2" in refused.message


def test_who_asks_for_more_than_are_together_is_offered_those_there_are() -> None:
    state = locked(*range(0, 12, 2))
    assert must_find(BestAvailable(2, together=False), LAYOUT, state)
    with pytest.raises(SeatsUnavailable) as refused:
        must_find(BestAvailable(2), LAYOUT, state)
    assert len(refused.value.alternatives) == MAX_ALTERNATIVES


@given(st.sets(st.integers(0, 11)), st.integers(1, 4), st.booleans())
def test_what_is_found_is_free_and_what_is_refused_is_not_there(
    busy: set[int], count: int, together: bool
) -> None:
    wish, state, free = BestAvailable(count, together), locked(*busy), 12 - len(busy)
    found = best_available(LAYOUT, {*range(12)} - busy, count, together)
    if found is None:
        assert together or free < count
        with pytest.raises(SeatsUnavailable) as refused:
            must_find(wish, LAYOUT, state)
        offered = {each.seat.index for each in refused.value.alternatives}
        assert not offered & busy
        assert len(offered) == min(MAX_ALTERNATIVES, free)
    else:
        assert must_find(wish, LAYOUT, state) == found
        assert len({seat.index for seat in found} - busy) == count


@given(st.sampled_from(SeatStatus), st.sampled_from(SeatStatus), st.integers(0, 3))
def test_counting_anew_loses_no_seat(before: SeatStatus, after: SeatStatus, seats: int) -> None:
    counts = recount(COUNTS, before, after, seats)
    assert counts.total == counts.available + counts.held + counts.booked + counts.blocked == 12


def test_counting_anew_moves_seats_from_one_status_to_another() -> None:
    assert recount(COUNTS, SeatStatus.HELD, SeatStatus.BOOKED, 2) == SeatCounts(12, 6, 1, 4, 1)


def test_a_step_of_a_schedule_tells_the_next_version_and_nobodys_name() -> None:
    changed = changes(LAYOUT, [0, 5], SeatStatus.HELD, NOW + TTL)
    schedule = locked()
    schedule.step(SeatStatus.AVAILABLE, SeatStatus.HELD, 2)
    event = seats_event("seats.held", schedule, changed)
    assert (event.stream, event.version, event.at, event.account_id) == (Stream.SCHEDULE, 8, NOW, None)
    until = (NOW + TTL).isoformat()
    assert event.data == {
        "changed": [
            {"label": "A1", "status": "HELD", "heldUntil": until},
            {"label": "B2", "status": "HELD", "heldUntil": until},
        ],
        "counts": {"total": 12, "available": 4, "held": 5, "booked": 2, "blocked": 1},
    }
