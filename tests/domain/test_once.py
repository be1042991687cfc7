"""What an idempotency key stands for: fingerprints of requests, and refusals that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bookings import Book, CancelBooking
from domain.contact import Contact
from domain.errors import (
    Conflict,
    CredentialsRefused,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PolicyViolation,
    PortalUnavailable,
    Refusal,
    RefusalCode,
    ReservationExpired,
    ReservationLimitReached,
    SeatsUnavailable,
)
from domain.holding import BestAvailable, Seats
from domain.ids import new_id
from domain.money import Money
from domain.once import fingerprint, freeze, thaw
from domain.reservations import OnReservation
from domain.reserving import Reserve
from domain.seats import Seat, SeatState, SeatStatus

NOW = datetime(2027, 3, 1, 8, 30, 15, 123456, tzinfo=UTC)
SEAT = Seat("A1", 0, 1, 1, "standard", accessible=True)
TAKEN = SeatState(SEAT, SeatStatus.HELD, Money(Decimal("333.35"), "INR"), NOW, mine=True)
FREE = TAKEN._replace(status=SeatStatus.AVAILABLE, held_until=None, mine=False)

REFUSALS: list[Refusal] = [
    InvalidInput("No such seat: Z1.", ("target", "seats", "labels")),
    NotFound("No such schedule."),
    SeatsUnavailable("Not free: A1.", ("target",), unavailable=[TAKEN], alternatives=[FREE, FREE]),
    ReservationExpired("Over.", ("id",), expired_at=NOW),
    ReservationLimitReached("Enough.", limit=5, retry_at=NOW),
    ReservationLimitReached("Enough.", limit=5),
    Conflict("Changed.", ("expectedVersion",)),
    PortalUnavailable("Not now.", ("portalKey",)),
    IdempotencyMismatch("Another input."),
    PolicyViolation("Started."),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
def test_a_refusal_that_was_kept_as_json_is_the_same_again(refusal: Refusal) -> None:
    again = thaw(orjson.loads(orjson.dumps(freeze(refusal))))
    assert type(again) is type(refusal)
    assert again.code is refusal.code

    def told(refused: Refusal) -> dict[str, object]:
        return {
            name: [*value] if isinstance(value, tuple) else value for name, value in vars(refused).items()
        }

    assert told(again) == told(refusal)


def test_every_refusal_can_be_kept() -> None:
    kept = {type(refusal) for refusal in REFUSALS}
    assert {*Refusal.__subclasses__()} - {CredentialsRefused} == kept  # signing in takes no key
    assert CredentialsRefused("No.").code is RefusalCode.INVALID_CREDENTIALS


SCHEDULE, OTHER = new_id(), new_id()
WISHES: list[object] = [
    Reserve(SCHEDULE, Seats(["A1", "A2"])),
    Reserve(SCHEDULE, Seats(["A1", "A3"])),
    Reserve(OTHER, Seats(["A1", "A2"])),
    Reserve(None, Seats(["A1", "A2"])),
    Reserve(SCHEDULE, Seats(["A1", "A2"]), Contact(email="a@test.example")),
    Reserve(SCHEDULE, Seats(["A1", "A2"]), Contact(name="a@test.example")),
    Reserve(SCHEDULE, BestAvailable(2)),
    Reserve(SCHEDULE, BestAvailable(2, together=False)),
    Reserve(SCHEDULE, BestAvailable(2, category="standard")),
    OnReservation(SCHEDULE),
    OnReservation(SCHEDULE, "token"),
    Book(OnReservation(SCHEDULE, "token")),
    CancelBooking(SCHEDULE, reason="1"),
    CancelBooking(SCHEDULE, expected_version=1),
]


def test_requests_that_differ_anywhere_have_different_fingerprints() -> None:
    assert len({fingerprint(wish) for wish in WISHES}) == len(WISHES)
    assert all(len(fingerprint(wish)) == 32 for wish in WISHES)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_labels_cannot_be_run_together_to_the_same_fingerprint(one: list[str], two: list[str]) -> None:
    prints = fingerprint(Reserve(SCHEDULE, Seats(one))), fingerprint(Reserve(SCHEDULE, Seats(two)))
    assert (prints[0] == prints[1]) == (one == two)


def test_a_fingerprint_does_not_depend_on_the_order_of_fields() -> None:
    @dataclass(frozen=True)
    class Forwards:
        a: int = 1
        b: str = "x"

    @dataclass(frozen=True)
    class Backwards:
        b: str = "x"
        a: int = 1

    assert fingerprint(Forwards()) == fingerprint(Backwards())
