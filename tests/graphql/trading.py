"""Customers who reserve and book through GraphQL: steps that tests of the trade begin with."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.viewer import Viewer
from tests.graphql.documents import BOOK, RESERVE
from tests.world import Departure, World

EMAIL = "buyer@test.example"
_addresses = itertools.count(1)


def stranger(world: World) -> Viewer:
    """A guest from an address that no other caller has."""
    number = next(_addresses)
    return world.guest(f"198.18.{number // 250}.{number % 250}")


def named(departure: Departure, *labels: str) -> dict[str, Any]:
    """The input that asks for these seats."""
    return {"target": {"seats": {"scheduleId": departure.id, "labels": [*labels]}}}


def best(departure: Departure, count: int, **more: Any) -> dict[str, Any]:
    """The input that asks for the best seats."""
    return {"target": {"bestAvailable": {"scheduleId": departure.id, "count": count, **more}}}


async def reserved(world: World, departure: Departure, *labels: str, viewer: Viewer | None = None) -> Any:
    """A reservation, by default a guest's."""
    made = await world.data(RESERVE, viewer or stranger(world), input=named(departure, *labels))
    assert made["__typename"] == "Reservation", made
    return made


async def booked(world: World, departure: Departure, *labels: str, viewer: Viewer | None = None) -> Any:
    """A booking with its reservation's token, by default a guest's."""
    held = await reserved(world, departure, *labels, viewer=viewer)
    wish = {"reservationId": held["id"], "token": held["token"], "contact": {"email": EMAIL}}
    made = await world.data(BOOK, viewer, input=wish)
    assert made["__typename"] == "Booking", made
    return {**made, "token": held["token"]}


async def departing(world: World, after: timedelta, **terms: Any) -> Departure:
    """A departure of eight seats that leaves so long from now."""
    organization = await world.organization(zone="UTC")
    staff = await world.member(organization)
    resource = await world.resource(organization, staff, rows=2)
    offering = await world.offering(organization, staff, **terms)
    start = (datetime.now(UTC) + after).replace(tzinfo=None, microsecond=0)
    (schedule_id,) = await world.open(staff, offering, resource, [start])
    return Departure(organization, staff, resource, offering, schedule_id)


async def let_time_pass(world: World, departure: Departure, by: timedelta) -> None:
    """Move a departure, and what is held on it, so far towards the past."""
    for statement in (
        (
            "UPDATE schedule SET starts_at = starts_at - $2::interval,"
            " during = tstzrange(lower(during) - $2::interval, upper(during) - $2::interval) WHERE id = $1"
        ),
        "UPDATE reservation SET expires_at = expires_at - $2::interval WHERE schedule_id = $1",
        "UPDATE allocation SET held_until = held_until - $2::interval WHERE schedule_id = $1",
    ):
        await world.tables.execute(statement, departure.schedule_id, by)


def instant(text: str) -> datetime:
    """A DateTime of an answer."""
    return datetime.fromisoformat(text)
