"""The best free seats for a party: a pure rule, with one answer for the same seats.

A choice is better than another by the first of these in which they differ:

1. no accessible seat, if the party can be seated without;
2. side by side in one row; then in two rows, one behind the other (parties of four and more); then, only
   where the party may be split, in groups, each as large as it can be, which makes them few;
3. fewer accessible seats;
4. fewer seats stranded: free seats that had a free neighbour on their side of the aisle and lose it;
5. for two rows: the more even split, at least two in a row;
6. fewer rows in which the aisle runs through the party;
7. the front row;
8. near the aisle, or the middle of the row where there is none; then on the left.

Seats are side by side if their columns follow each other, also over the aisle; a missing or taken seat parts
them. One part of a party is behind the other if the columns of the smaller are among those of the larger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.seats import Seat, SeatLayout

Rows = Mapping[int, int]
"""Seats by row, front first; bit c of a row's number stands for column c."""


class Grade(NamedTuple):
    """What a window costs by rules 3, 4, 6 to 8: less is better, and the first part that differs decides."""

    accessible: int
    stranded: int
    crossings: int
    row: int
    distance: int
    column: int


class Window(NamedTuple):
    """Seats side by side in one row, as bits of their columns."""

    grade: Grade
    row: int
    columns: int


def best_available(
    layout: SeatLayout, free: Collection[int], count: int, together: bool = True, category: str | None = None
) -> tuple[Seat, ...] | None:
    """Return the ``count`` best of the free seats (indexes) in the order of index; None if they do not fit.

    With ``together`` the party is split into two rows at most. With ``category`` all seats are of it.
    Raises InvalidInput for a count below 1.
    """
    if count < 1:
        raise InvalidInput("Ask for at least one seat.", ("target", "bestAvailable", "count"))
    plan = _Plan(layout, free, category)
    for pool in plan.ordinary, plan.wanted:
        if sum(map(int.bit_count, pool.values())) >= count:
            choice = plan.row(pool, count) or plan.block(pool, count)
            choice = choice or ([] if together else plan.groups(pool, count))
            if choice:
                return plan.seats(choice)
    return None


class _Plan:
    """The free seats of a layout as bits: all, those ``wanted``, and those of them that are ``ordinary``."""

    def __init__(self, layout: SeatLayout, free: Collection[int], category: str | None) -> None:
        self._layout = layout
        self._free: dict[int, int] = {}
        self._accessible: dict[int, int] = {}
        self.wanted: dict[int, int] = {}
        self._indexes = sorted(free)
        for index in self._indexes:
            seat = layout.seats[index]
            row, bit = seat.row, 1 << seat.column
            self._free[row] = self._free.get(row, 0) | bit
            if category is None or seat.category == category:
                self.wanted[row] = self.wanted.get(row, 0) | bit
            if seat.accessible:
                self._accessible[row] = self._accessible.get(row, 0) | bit
        self.ordinary = {row: bits & ~self._accessible.get(row, 0) for row, bits in self.wanted.items()}
        aisle = layout.aisle_after_column
        self._left_of_aisle, self._right_of_aisle = (1 << aisle, 2 << aisle) if aisle else (0, 0)
        self._twice_the_focus = 2 * aisle + 1 if aisle else layout.columns + 1

    def row(self, pool: Rows, count: int) -> list[Window]:
        """The best window of ``count``, alone; nothing if no row has one."""
        best: Window | None = None
        for row in pool:
            best = min(filter(None, (best, *self._windows(pool, row, count))), default=None)
            if best is not None and best.grade[:3] == (0, 0, 0):
                break  # no row further back can be better
        return [best] if best else []

    def block(self, pool: Rows, count: int) -> list[Window]:
        """The best two windows in rows one behind the other, ``count`` in all; nothing if there are none."""
        best: tuple[tuple[int, ...], Window, Window] | None = None
        for smaller in range(count // 2, 1, -1):
            larger = count - smaller
            for front, back in self._pairs(pool, smaller, larger):
                accessible, stranded, *rest = _sum(front.grade, back.grade)
                pair = (accessible, stranded, larger - smaller, *rest), front, back
                best = min(best, pair) if best else pair
            if best and best[0][:2] == (0, 0):
                break  # a less even split cannot be better
        return list(best[1:]) if best else []

    def groups(self, pool: Rows, count: int) -> list[Window]:
        """Windows of ``count`` seats in all, the longest first; ordinary seats before accessible ones."""
        chosen: list[Window] = []
        for seats in self.ordinary, pool:
            left = dict(seats)
            for window in chosen:
                left[window.row] &= ~window.columns
            while count and (longest := max(map(_longest_run, left.values()), default=0)):
                width = min(longest, count)
                best = min(window for row in left for window in self._windows(left, row, width))
                left[best.row] &= ~best.columns
                chosen.append(best)
                count -= width
        return chosen

    def seats(self, choice: Collection[Window]) -> tuple[Seat, ...]:
        """The seats of some windows in the order of index."""
        chosen: dict[int, int] = {}
        for window in choice:
            chosen[window.row] = chosen.get(window.row, 0) | window.columns
        seats = (self._layout.seats[index] for index in self._indexes)
        return tuple(seat for seat in seats if chosen.get(seat.row, 0) >> seat.column & 1)

    def _pairs(self, pool: Rows, smaller: int, larger: int) -> Iterator[tuple[Window, Window]]:
        for row in pool:
            for ahead, behind in dict.fromkeys([(smaller, larger), (larger, smaller)]):
                backs = tuple(self._windows(pool, row + 1, behind)) if row + 1 in pool else ()
                for front in self._windows(pool, row, ahead) if backs else ():
                    for back in backs:
                        if (front.columns & back.columns).bit_count() == smaller:
                            yield front, back

    def _windows(self, pool: Rows, row: int, width: int) -> Iterator[Window]:
        starts = pool[row]
        for _ in range(width - 1):
            starts &= starts >> 1
        while starts:
            first = (starts & -starts).bit_length() - 1
            starts &= starts - 1
            columns = ((1 << width) - 1) << first
            yield Window(self._grade(row, columns, 2 * first + width - 1), row, columns)

    def _grade(self, row: int, columns: int, twice_the_middle: int) -> Grade:
        before = self._free[row]
        after = before & ~columns
        stranded = after & self._beside(before) & ~self._beside(after)
        crosses = bool(columns & self._left_of_aisle and columns & self._right_of_aisle)
        return Grade(
            (columns & self._accessible.get(row, 0)).bit_count(),
            stranded.bit_count(),
            int(crosses),
            row,
            abs(twice_the_middle - self._twice_the_focus),
            twice_the_middle,
        )

    def _beside(self, columns: int) -> int:
        """The columns that have one of these as a neighbour on the same side of the aisle."""
        return (columns << 1 & ~self._right_of_aisle) | (columns >> 1 & ~self._left_of_aisle)


def _sum(front: Grade, back: Grade) -> Grade:
    summed = Grade(*map(int.__add__, front, back))
    return summed._replace(row=front.row)


def _longest_run(columns: int) -> int:
    length = 0
    while columns:
        columns &= columns >> 1
        length += 1
    return length
