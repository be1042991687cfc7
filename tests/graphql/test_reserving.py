"""Reserving through GraphQL."""

from __future__ import annotations

import pytest

from tests.world import World

RESERVE = """
mutation Reserve($input: ReserveInput!) {
  reserve(input: $input) {
    __typename
    ... on Reservation { id token status total { amount currency } seats { seat { label } status mine heldUntil } }
    ... on Refusal { code message path }
    ... on SeatsUnavailable { unavailable { seat { label } status } alternatives { seat { label } status } }
  }
}
"""


@pytest.mark.feature("S4.9", "S4.40")
async def test_a_guest_holds_two_seats_and_the_next_caller_is_offered_others(world: World) -> None:
    departure = await world.departure()
    target = {"seats": {"scheduleId": departure.id, "labels": ["A1", "A2"]}}
    held = await world.data(RESERVE, input={"target": target})
    assert held["__typename"] == "Reservation"
    assert held["total"] == {"amount": "1000.00", "currency": "INR"}
    assert [(s["seat"]["label"], s["status"], s["mine"]) for s in held["seats"]] == [
        ("A1", "HELD", True),
        ("A2", "HELD", True),
    ]
    refused = await world.data(RESERVE, input={"target": target})
    assert refused["code"] == "SEATS_UNAVAILABLE"
    assert [each["seat"]["label"] for each in refused["unavailable"]] == ["A1", "A2"]
    assert len(refused["alternatives"]) == 5
    assert {each["status"] for each in refused["alternatives"]} == {"AVAILABLE"}
    assert await world.allocations(departure.schedule_id) == {0: "HELD", 1: "HELD"}
