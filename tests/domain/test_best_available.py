"""The rule against an oracle that tries every combination of seats of small layouts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.best_available import best_available
from domain.errors import InvalidInput
from domain.ids import new_id
from domain.seats import Seat, SeatCategory, SeatLayout, plan_layout


def layout_of(
    rows: int,
    columns: int,
    aisle: int | None = None,
    missing: Iterable[str] = (),
    categories: Iterable[SeatCategory] = (),
) -> SeatLayout:
    seats = plan_layout(rows, columns, aisle, tuple(missing), tuple(categories))
    return SeatLayout(new_id(), rows, columns, aisle, seats)


def chosen(
    layout: SeatLayout, count: int, taken: str = "", together: bool = True, category: str | None = None
) -> str | None:
    free = {seat.index for seat in layout.seats if seat.label not in taken.split()}
    seats = best_available(layout, free, count, together, category)
    return None if seats is None else " ".join(seat.label for seat in seats)


def test_a_pair_in_an_empty_bus_sits_in_front_on_one_side_of_the_aisle() -> None:
    assert chosen(layout_of(10, 4, 2), 2) == "A1 A2"


def test_a_theatre_without_an_aisle_fills_from_the_middle() -> None:
    assert chosen(layout_of(5, 9), 3) == "A4 A5 A6"


def test_a_single_takes_the_seat_beside_a_stranger_before_it_breaks_a_pair() -> None:
    assert chosen(layout_of(3, 4, 2), 1, taken="A1 A2 A3 A4 B1 B2 B3 C4") == "B4"


def test_a_row_further_back_is_better_than_a_stranded_seat() -> None:
    assert chosen(layout_of(2, 3), 2, taken="B3") == "B1 B2"


def test_a_party_sits_across_the_aisle_only_when_it_must() -> None:
    assert chosen(layout_of(2, 4, 2), 2, taken="A1 A4 B3 B4") == "B1 B2"
    assert chosen(layout_of(2, 4, 2), 2, taken="A1 A4 B1 B2 B3 B4") == "A2 A3"


def test_a_missing_seat_parts_a_row() -> None:
    assert chosen(layout_of(1, 4, missing=["A2"]), 3) is None


def test_a_party_of_four_may_sit_in_two_rows_one_behind_the_other() -> None:
    assert chosen(layout_of(3, 2), 4) == "A1 A2 B1 B2"


def test_a_party_of_three_is_not_put_in_two_rows() -> None:
    assert chosen(layout_of(3, 2), 3) is None


def test_two_rows_that_are_not_behind_each_other_are_not_together() -> None:
    assert chosen(layout_of(2, 4, 2), 4, taken="A3 A4 B1 B2") is None
    assert chosen(layout_of(3, 2), 4, taken="B1 B2") is None


def test_two_uneven_rows_are_better_than_stranded_seats() -> None:
    assert chosen(layout_of(10, 4, 2), 6) == "A1 A2 B1 B2 B3 B4"


def test_a_party_that_may_be_split_gets_the_longest_rows() -> None:
    assert chosen(layout_of(3, 3), 5, taken="B1 B2 B3", together=False) == "A1 A2 A3 C1 C2"


def test_accessible_seats_are_kept_for_last() -> None:
    layout = layout_of(2, 2, categories=[SeatCategory("front", ["A1", "A2"], accessible=True)])
    assert chosen(layout, 2) == "B1 B2"
    assert chosen(layout, 2, taken="B1") == "A1 A2"
    assert chosen(layout, 2, taken="A1", together=False) == "B1 B2"
    assert chosen(layout, 3, taken="A2", together=False) == "A1 B1 B2"


def test_a_split_party_takes_every_ordinary_seat_before_an_accessible_one() -> None:
    front = SeatCategory("front", ["A1", "A2", "A3"], accessible=True)
    layout = layout_of(3, 3, missing=["B2", "B3", "C2", "C3"], categories=[front])
    assert chosen(layout, 4, together=False) == "A1 A2 B1 C1"


def test_only_seats_of_the_wanted_category_are_given() -> None:
    layout = layout_of(2, 4, categories=[SeatCategory("premium", ["B1", "B2"])])
    assert chosen(layout, 2, category="premium") == "B1 B2"
    assert chosen(layout, 3, category="premium", together=False) is None
    assert chosen(layout, 1, category="unheard of") is None


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        best_available(layout_of(1, 1), [0], 0)
    assert refused.value.path == ("target", "bestAvailable", "count")


@dataclass(frozen=True)
class Case:
    layout: SeatLayout
    free: frozenset[int]
    count: int
    category: str | None

    @property
    def wanted(self) -> list[Seat]:
        seats = [self.layout.seats[index] for index in sorted(self.free)]
        return [seat for seat in seats if self.category in (None, seat.category)]

    @property
    def ordinary(self) -> list[Seat]:
        return [seat for seat in self.wanted if not seat.accessible]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    aisle = draw(st.none() | st.integers(1, columns - 1)) if columns > 1 else None
    labels = [seat.label for seat in plan_layout(rows, columns)]
    some = st.sets(st.sampled_from(labels), max_size=len(labels) - 1)
    missing = draw(st.just(set[str]()) | some)
    left = [label for label in labels if label not in missing]
    kinds = draw(st.lists(st.sampled_from("sssspa"), min_size=len(left), max_size=len(left)))
    categories = [
        SeatCategory(
            name, [label for label, kind in zip(left, kinds, strict=True) if kind == letter], letter == "a"
        )
        for name, letter in (("premium", "p"), ("standard", "a"))
    ]
    layout = layout_of(rows, columns, aisle, missing, categories)
    free = draw(st.just(set(range(len(layout)))) | st.sets(st.sampled_from(range(len(layout)))))
    count = draw(st.integers(1, 6))
    assume(comb(len(free), count) <= 6_000)
    return Case(layout, frozenset(free), count, draw(st.sampled_from([None, None, "standard", "premium"])))


def parts_by_row(seats: Iterable[Seat]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for seat in seats:
        rows.setdefault(seat.row, []).append(seat.column)
    return rows


def in_one_piece(columns: Collection[int]) -> bool:
    return max(columns) - min(columns) + 1 == len(columns)


def together_in(seats: Collection[Seat]) -> int | None:
    """In how many rows these seats are together; None if they are not."""
    rows = parts_by_row(seats)
    if not all(map(in_one_piece, rows.values())):
        return None
    if len(rows) == 2 and max(rows) - min(rows) == 1:
        smaller, larger = sorted(map(set, rows.values()), key=len)
        return 2 if len(smaller) >= 2 and smaller <= larger else None
    return 1 if len(rows) == 1 else None


def lonely(case: Case, free: Collection[int]) -> set[int]:
    """The free seats without a free neighbour on their side of the aisle."""
    aisle = case.layout.aisle_after_column or 0
    places = {
        (seat.row, seat.column, seat.column > aisle) for seat in case.layout.seats if seat.index in free
    }
    return {
        seat.index
        for seat in case.layout.seats
        if seat.index in free
        and not {(seat.row, seat.column + step, seat.column > aisle) for step in (-1, 1)} & places
    }


def stranded(case: Case, seats: Iterable[Seat]) -> int:
    return len(lonely(case, case.free - {seat.index for seat in seats}) - lonely(case, case.free))


def price_of(case: Case, seats: Collection[Seat]) -> tuple[int, ...]:
    """The documented order of choices, told again in plain words; less is better."""
    rows = parts_by_row(seats)
    sizes = [len(columns) for columns in rows.values()]
    aisle = case.layout.aisle_after_column
    focus = aisle + 0.5 if aisle else (case.layout.columns + 1) / 2
    middles = [(min(columns) + max(columns)) / 2 for columns in rows.values()]
    crossed = [aisle for columns in rows.values() if aisle and min(columns) <= aisle < max(columns)]
    accessible = sum(seat.accessible for seat in seats)
    return (
        accessible > 0,
        len(rows),
        accessible,
        stranded(case, seats),
        max(sizes) - min(sizes),
        len(crossed),
        min(rows),
        int(sum(2 * abs(middle - focus) for middle in middles)),
        int(sum(2 * middle for middle in middles)),
    )


@settings(max_examples=400, deadline=None)
@given(cases())
def test_seats_together_are_the_best_of_all_choices(case: Case) -> None:
    choices = [seats for seats in combinations(case.wanted, case.count) if together_in(seats)]
    given_seats = best_available(case.layout, case.free, case.count, True, case.category)
    if given_seats is None:
        assert choices == []
        return
    assert len(given_seats) == case.count
    assert set(given_seats) <= set(case.wanted)
    assert together_in(given_seats)
    assert price_of(case, given_seats) == min(price_of(case, seats) for seats in choices)


def groups_in(seats: Iterable[Seat]) -> int:
    """How many runs of seats side by side these are."""
    return sum(
        1 + sum(right - left > 1 for left, right in pairwise(columns))
        for columns in parts_by_row(seats).values()
    )


@settings(max_examples=400, deadline=None)
@given(cases())
def test_a_party_that_may_be_split_is_split_least_and_spares_accessible_seats(case: Case) -> None:
    seats = best_available(case.layout, case.free, case.count, False, case.category)
    if seats is None:
        assert len(case.wanted) < case.count
        return
    assert len(set(seats)) == case.count
    assert set(seats) <= set(case.wanted)
    if len(case.ordinary) >= case.count:
        assert set(seats) <= set(case.ordinary)
        assert groups_in(seats) == min(map(groups_in, combinations(case.ordinary, case.count)))
    elif not together_in(seats):
        assert set(case.ordinary) <= set(seats)


@settings(max_examples=100, deadline=None)
@given(cases(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_free_seats_are_told_does_not_matter(
    case: Case, rnd: object, together: bool
) -> None:
    shuffled = list(case.free)
    rnd.shuffle(shuffled)  # type: ignore[attr-defined]
    first = best_available(case.layout, case.free, case.count, together, case.category)
    assert best_available(case.layout, shuffled, case.count, together, case.category) == first
    assert first is None or [seat.index for seat in first] == sorted(seat.index for seat in first)


@pytest.mark.parametrize(("rows", "columns", "milliseconds"), [(10, 4, 1), (25, 20, 2)])
def test_a_choice_takes_a_millisecond_or_two(rows: int, columns: int, milliseconds: int) -> None:
    layout = layout_of(rows, columns, columns // 2)
    checkered = {seat.index for seat in layout.seats if (seat.row + seat.column) % 5}
    for free in (range(len(layout)), checkered):
        for count in (1, 4, 7, 10):
            best_of = []
            for _ in range(5):
                start = time.thread_time()
                best_available(layout, free, count, together=False)
                best_of.append(time.thread_time() - start)
            assert min(best_of) * 1000 < 5 * milliseconds  # a machine that is shared
