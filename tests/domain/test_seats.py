from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.ids import new_id
from domain.money import Money
from domain.seats import (
    Allocation,
    SeatCategory,
    SeatCounts,
    SeatLayout,
    SeatState,
    SeatStatus,
    Taken,
    count_seats,
    plan_layout,
    seat_states,
    seat_string,
    seats_of,
)

NOT_FREE = [SeatStatus.HELD, SeatStatus.BOOKED, SeatStatus.BLOCKED]


def bus() -> SeatLayout:
    return SeatLayout(new_id(), 10, 4, 2, plan_layout(10, 4, 2))


def test_labels_count_rows_in_letters_and_columns_in_numbers() -> None:
    seats = plan_layout(28, 3)
    assert [seat.label for seat in seats[:4]] == ["A1", "A2", "A3", "B1"]
    assert (seats[-1].label, seats[-1].row, seats[-1].column) == ("AB3", 28, 3)


def test_a_missing_seat_leaves_a_gap_in_the_columns_and_none_in_the_indexes() -> None:
    seats = plan_layout(1, 4, missing=["A2"])
    assert [(seat.label, seat.index, seat.column) for seat in seats] == [
        ("A1", 0, 1),
        ("A3", 1, 3),
        ("A4", 2, 4),
    ]


def test_a_seat_takes_category_and_access_from_the_list_that_names_it() -> None:
    seats = plan_layout(1, 3, categories=[SeatCategory(" window ", ["A1"], accessible=True)])
    assert [(seat.category, seat.accessible) for seat in seats] == [
        ("window", True),
        ("standard", False),
        ("standard", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "path", "said"),
    [
        ({"rows": 0}, "layout.rows", "1 to 100"),
        ({"rows": 101}, "layout.rows", "1 to 100"),
        ({"columns": 0}, "layout.columns", "1 to 100"),
        ({"columns": -(10**40)}, "layout.columns", "1 to 100"),
        ({"rows": 45, "columns": 45}, "layout", "2000"),
        ({"aisle_after_column": 0}, "layout.aisleAfterColumn", "either side"),
        ({"aisle_after_column": 2}, "layout.aisleAfterColumn", "either side"),
        ({"missing": ["A1", "A2", "B1", "B2"]}, "layout", "this has 0"),
        ({"missing": ["C1"]}, "layout.missing", "C1"),
        ({"missing": ["A1", "A1"]}, "layout.missing", "twice: A1"),
        ({"categories": [SeatCategory("", ["A1"])]}, "layout.categories.0.category", "1 to 40"),
        ({"categories": [SeatCategory("x" * 41, ["A1"])]}, "layout.categories.0.category", "1 to 40"),
        ({"categories": [SeatCategory("a\nb", ["A1"])]}, "layout.categories.0.category", "printable"),
        ({"categories": [SeatCategory("a", ["a1"])]}, "layout.categories.0.labels", "a1"),
        ({"categories": [SeatCategory("a", ["A1", "A1"])]}, "layout.categories.0.labels", "twice: A1"),
        (
            {"categories": [SeatCategory("a", ["A1"]), SeatCategory("b", ["A1"])]},
            "layout.categories.1.labels",
            "two categories: A1",
        ),
        (
            {"missing": ["A1"], "categories": [SeatCategory("a", ["A1"])]},
            "layout.categories.0.labels",
            "No such seat: A1",
        ),
    ],
)
def test_a_layout_that_cannot_be_is_refused_at_its_place(
    arguments: dict[str, object], path: str, said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan_layout(**({"rows": 2, "columns": 2} | arguments))  # type: ignore[arg-type]
    assert ".".join(refused.value.path or ()) == path
    assert said in refused.value.message


@given(st.integers(1, 100), st.integers(1, 20), st.data())
def test_every_layout_numbers_its_seats_in_order_and_finds_them_by_label(
    rows: int, columns: int, data: st.DataObject
) -> None:
    full = plan_layout(rows, columns)
    kept = data.draw(st.sampled_from(full))
    missing = data.draw(st.sets(st.sampled_from(full).filter(lambda seat: seat != kept), max_size=9))
    seats = plan_layout(rows, columns, missing=[seat.label for seat in missing])
    layout = SeatLayout(new_id(), rows, columns, None, seats)
    assert [seat.index for seat in seats] == list(range(len(full) - len(missing)))
    assert [(seat.row, seat.column) for seat in seats] == sorted((seat.row, seat.column) for seat in seats)
    assert {layout.by_label[seat.label] for seat in seats} == set(seats)
    assert len(layout) == len(seats)


def test_wanted_seats_come_back_in_the_order_of_the_map() -> None:
    assert [seat.label for seat in seats_of(bus(), ["B1", "A4", "A2"], 4)] == ["A2", "A4", "B1"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "at least one"),
        (["A1", "A2", "A3"], "At most 2 seats at once; these are 3"),
        (["A1", "Z9"], "No such seat: Z9"),
        (["A1", "A1"], "twice: A1"),
        (["<" * 5000], "No such seat: <<<<<<<<<<<<."),
    ],
)
def test_wanted_seats_that_cannot_be_are_named(labels: list[str], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        seats_of(bus(), labels, 2, path=("target", "seats", "labels"))
    assert said in refused.value.message
    assert refused.value.path == ("target", "seats", "labels")


def test_a_long_list_of_unknown_seats_is_named_in_short() -> None:
    with pytest.raises(InvalidInput, match=r"Q1, Q2, Q3, Q4, Q5 and 2 more"):
        seats_of(bus(), [f"Q{n}" for n in range(1, 8)], 10)


@given(st.dictionaries(st.integers(0, 39), st.sampled_from(NOT_FREE)))
def test_string_counts_and_states_tell_the_same(taken: dict[int, SeatStatus]) -> None:
    layout, price = bus(), Money(Decimal(500), "SEK")
    until = datetime(2027, 3, 28, 7, tzinfo=UTC)
    ends = {SeatStatus.HELD: until}
    allocations = Taken.of([Allocation(seat, status, ends.get(status)) for seat, status in taken.items()])
    letters = seat_string(40, allocations)
    counts = count_seats(40, allocations)
    states = seat_states(layout, allocations, price, ())
    assert [state.held_until for state in states] == [ends.get(state.status) for state in states]
    assert counts == SeatCounts(40, *(letters.count(letter) for letter in "AHBX"))
    assert [state.seat for state in states] == list(layout.seats)
    letter_of = {"AVAILABLE": "A", "HELD": "H", "BOOKED": "B", "BLOCKED": "X"}
    assert "".join(letter_of[state.status] for state in states) == letters


def test_a_seat_is_mine_only_where_the_viewer_is_behind_it() -> None:
    until, price = datetime(2027, 3, 28, 7, tzinfo=UTC), Money(Decimal(500), "SEK")
    allocations = [
        Allocation(0, SeatStatus.HELD, held_until=until),
        Allocation(1, SeatStatus.HELD, held_until=until),
        Allocation(2, SeatStatus.BOOKED),
        Allocation(3, SeatStatus.BOOKED),
    ]
    states = seat_states(bus(), Taken.of(allocations), price, {0, 2})
    assert [(state.mine, state.held_until) for state in states[:5]] == [
        (True, until),
        (False, until),
        (True, None),
        (False, None),
        (False, None),
    ]


def test_a_hold_told_again_is_the_same_object_and_only_so_many_are_remembered() -> None:
    layout, price = bus(), Money(Decimal(500), "SEK")
    until = datetime(2027, 3, 28, 7, tzinfo=UTC)

    def held(end: datetime, mine: set[int]) -> SeatState:
        return seat_states(layout, Taken([0], "H", [end]), price, mine)[0]

    first = held(until, set())
    assert held(until.replace(), set()) is first
    assert held(until + timedelta(seconds=1), set()).held_until == until + timedelta(seconds=1)
    assert held(until, {0}).mine
    assert not held(until, set()).mine
    for second in range(2, 2_002):
        held(until + timedelta(seconds=second), set())
    assert held(until, set()) == first
    assert held(until, set()) is not first
