"""Reservations that are made together: each caller gets what they would get alone."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain.contact import Contact
from domain.errors import BadRequest, IdempotencyMismatch, Refusal, SeatsUnavailable
from domain.holding import BestAvailable, Seats
from domain.ledger import Reservation
from domain.reserving import Asked, Reserve, serve
from domain.viewer import Viewer
from tests.audit import broken_rules, trade_tables
from tests.db.test_races import Crowd, crowd_of, examined, names
from tests.world import Departure, World, new_world


def wish(
    world: World,
    departure: Departure,
    wanted: str | int,
    viewer: Viewer | None = None,
    key: str | None = None,
) -> Asked:
    """Somebody's wish for the seats of these labels, or for the best so many."""
    seats = BestAvailable(wanted) if isinstance(wanted, int) else Seats(wanted.split())
    reserving = world.app.services.reservations.reserving
    return reserving.asked(viewer or world.guest(), Reserve(departure.schedule_id, seats), key)


async def together(world: World, *wishes: Asked) -> Sequence[Reservation | Refusal]:
    """What came of wishes in one transaction."""
    async with world.app.database.begin(*(asked.viewer for asked in wishes)) as tx:
        return await serve(tx, wishes)


async def alone(world: World, asked: Asked) -> Reservation | Refusal:
    """What came of a wish by itself."""
    (outcome,) = await together(world, asked)
    return outcome


def told(outcome: Reservation | Refusal) -> dict[str, object]:
    """What a refusal says."""
    assert isinstance(outcome, Refusal)
    return vars(outcome)


@pytest.mark.feature("S4.41", "S4.50")
async def test_of_two_in_one_run_who_want_a_seat_the_first_gets_it_and_the_second_the_usual_refusal(
    world: World,
) -> None:
    departure = await world.departure()
    first, second, third = await together(
        world, *(wish(world, departure, labels) for labels in ("A1 A2", "A3 A2", "A3 A4"))
    )
    assert isinstance(first, Reservation)
    assert isinstance(second, SeatsUnavailable)
    assert isinstance(third, Reservation)
    assert [(state.seat.label, state.held_until) for state in second.unavailable] == [
        ("A2", first.expires_at)
    ]
    assert await world.allocations(departure.schedule_id) == dict.fromkeys(range(4), "HELD")
    assert await broken_rules(world.tables) == []


async def test_a_refusal_in_a_run_is_the_one_that_the_caller_would_have_got_alone(world: World) -> None:
    departure = await world.departure()
    await alone(world, wish(world, departure, "A1 B2"))
    wishes = [wish(world, departure, labels) for labels in ("A1", "Z9", "B2 B3 A1")]
    wishes.append(
        world.app.services.reservations.reserving.asked(world.guest(), Reserve(None, Seats(["A1"])))
    )
    before = await trade_tables(world.tables)
    gathered = await together(world, *wishes)
    assert [told(each) for each in gathered] == [told(await alone(world, each)) for each in wishes]
    assert names(gathered) == {"SeatsUnavailable": 2, "InvalidInput": 1, "NotFound": 1}
    assert await trade_tables(world.tables) == before


async def test_ten_who_leave_the_choice_to_us_get_seats_of_their_own_in_one_run(world: World) -> None:
    departure = await world.departure(seats=20)
    came = await together(world, *(wish(world, departure, 2) for _ in range(11)))
    assert names(came) == {"Reservation": 10, "SeatsUnavailable": 1}
    taken = Counter(seat for each in came if isinstance(each, Reservation) for seat in each.seats)
    assert taken == Counter(range(20))
    assert isinstance(came[-1], SeatsUnavailable)
    assert came[-1].alternatives == []


@pytest.mark.feature("S3.42")
async def test_an_account_that_sends_twenty_at_once_holds_as_many_as_it_may(
    data_dir: Path, database_url: str
) -> None:
    async with new_world(data_dir, database_url, max_active_reservations=5) as world:
        departures = [await world.departure() for _ in range(2)]
        viewer, use = await world.person(), world.app.services.reservations
        wishes = [
            use.reserve(viewer, Reserve(departures[number % 2].schedule_id, BestAvailable(1)))
            for number in range(20)
        ]
        came = await asyncio.gather(*wishes, return_exceptions=True)
        assert names(came) == {"Reservation": 5, "ReservationLimitReached": 15}
        ends = min(each.expires_at for each in came if isinstance(each, Reservation))
        assert {told(each)["retry_at"] for each in came if isinstance(each, Refusal)} == {ends}
        held = "SELECT count(DISTINCT xid) FROM event WHERE type = 'seats.held'"
        assert await world.tables.fetchval(held) == 2  # the first alone, the others behind it together
        other = await world.person()
        *made, refused = await together(world, *(wish(world, departures[0], 1, other) for _ in range(6)))
        assert names(made) == {"Reservation": 5}
        assert told(refused)["retry_at"] == min(
            each.expires_at for each in made if isinstance(each, Reservation)
        )
        assert await broken_rules(world.tables) == []


@pytest.mark.feature("S2.54")
async def test_a_key_that_is_there_twice_in_a_run_has_one_effect_and_one_answer(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    first, again, other, elses = await together(
        world,
        wish(world, departure, "A1", viewer, "key"),
        wish(world, departure, "A1", viewer, "key"),
        wish(world, departure, "A2", viewer, "key"),
        wish(world, departure, "A1", None, "key"),
    )
    assert isinstance(first, Reservation)
    assert again == first
    assert isinstance(other, IdempotencyMismatch)
    assert isinstance(elses, SeatsUnavailable)
    later = await together(
        world, wish(world, departure, "A1", viewer, "key"), wish(world, departure, "A1", None, "key")
    )
    assert [each.id if isinstance(each, Reservation) else told(each) for each in later] == [
        first.id,
        {**told(elses), "path": [*(elses.path or ())]},
    ]
    assert await world.tables.fetchval("SELECT count(*) FROM idempotency_key") == 2
    assert await broken_rules(world.tables) == []


async def test_the_log_says_of_each_event_of_a_run_who_did_it_and_in_which_request(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "holdfast.database")
    departure, viewers = await world.departure(), [await world.person(), world.guest(), await world.person()]
    wishes = [wish(world, departure, f"A{number + 1}", viewer) for number, viewer in enumerate(viewers)]
    with capture_logs() as lines:
        came = await together(world, *wishes)
    ids = [each.id for each in came if isinstance(each, Reservation)]
    rows = await world.tables.fetch(
        "SELECT stream, stream_id, version, actor, actor_id FROM event"
        " WHERE type IN ('seats.held', 'reservation.created') ORDER BY event.xid, id"
    )
    assert [tuple(row) for row in rows] == [
        step
        for number, (viewer, made) in enumerate(zip(viewers, ids, strict=True))
        for step in (
            ("schedule", departure.schedule_id, number + 1, *who(viewer)),
            ("reservation", made, 1, *who(viewer)),
        )
    ]
    (line,) = [line for line in lines if line["event"] == "committed"]
    assert line["events"] == [
        f"{viewers[number // 2].request_id} {'seats.held' if number % 2 == 0 else 'reservation.created'}"
        f" {row['stream_id']} {row['version']}"
        for number, row in enumerate(rows)
    ]


def who(viewer: Viewer) -> tuple[str, object]:
    """How the log names them."""
    return ("user" if viewer.signed_in else "guest"), viewer.user_id


async def test_what_the_database_cannot_store_fails_alone(world: World) -> None:
    departure, use = await world.departure(), world.app.services.reservations
    contacts = [Contact(), Contact(), Contact(email="half\ud800@test.example"), Contact()]
    tries = [
        use.reserve(world.guest(), Reserve(departure.schedule_id, Seats([f"A{number + 1}"]), contact))
        for number, contact in enumerate(contacts)
    ]
    came = await asyncio.gather(*tries, return_exceptions=True)
    assert names(came) == {"Reservation": 3, "BadRequest": 1}
    assert isinstance(came[2], BadRequest)
    assert await world.allocations(departure.schedule_id) == {0: "HELD", 1: "HELD", 3: "HELD"}
    assert await broken_rules(world.tables) == []


async def test_whoever_leaves_takes_nobodys_place_and_no_connection_with_them(
    data_dir: Path, database_url: str
) -> None:
    async with crowd_of(1, 2, data_dir, database_url) as crowd:
        departure = await crowd.world.departure()
        for _ in range(8):
            callers = [
                asyncio.create_task(crowd.reserve(departure.schedule_id, BestAvailable(1))) for _ in range(5)
            ]
            await asyncio.sleep(0)
            for gone in callers[::2]:
                gone.cancel()
            stayed = await asyncio.gather(*callers[1::2])
            assert names(stayed) == {"Reservation": 2}
        await crowd.reserve(departure.schedule_id, BestAvailable(1))
        pool = crowd.world.app.pool
        assert pool.get_idle_size() == pool.get_size()
        assert await broken_rules(crowd.world.tables) == []


async def test_a_seat_behind_somebodys_lock_keeps_the_buyers_of_others_waiting_for_a_moment_alone(
    world: World, database_url: str
) -> None:
    stuck, free = await world.departure(), await world.departure()
    use, (one, two) = world.app.services.reservations, [await world.person() for _ in range(2)]
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.fetch("SELECT FROM schedule WHERE id = $1 FOR UPDATE", stuck.schedule_id)
            waiting = asyncio.create_task(use.reserve(one, Reserve(stuck.schedule_id, Seats(["A1"]))))
            await asyncio.sleep(0)
            async with asyncio.timeout(3):
                await use.reserve(two, Reserve(free.schedule_id, Seats(["A1"])))
            assert not waiting.done()
        assert (await waiting).seats == [0]
    finally:
        await other.close()


async def test_a_run_takes_as_many_round_trips_for_thirty_as_for_one(
    data_dir: Path, database_url: str
) -> None:
    async with new_world(data_dir, database_url, database_pool_min=1, database_pool_max=1) as world:
        departures, viewer = [await world.departure() for _ in range(3)], await world.person()
        sent: list[str] = []
        await together(world, *(wish(world, departures[0], "J4", viewer, "warm") for _ in range(2)))
        async with world.app.pool.acquire() as connection:
            connection.add_query_logger(lambda query: sent.append(query.query.split()[0]))
        for many in (1, 30):
            sent.clear()
            wishes = [
                wish(world, departures[number % 3], 1, viewer if number % 2 else None, f"{many}-{number}")
                for number in range(many)
            ]
            assert names(await together(world, *wishes)) == {"Reservation": many}
            ours = sent[: sent.index("COMMIT") + 1]  # what follows is the feed's
            assert ours == ["BEGIN;", "SELECT", "WITH", "WITH", "COMMIT"]


async def test_what_was_planned_while_the_tables_were_empty_reads_none_of_them_whole(
    data_dir: Path, database_url: str
) -> None:
    """Not even to see that a seat's reservation is there; a connection keeps its plans while the tables grow."""
    async with new_world(data_dir, database_url, database_pool_min=1, database_pool_max=1) as world:
        departure, viewer = await world.departure(), await world.person()

        async def read_whole() -> dict[str, int]:
            await world.app.pool.execute("SELECT pg_stat_force_next_flush()")
            told = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0"
            return {row["relname"]: row["seq_scan"] for row in await world.app.pool.fetch(told)}

        await alone(world, wish(world, departure, 1, viewer, "first"))
        before = await read_whole()
        wishes = [wish(world, departure, 1, viewer, f"{number}") for number in range(3)]
        assert names(await together(world, *wishes)) == {"Reservation": 3}
        assert await read_whole() == before


@pytest.mark.parametrize("kind", ["schedules", "holders", "keys"])
async def test_locks_are_taken_in_one_order_whatever_order_they_are_asked_for_in(
    world: World, kind: str
) -> None:
    both: dict[str, list[Any]] = {
        "schedules": [(await world.departure()).schedule_id for _ in range(2)],
        "holders": [b"one", b"two"],
        "keys": [(b"one", "key"), (b"two", "key")],
    }

    async def lock(order: int) -> None:
        async with world.app.database.begin(None) as tx:
            asked = {name: both[name][::order] if name == kind else [] for name in both}
            await tx.ledger.lock_reserving(**asked)
            locked.set()
            await go_on.wait()

    locked, go_on = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(lock(1))
    await locked.wait()
    others = [asyncio.create_task(lock(order)) for order in (1, -1)]
    async with asyncio.timeout(10):
        while await world.tables.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
            pass
    go_on.set()
    await asyncio.gather(first, *others)


async def test_runs_of_several_processes_over_the_same_schedules_callers_and_keys_never_deadlock(
    data_dir: Path, database_url: str
) -> None:
    async with examined(4, 3, data_dir, database_url) as crowd:
        departures = [await crowd.world.departure(seats=400) for _ in range(6)]
        viewers = [await crowd.world.person() for _ in range(6)]

        async def one_try(number: int) -> Reservation:
            """Every other one is a request that others send, too."""
            use, key = crowd.world.app.services.reservations, None if number % 2 else f"key {number % 12}"
            request = Reserve(departures[number % 6].schedule_id, BestAvailable(1))
            return await use.reserve(viewers[number % 6], request, key)

        for _ in range(3):
            came = await asyncio.gather(*(one_try(number) for number in range(180)))
        assert len({each.id for each in came}) == 90 + 6
        assert await runs_of(crowd) < 90


async def runs_of(crowd: Crowd) -> int:
    """How many transactions held seats."""
    counted: int = await crowd.world.tables.fetchval(
        "SELECT count(DISTINCT xid) FROM event WHERE type = 'seats.held'"
    )
    return counted
