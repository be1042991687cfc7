"""A request that is sent again has one effect and one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.viewer import Viewer
from tests.audit import broken_rules, trade_tables
from tests.graphql.documents import BLOCK, BOOK, CANCEL, EXTEND, FORCE_RELEASE, RELEASE, RESERVE
from tests.graphql.trading import EMAIL, booked, named, reserved, stranger
from tests.world import Departure, World

KEY = {"idempotencyKey": "3f6c9a52"}


def lasting(answer: Any) -> Any:
    """An answer without the instant at which it was given."""
    return {name: value for name, value in answer.items() if name != "serverNow"}


async def count(world: World, table: str) -> int:
    """How many rows there are."""
    return int(await world.tables.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_guests_reservation_sent_again_gives_the_same_with_its_token(world: World) -> None:
    departure, viewer = await world.departure(), stranger(world)
    wish = {**named(departure, "A1", "A2"), **KEY}
    first = await world.data(RESERVE, viewer, input=wish)
    before = await trade_tables(world.tables)
    again = await world.data(RESERVE, world.guest(viewer.address), input=wish)
    assert lasting(again) == lasting(first)
    assert again["token"]
    assert await trade_tables(world.tables) == before


@pytest.mark.parametrize("signed_in", [True, False], ids=["an account", "a guest"])
async def test_of_twenty_sent_at_once_one_has_an_effect_and_all_get_its_answer(
    world: World, signed_in: bool
) -> None:
    departure = await world.departure()
    viewer = await world.person() if signed_in else stranger(world)
    wish = {"target": {"bestAvailable": {"scheduleId": departure.id, "count": 2}}, **KEY}
    answers = await asyncio.gather(*(world.data(RESERVE, viewer, input=wish) for _ in range(20)))
    assert {(each["id"], each["token"]) for each in answers} == {(answers[0]["id"], answers[0]["token"])}
    assert all(each["expiresAt"] == answers[0]["expiresAt"] for each in answers)
    assert await world.allocations(departure.schedule_id) == {0: "HELD", 1: "HELD"}
    assert (await count(world, "reservation"), await count(world, "idempotency_key")) == (1, 1)
    assert await broken_rules(world.tables) == []


async def test_of_twenty_refused_at_once_all_get_the_same_refusal(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    await reserved(world, departure, "A1")
    wish = {**named(departure, "A1"), **KEY}
    before = await trade_tables(world.tables)
    answers = await asyncio.gather(*(world.data(RESERVE, viewer, input=wish) for _ in range(20)))
    assert all(each == answers[0] for each in answers)
    assert answers[0]["code"] == "SEATS_UNAVAILABLE"
    assert await trade_tables(world.tables) == before


async def every_step(world: World, departure: Departure, viewer: Viewer) -> dict[str, tuple[Viewer, Any]]:
    """Each mutation of the trade, who sends it, and its input."""
    held = [await reserved(world, departure, f"{row}1", viewer=viewer) for row in "ABCD"]
    sold = await booked(world, departure, "E1", viewer=viewer)
    return {
        RESERVE: (viewer, named(departure, "F1")),
        EXTEND: (viewer, {"id": held[0]["id"]}),
        RELEASE: (viewer, {"id": held[1]["id"]}),
        BOOK: (viewer, {"reservationId": held[2]["id"]}),
        CANCEL: (viewer, {"id": sold["id"]}),
        FORCE_RELEASE: (departure.staff, {"id": held[3]["id"], "reason": "stuck"}),
        BLOCK: (departure.staff, {"scheduleId": departure.id, "labels": ["G1"], "blocked": True}),
    }


async def test_every_mutation_sent_twice_has_one_effect_and_the_same_answer(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    steps = await every_step(world, departure, viewer)
    for number, (document, (caller, wish)) in enumerate(steps.items()):
        keyed = {**wish, "idempotencyKey": f"step {number}"}
        first = await world.data(document, caller, input=keyed)
        assert "code" not in first, first
        before = await trade_tables(world.tables)
        assert lasting(await world.data(document, caller, input=keyed)) == lasting(first)
        assert await trade_tables(world.tables) == before
    assert await broken_rules(world.tables) == []


async def test_a_key_used_with_another_input_is_a_mismatch(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    first = await world.data(RESERVE, viewer, input={**named(departure, "A1"), **KEY})
    before = await trade_tables(world.tables)
    for document, wish in (
        (RESERVE, named(departure, "A2")),
        (RESERVE, {**named(departure, "A1"), "contact": {"email": EMAIL}}),
        (EXTEND, {"id": first["id"]}),
        (BOOK, {"reservationId": first["id"]}),
    ):
        refused = await world.data(document, viewer, input={**wish, **KEY})
        assert (refused["code"], refused["path"]) == ("IDEMPOTENCY_MISMATCH", ["idempotencyKey"])
    assert await trade_tables(world.tables) == before
    again = await world.data(RESERVE, viewer, input={**named(departure, "A1"), **KEY})
    assert again["id"] == first["id"]


async def test_a_key_is_its_callers_own(world: World) -> None:
    departure = await world.departure()
    callers = [await world.person(), await world.person(), stranger(world), stranger(world)]
    for viewer, label in zip(callers, ("A1", "A2", "A3", "A4"), strict=True):
        made = await world.data(RESERVE, viewer, input={**named(departure, label), **KEY})
        assert made["__typename"] == "Reservation", made
    assert await count(world, "idempotency_key") == len(callers)


async def test_a_refusal_is_given_again_though_the_reason_is_gone(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    theirs = await reserved(world, departure, "A1")
    wish = {**named(departure, "A1"), **KEY}
    refused = await world.data(RESERVE, viewer, input=wish)
    assert refused["code"] == "SEATS_UNAVAILABLE"
    await world.data(RELEASE, input={"id": theirs["id"], "token": theirs["token"]})
    assert await world.data(RESERVE, viewer, input=wish) == refused
    assert (await reserved(world, departure, "A1", viewer=viewer))["status"] == "ACTIVE"


async def test_every_kind_of_refusal_is_kept_whole(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    one, sold = [await reserved(world, departure, label, viewer=viewer) for label in ("A1", "A2")]
    made = await world.data(BOOK, viewer, input={"reservationId": sold["id"]})
    await world.tables.execute(
        "UPDATE reservation SET expires_at = expires_at - interval '1 hour' WHERE status = 'ACTIVE'"
    )
    wishes = [
        (RESERVE, named(departure, "A2", "A3"), "SEATS_UNAVAILABLE"),
        (RESERVE, named(departure, "Z1"), "INVALID_INPUT"),
        (EXTEND, {"id": one["id"]}, "RESERVATION_EXPIRED"),
        (EXTEND, {"id": made["id"]}, "NOT_FOUND"),
        (RELEASE, {"id": sold["id"]}, "POLICY_VIOLATION"),
        (CANCEL, {"id": made["id"], "expectedVersion": 9}, "CONFLICT"),
    ]
    for document, wish, code in wishes:
        keyed = {**wish, "idempotencyKey": f"refused with {code}"}
        first = await world.data(document, viewer, input=keyed)
        assert first["code"] == code
        assert await world.data(document, viewer, input=keyed) == first


async def test_a_refusal_that_names_what_cannot_be_stored_is_kept_too(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    wish = {**named(departure, "A1\0"), **KEY}
    first, again = [await world.data(RESERVE, viewer, input=wish) for _ in range(2)]
    assert first == again
    assert (first["code"], first["message"]) == ("INVALID_INPUT", "No such seat: A1?.")


async def test_a_key_is_free_again_after_a_day(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    first = await world.data(RESERVE, viewer, input={**named(departure, "A1"), **KEY})
    older = "UPDATE idempotency_key SET created_at = created_at - $1::text::interval"
    await world.tables.execute(older, "23 hours 59 minutes")
    again = await world.data(RESERVE, viewer, input={**named(departure, "A1"), **KEY})
    assert again["id"] == first["id"]
    await world.tables.execute(older, "1 minute")
    other = await world.data(RESERVE, viewer, input={**named(departure, "A2"), **KEY})
    assert other["__typename"] == "Reservation"
    assert other["id"] != first["id"]
    again = await world.data(RESERVE, viewer, input={**named(departure, "A2"), **KEY})
    assert again["id"] == other["id"]


async def test_a_key_has_one_to_255_characters(world: World) -> None:
    departure, viewer = await world.departure(), await world.person()
    before = await trade_tables(world.tables)
    for key in ("", "k" * 256):
        refused = await world.data(RESERVE, viewer, input={**named(departure, "A1"), "idempotencyKey": key})
        assert (refused["code"], refused["path"]) == ("INVALID_INPUT", ["idempotencyKey"])
    assert await trade_tables(world.tables) == before
    for key, label in (("k", "A1"), ("k" * 255, "A2"), ("ключ 🔑", "A3")):
        made = await world.data(RESERVE, viewer, input={**named(departure, label), "idempotencyKey": key})
        assert made["__typename"] == "Reservation"


async def test_nothing_that_a_caller_sent_can_be_read_from_the_keys(world: World) -> None:
    departure, viewer = await world.departure(), stranger(world)
    held = await reserved(world, departure, "A1", viewer=viewer)
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}, **KEY}
    await world.data(BOOK, viewer, input=wish)
    kept = await world.tables.fetchval("SELECT idempotency_key::text FROM idempotency_key")
    for secret in (held["token"], EMAIL, viewer.address):
        assert secret not in kept
