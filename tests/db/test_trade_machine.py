"""The trade against a model of it: whatever order things are done in, tables, answers and watchers agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.bookings import Book, CancelBooking
from domain.catalogue import Offering, Organization, Resource
from domain.contact import Contact
from domain.errors import Refusal
from domain.holding import BestAvailable, Seats
from domain.reservations import ForceRelease, OnReservation
from domain.reserving import Reserve
from domain.timetable import BlockSeats
from domain.viewer import Viewer
from schema.ids import encode
from tests.audit import broken_rules
from tests.onlooker import LABELS, Onlooker, board
from tests.world import World, new_world

MOST = 4
SCHEDULES = range(3)
CALLERS = range(3)
GUEST = 2
HOUR = timedelta(hours=1)
Value = TypeVar("Value")


@dataclass
class Hold:
    """A reservation of the model. ``status`` is ACTIVE, CONVERTED, RELEASED, or EXPIRED from its end on."""

    id: UUID
    caller: int
    schedule: int
    seats: Sequence[int]
    status: str = "ACTIVE"
    extensions: int = 0
    swept: bool = False
    booking: UUID | None = None
    cancelled: bool = False


@dataclass
class Model:
    """What the seats of one schedule should be: index to letter and the hold behind it; and its version."""

    seats: dict[int, tuple[str, Hold | None]] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    version: int = 0

    def take(self, seats: Sequence[int], letter: str, hold: Hold | None) -> None:
        """Give seats to somebody."""
        self.version += 1
        self.stale.difference_update(seats)
        self.seats.update(dict.fromkeys(seats, (letter, hold)))

    def free(self, seats: Sequence[int]) -> None:
        """Take seats from somebody."""
        self.version += 1
        for seat in seats:
            del self.seats[seat]

    def run_out(self, hold: Hold) -> None:
        """Its time is over: the seats are free at once, though nobody has noted it."""
        hold.status = "EXPIRED"
        self.stale.update(hold.seats)
        for seat in hold.seats:
            del self.seats[seat]

    @property
    def string(self) -> str:
        """One letter a seat."""
        return "".join(self.seats.get(seat, ("A", None))[0] for seat in range(len(LABELS)))


@dataclass
class Stage:
    """One world for all runs, driven from outside its loop; each run has an organization of its own."""

    runner: asyncio.Runner
    world: World
    callers: Sequence[Viewer]
    staff: Viewer
    organization: Organization
    offering: Offering
    resources: int = 0

    def run(self, work: Awaitable[Value]) -> Value:
        """Let it happen."""

        async def happening() -> Value:
            return await work

        return self.runner.run(happening())

    async def open(self) -> tuple[Resource, Sequence[UUID]]:
        """Three new schedules, on successive days."""
        resource = await self.world.resource(self.organization, self.staff, rows=2, columns=4)
        first = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=3)
        starts = [first + timedelta(days=day) for day in SCHEDULES]
        return resource, await self.world.open(self.staff, self.offering, resource, starts)


async def staged(world: World, runner: asyncio.Runner) -> Stage:
    """The people and the terms of all runs."""
    organization = await world.organization()
    staff = await world.member(organization)
    callers = [await world.person("one"), await world.person("two"), world.guest()]
    offering = await world.offering(organization, staff, max_seats=MOST)
    return Stage(runner, world, callers, staff, organization, offering)


schedules = st.sampled_from(SCHEDULES)
callers = st.sampled_from(CALLERS)
some_labels = st.lists(st.sampled_from(LABELS), min_size=1, max_size=MOST, unique=True)
which = st.integers(0, 3)  # of what came last
by_whom = st.sampled_from([None, None, None, *CALLERS])  # its owner, for the most part


class TradeMachine(RuleBasedStateMachine):
    """Three callers and staff at three schedules."""

    stage: Stage  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.holds: list[Hold] = []
        self.models = [Model() for _ in SCHEDULES]

    @initialize()
    def curtain(self) -> None:
        """Open the schedules and let the watchers in."""
        resource, self.ids = self.stage.run(self.stage.open())
        self.gids = [encode("Schedule", id_) for id_ in self.ids]
        days = datetime.now(UTC).date(), datetime.now(UTC).date() + timedelta(days=10)
        board = {"resourceId": encode("Resource", resource.id), "from": str(days[0]), "to": str(days[1])}
        targets: list[dict[str, Any]] = [{"scheduleId": self.gids[0]}, {"resource": board}]
        self.steady = [Onlooker(self.stage.world, target) for target in targets]
        self.cut_off = [Onlooker(self.stage.world, target) for target in targets]
        self._look(self.steady + self.cut_off)

    @rule(caller=callers, schedule=schedules, labels=some_labels)
    def reserve_seats(self, caller: int, schedule: int, labels: list[str]) -> None:
        wanted = sorted(LABELS.index(label) for label in labels)
        taken = [seat for seat in wanted if seat in self.models[schedule].seats]
        came = self._reserve(caller, schedule, Seats(labels))
        if taken:
            assert came.code == "SEATS_UNAVAILABLE"
            assert [state.seat.index for state in came.unavailable] == taken
            assert all(state.seat.index not in self.models[schedule].seats for state in came.alternatives)
        else:
            assert [*came.seats] == wanted
            self._held(came, caller, schedule)

    @rule(caller=callers, schedule=schedules, count=st.integers(1, MOST), together=st.booleans())
    def reserve_the_best(self, caller: int, schedule: int, count: int, together: bool) -> None:
        free = len(LABELS) - len(self.models[schedule].seats)
        came = self._reserve(caller, schedule, BestAvailable(count, together))
        if isinstance(came, Refusal):
            assert came.code == "SEATS_UNAVAILABLE"
            assert free < count or together
        else:
            assert len(came.seats) == count
            assert not self.models[schedule].seats.keys() & {*came.seats}
            self._held(came, caller, schedule)

    @precondition(lambda self: self.holds)
    @rule(who=by_whom, number=which)
    def extend(self, who: int | None, number: int) -> None:
        hold, caller = self._chosen(self.holds, number, who)
        use = self.stage.world.app.services.reservations
        came = self._try(use.extend(self.stage.callers[caller], self._reference(hold, caller)))
        if caller != hold.caller:
            assert came.code == "NOT_FOUND"
        elif hold.status != "ACTIVE":
            assert came.code == ("POLICY_VIOLATION" if hold.status == "CONVERTED" else "RESERVATION_EXPIRED")
        elif hold.extensions == 2:
            assert came.code == "POLICY_VIOLATION"
        else:
            hold.extensions += 1
            assert came.extensions_left == 2 - hold.extensions
            self.models[hold.schedule].take(hold.seats, "H", hold)

    @precondition(lambda self: self.holds)
    @rule(who=by_whom, number=which, forced=st.booleans())
    def release(self, who: int | None, number: int, forced: bool) -> None:
        hold, caller = self._chosen(self.holds, number, who)
        use = self.stage.world.app.services.reservations
        if forced:
            came = self._try(use.force_release(self.stage.staff, ForceRelease(hold.id, "stuck")))
        else:
            came = self._try(use.release(self.stage.callers[caller], self._reference(hold, caller)))
        if not forced and caller != hold.caller:
            assert came.code == "NOT_FOUND"
        elif hold.status == "CONVERTED":
            assert came.code == "POLICY_VIOLATION"
        elif hold.status == "EXPIRED":
            assert came.code == "RESERVATION_EXPIRED"
        else:
            assert came.status == "RELEASED"
            if hold.status == "ACTIVE":
                hold.status = "RELEASED"
                self.models[hold.schedule].free(hold.seats)

    @precondition(lambda self: self.holds)
    @rule(who=by_whom, number=which)
    def book(self, who: int | None, number: int) -> None:
        hold, caller = self._chosen(self.holds, number, who)
        wish = Book(self._reference(hold, caller), Contact(email="buyer@test.example"))
        came = self._try(self.stage.world.app.services.bookings.book(self.stage.callers[caller], wish))
        if caller != hold.caller:
            assert came.code == "NOT_FOUND"
        elif hold.status in ("RELEASED", "EXPIRED"):
            assert came.code == "RESERVATION_EXPIRED"
        else:
            assert came.id == (hold.booking or came.id)
            assert came.status == ("CANCELLED" if hold.cancelled else "CONFIRMED")
            if hold.status == "ACTIVE":
                hold.status, hold.booking = "CONVERTED", came.id
                self.models[hold.schedule].take(hold.seats, "B", hold)

    @rule(caller=callers, schedule=schedules, labels=some_labels)
    def buy(self, caller: int, schedule: int, labels: list[str]) -> None:
        """Reserve and book in one go: without it, few runs come to a booking at all."""
        before = len(self.holds)
        self.reserve_seats(caller, schedule, labels)
        if len(self.holds) > before:
            self.book(None, 0)

    @precondition(lambda self: any(hold.booking for hold in self.holds))
    @rule(who=by_whom, number=which)
    def cancel(self, who: int | None, number: int) -> None:
        hold, caller = self._chosen([hold for hold in self.holds if hold.booking], number, who)
        wish = CancelBooking(hold.booking, self._reference(hold, caller).token)
        came = self._try(self.stage.world.app.services.bookings.cancel(self.stage.callers[caller], wish))
        if caller != hold.caller:
            assert came.code == "NOT_FOUND"
        else:
            assert (came.status, came.version) == ("CANCELLED", 2)
            if not hold.cancelled:
                hold.cancelled = True
                self.models[hold.schedule].free(hold.seats)

    @precondition(lambda self: any(hold.status == "ACTIVE" for hold in self.holds))
    @rule(number=which)
    def let_one_run_out(self, number: int) -> None:
        hold, _ = self._chosen([hold for hold in self.holds if hold.status == "ACTIVE"], number)
        self.stage.run(self.stage.world.age(hold.id, HOUR))
        self.models[hold.schedule].run_out(hold)

    @rule()
    def sweep(self) -> None:
        due = [hold for hold in self.holds if hold.status == "EXPIRED" and not hold.swept]
        assert self.stage.run(self.stage.world.app.worker.expiry.sweep()) == len(due)
        for hold in due:
            hold.swept = True
        for model in self.models:
            model.version += bool(model.stale)
            model.stale.clear()

    @rule(schedule=schedules, labels=some_labels, blocked=st.booleans())
    def block(self, schedule: int, labels: list[str], blocked: bool) -> None:
        model, seats = self.models[schedule], [LABELS.index(label) for label in labels]
        use = self.stage.world.app.services.timetable
        came = self._try(use.block_seats(self.stage.staff, BlockSeats(self.ids[schedule], labels, blocked)))
        letters = {seat: model.seats.get(seat, ("A", None))[0] for seat in seats}
        if not blocked:
            if out := [seat for seat in seats if letters[seat] == "X"]:
                model.free(out)
        elif {*letters.values()} & {"H", "B"}:
            assert {state.seat.index for state in came.unavailable} == {
                seat for seat in seats if letters[seat] in "HB"
            }
        elif free := [seat for seat in seats if letters[seat] == "A"]:
            model.take(free, "X", None)

    @rule()
    def look(self) -> None:
        """Let the watchers read what has come: what waits longer is merged, what is read at once is not."""
        self._look(self.steady + self.cut_off)

    @rule()
    def cut_the_line(self) -> None:
        for onlooker in self.cut_off:
            self.stage.run(onlooker.cut())

    @invariant()
    def tables_are_as_the_model_says(self) -> None:
        rows = self._board() if self.holds or hasattr(self, "ids") else []
        for model, row in zip(self.models, rows, strict=False):
            assert (row["seatString"], row["version"]) == (model.string, model.version)
            letters = Counter(model.string)
            counts = [len(LABELS), letters["A"], letters["H"], letters["B"], letters["X"]]
            assert [*row["counts"].values()] == counts

    def teardown(self) -> None:
        if not hasattr(self, "ids"):
            return
        self.sweep()
        watchers = self.steady + self.cut_off
        self._look(watchers)
        rows = self._board()
        for watcher in watchers:
            watcher.must_agree_with(rows)
        assert self.steady[1].strings.keys() == {*self.gids}
        for watcher in watchers:
            self.stage.run(watcher.cut())

    def _look(self, onlookers: Sequence[Onlooker]) -> None:
        versions = {gid: model.version for gid, model in zip(self.gids, self.models, strict=True)}
        for onlooker in onlookers:
            self.stage.run(onlooker.look(versions))

    def _board(self) -> Any:
        return self.stage.run(board(self.stage.world, self.gids))

    def _chosen(self, holds: Sequence[Hold], number: int, who: int | None = None) -> tuple[Hold, int]:
        hold = holds[-1 - number % len(holds)]
        return hold, hold.caller if who is None else who

    def _reference(self, hold: Hold, caller: int) -> OnReservation:
        guests = self.stage.world.app.services.guests
        return OnReservation(hold.id, guests.token(hold.id) if caller == hold.caller == GUEST else None)

    def _reserve(self, caller: int, schedule: int, wanted: Seats | BestAvailable) -> Any:
        use = self.stage.world.app.services.reservations
        return self._try(use.reserve(self.stage.callers[caller], Reserve(self.ids[schedule], wanted)))

    def _held(self, made: Any, caller: int, schedule: int) -> None:
        hold = Hold(made.id, caller, schedule, made.seats)
        self.holds.append(hold)
        self.models[schedule].take(made.seats, "H", hold)

    def _try(self, work: Awaitable[object]) -> Any:
        try:
            return self.stage.run(work)
        except Refusal as refusal:
            return refusal


@pytest.mark.feature("S4.50", "S4.32")
def test_whatever_is_done_in_whatever_order_tables_answers_and_watchers_agree(
    data_dir: Path, database_url: str
) -> None:
    many = hypothesis.settings(max_examples=60, stateful_step_count=30)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(stack.enter_async_context(new_world(data_dir, database_url)))
        try:
            TradeMachine.stage = runner.run(staged(world, runner))
            run_state_machine_as_test(TradeMachine, settings=many)
            assert runner.run(broken_rules(world.tables)) == []
        finally:
            runner.run(stack.aclose())
