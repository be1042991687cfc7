"""Seats: the fixed map of a resource, and what a schedule has made of each seat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from domain.errors import InvalidInput
from domain.money import Money


class SeatStatus(StrEnum):
    """What one schedule has made of a seat."""

    AVAILABLE = "AVAILABLE"
    HELD = "HELD"
    BOOKED = "BOOKED"
    BLOCKED = "BLOCKED"


_LETTERS = {SeatStatus.AVAILABLE: "A", SeatStatus.HELD: "H", SeatStatus.BOOKED: "B", SeatStatus.BLOCKED: "X"}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}
_NAMED_AT_MOST = 5
_HOLDS_REMEMBERED = 2_000
"""Of one layout at one price."""
MAX_SIDE = 100
MAX_SEATS = 2_000
MAX_CATEGORY_NAME = 40
STANDARD_CATEGORY = "standard"


@dataclass(frozen=True, slots=True)
class Seat:
    """One place in a layout.

    ``index`` counts the seats that exist from 0, row by row. ``row`` and ``column`` count places from 1,
    front left first, so they leave gaps where seats are missing. ``label`` is the row's letters and the
    column: A1 is row 1, column 1; AA12 is row 27, column 12.
    """

    label: str
    index: int
    row: int
    column: int
    category: str
    accessible: bool


@dataclass(frozen=True, slots=True)
class SeatLayout:
    """The map of a resource; ``seats[i].index == i``. An aisle lies right of ``aisle_after_column``."""

    id: UUID
    rows: int
    columns: int
    aisle_after_column: int | None
    seats: tuple[Seat, ...] = field(hash=False)
    by_label: Mapping[str, Seat] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_label", {seat.label: seat for seat in self.seats})

    def __len__(self) -> int:
        return len(self.seats)


class Allocation(NamedTuple):
    """A seat (by index) of one schedule that is not free, and for whom. ``held_until`` (UTC) is a hold's.

    A hold that has run out is no allocation: whoever reads them leaves it out, by the database's clock.
    """

    seat: int
    status: SeatStatus
    held_until: datetime | None = None
    reservation_id: UUID | None = None
    booking_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What is not free on one schedule, as columns: seats by index, and for each a letter of ``seat_string``.

    ``untils`` (UTC) are the ends of the holds, one for each H; None where they were not asked for.
    """

    seats: Sequence[int] = ()
    letters: str = ""
    untils: Sequence[datetime] | None = ()

    @classmethod
    def of(cls, allocations: Sequence[Allocation]) -> Taken:
        """From what is known of each seat by itself."""
        return cls(
            [one.seat for one in allocations],
            "".join([_LETTERS[one.status] for one in allocations]),
            [one.held_until for one in allocations if one.held_until is not None],
        )


class SeatState(NamedTuple):
    """A seat of one schedule as one viewer sees it; ``mine`` if the viewer is who holds or booked it."""

    seat: Seat
    status: SeatStatus
    price: Money
    held_until: datetime | None = None
    mine: bool = False


class SeatCounts(NamedTuple):
    """How many seats of one schedule are what; the four sum to ``total``."""

    total: int
    available: int
    held: int
    booked: int
    blocked: int


def recount(counts: SeatCounts, before: SeatStatus, after: SeatStatus, seats: int) -> SeatCounts:
    """The counts after ``seats`` seats went from one status to another, which may be the same."""
    of = {
        SeatStatus.AVAILABLE: counts.available,
        SeatStatus.HELD: counts.held,
        SeatStatus.BOOKED: counts.booked,
        SeatStatus.BLOCKED: counts.blocked,
    }
    of[before] -= seats
    of[after] += seats
    return SeatCounts(counts.total, *of.values())


@dataclass(frozen=True, slots=True)
class SeatCategory:
    """The seats of a layout that are of one category, or one part of them that is accessible."""

    category: str
    labels: Sequence[str]
    accessible: bool = False


def plan_layout(
    rows: int,
    columns: int,
    aisle_after_column: int | None = None,
    missing: Sequence[str] = (),
    categories: Sequence[SeatCategory] = (),
) -> tuple[Seat, ...]:
    """Return the seats of a grid of ``rows`` x ``columns`` without the missing ones, row by row.

    A seat that no category lists is STANDARD_CATEGORY and not accessible. Raises InvalidInput, with a path
    under ``layout``, unless rows and columns are 1..100, the aisle has a column on either side, every listed
    label is on the grid and listed once, a category's name is 1..40 characters, and 1..2,000 seats are left.
    """
    _check_grid(rows, columns, aisle_after_column)
    grid = {
        _label(row, column): (row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)
    }
    _check_labels(missing, grid, ("layout", "missing"))
    for label in missing:
        del grid[label]
    if not 1 <= len(grid) <= MAX_SEATS:
        raise InvalidInput(f"A layout has 1 to {MAX_SEATS} seats; this has {len(grid)}.", ("layout",))
    kinds = _kinds(categories, grid)
    standard = (STANDARD_CATEGORY, False)
    return tuple(
        Seat(label, index, row, column, *kinds.get(label, standard))
        for index, (label, (row, column)) in enumerate(grid.items())
    )


def _check_grid(rows: int, columns: int, aisle_after_column: int | None) -> None:
    for name, size in ("rows", rows), ("columns", columns):
        if not 1 <= size <= MAX_SIDE:
            raise InvalidInput(f"A layout has 1 to {MAX_SIDE} {name}.", ("layout", name))
    if aisle_after_column is not None and not 1 <= aisle_after_column < columns:
        raise InvalidInput("An aisle has a column on either side.", ("layout", "aisleAfterColumn"))


def _check_labels(labels: Sequence[str], grid: Mapping[str, object], path: Sequence[str]) -> None:
    unknown = [label for label in labels if label not in grid]
    if unknown:
        raise InvalidInput(f"No such seat: {_named(unknown)}.", path)
    twice = [label for label, times in Counter(labels).items() if times > 1]
    if twice:
        raise InvalidInput(f"Listed twice: {_named(twice)}.", path)


def _kinds(categories: Sequence[SeatCategory], grid: Mapping[str, object]) -> dict[str, tuple[str, bool]]:
    kinds: dict[str, tuple[str, bool]] = {}
    for position, listed in enumerate(categories):
        path = ("layout", "categories", str(position))
        name = listed.category.strip()
        if not 1 <= len(name) <= MAX_CATEGORY_NAME or not name.isprintable():
            message = f"A category's name has 1 to {MAX_CATEGORY_NAME} printable characters."
            raise InvalidInput(message, (*path, "category"))
        _check_labels(listed.labels, grid, (*path, "labels"))
        again = kinds.keys() & listed.labels
        if again:
            raise InvalidInput(f"Listed in two categories: {_named(again)}.", (*path, "labels"))
        kinds |= dict.fromkeys(listed.labels, (name, listed.accessible))
    return kinds


def _label(row: int, column: int) -> str:
    letters = ""
    while row:
        row, letter = divmod(row - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{column}"


def seats_of(
    layout: SeatLayout, labels: Sequence[str], max_seats: int, path: Sequence[str] = ("labels",)
) -> tuple[Seat, ...]:
    """Return the seats of these labels in the order of their index.

    Raises InvalidInput, with ``path`` as the place in the input, if there are none or more than
    ``max_seats``, if one is listed twice, or if the layout has no such seat.
    """
    if not labels:
        raise InvalidInput("Name at least one seat.", path)
    if len(labels) > max_seats:
        raise InvalidInput(f"At most {max_seats} seats at once; these are {len(labels)}.", path)
    _check_labels(labels, layout.by_label, path)
    return tuple(sorted((layout.by_label[label] for label in labels), key=lambda seat: seat.index))


def _named(labels: Iterable[str]) -> str:
    """Return labels for a message: the first five in order, cut to a readable length.

    A refusal is kept with its idempotency key, and PostgreSQL keeps no NUL: what cannot be printed is a ``?``.
    """
    ordered = sorted(labels)
    readable = ("".join(sign if sign.isprintable() else "?" for sign in label[:12]) for label in ordered)
    shown = ", ".join(islice(readable, _NAMED_AT_MOST))
    more = len(ordered) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def seat_string(total: int, taken: Taken) -> str:
    """Return one letter a seat in the order of index: A available, H held, B booked, X blocked."""
    letters = ["A"] * total
    for index, letter in zip(taken.seats, taken.letters, strict=True):
        letters[index] = letter
    return "".join(letters)


def count_seats(total: int, taken: Taken) -> SeatCounts:
    """Count the seats of a schedule with ``total`` seats by what is not free."""
    held, booked, blocked = map(taken.letters.count, "HBX")
    return SeatCounts(total, total - held - booked - blocked, held, booked, blocked)


def seat_states(layout: SeatLayout, taken: Taken, price: Money, mine: Collection[int]) -> list[SeatState]:
    """Return the state of every seat, by index; ``mine`` are the indexes of the viewer's own."""
    ends = iter(taken.untils or ())
    anybodys = _anybodys(layout, price)
    states = list(anybodys.by_letter["A"])
    for index, letter in zip(taken.seats, taken.letters, strict=True):
        until = next(ends) if letter == "H" else None
        if index in mine:
            states[index] = SeatState(layout.seats[index], _STATUSES[letter], price, until, True)
        elif until is None:
            states[index] = anybodys.by_letter[letter][index]
        else:
            states[index] = anybodys.held.get((index, until)) or anybodys.hold(index, until)
    return states


def seat_state(
    seat: Seat, allocation: Allocation | None, price: Money, mine: Callable[[Allocation], bool]
) -> SeatState:
    """Return the state of one seat; it is free without an allocation."""
    if allocation is None:
        return SeatState(seat, SeatStatus.AVAILABLE, price)
    return SeatState(seat, allocation.status, price, allocation.held_until, mine(allocation))


@dataclass(frozen=True, slots=True)
class _Anybodys:
    """What seats are to all but who is behind them: the same objects each time, as long as they are remembered."""

    by_letter: Mapping[str, Sequence[SeatState]]
    held: dict[tuple[int, datetime], SeatState]

    def hold(self, index: int, until: datetime) -> SeatState:
        """Remember a hold; if there are too many, forget those that there were."""
        if len(self.held) >= _HOLDS_REMEMBERED:
            self.held.clear()
        state = self.by_letter["H"][index]._replace(held_until=until)
        self.held[index, until] = state
        return state


@lru_cache(maxsize=64)  # what a seat is to everybody it is on one schedule as on the next
def _anybodys(layout: SeatLayout, price: Money) -> _Anybodys:
    states = {
        letter: [SeatState(seat, status, price) for seat in layout.seats]
        for letter, status in _STATUSES.items()
    }
    return _Anybodys(states, {})
