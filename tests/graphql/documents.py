"""The mutations of the trade, each asking for all that its tests look at."""

from __future__ import annotations

_REFUSED = """
... on Refusal {
  code message path
  ... on SeatsUnavailable { unavailable { seat { label } status } alternatives { seat { label } status } }
  ... on ReservationLimitReached { limit retryAt }
  ... on ReservationExpired { expiredAt }
}
"""
_SEATS = "seats { seat { label } status mine heldUntil }"
_RESERVATION = f"""
... on Reservation {{
  id token status expiresAt serverNow createdAt extensionsLeft total {{ amount currency }} {_SEATS}
  booking {{ id }} schedule {{ id seatString version }}
}}
"""
_BOOKING = f"""
... on Booking {{
  id reference status version createdAt cancelledAt total {{ amount currency }} {_SEATS}
  contact {{ name email phone }} schedule {{ id seatString version }}
}}
"""
_SCHEDULE = "... on Schedule { id seatString version counts { total available held booked blocked } }"


def _mutation(field: str, input_type: str, outcome: str) -> str:
    return f"""
mutation Do($input: {input_type}!) {{ {field}(input: $input) {{ __typename {outcome} {_REFUSED} }} }}
"""


RESERVE = _mutation("reserve", "ReserveInput", _RESERVATION)
EXTEND = _mutation("extendReservation", "ExtendReservationInput", _RESERVATION)
RELEASE = _mutation("releaseReservation", "ReleaseReservationInput", _RESERVATION)
FORCE_RELEASE = _mutation("forceReleaseReservation", "ForceReleaseInput", _RESERVATION)
BOOK = _mutation("book", "BookInput", _BOOKING)
CANCEL = _mutation("cancelBooking", "CancelBookingInput", _BOOKING)
BLOCK = _mutation("blockSeats", "BlockSeatsInput", _SCHEDULE)

RESERVATION = f"""
query Look($id: ID!, $token: String) {{ reservation(id: $id, token: $token) {{ __typename {_RESERVATION} }} }}
"""
BOOKING = f"query Look($id: ID!) {{ booking(id: $id) {{ __typename {_BOOKING} }} }}"
BY_REFERENCE = f"""
query Find($reference: String!, $email: String!) {{
  bookingByReference(reference: $reference, email: $email) {{ __typename {_BOOKING} }}
}}
"""
SCHEDULE = f"query Look($id: ID!) {{ schedule(id: $id) {{ __typename status {_SCHEDULE} {_SEATS} }} }}"
