"""Seats, reservations and bookings: a verb is a statement, and every write bumps the schedule's version once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from db.engine import Connection
from db.failures import NotApplied
from db.layouts import Layouts
from db.rows import allocation, booking, locked_schedule, reservation, reservation_at, terms
from domain.catalogue import Terms
from domain.idempotency import UsedKey
from domain.ledger import Booking, Hold, Holder, Locked, LockedSchedule, Reservation
from domain.seats import Allocation, SeatLayout

Result = TypeVar("Result", Reservation, Booking)

# What reserving on a schedule needs to know of it.
_TERMS = """
SELECT s.id, s.organization_id, s.resource_id, s.layout_id, s.starts_at, s.price_amount, s.price_currency,
       o.reservation_ttl, o.max_seats
FROM schedule s JOIN offering o ON o.id = s.offering_id WHERE s.id = $1
"""

_LOCK = "SELECT * FROM lock_schedules(ARRAY[$1::uuid], false)"
_LOCK_RESERVING = "SELECT schedules, holders, uses FROM lock_reserving($1, $2, $3, $4)"
_LOCK_RESERVATION = "SELECT locked, held FROM lock_reservation($1)"
_LOCK_BOOKING = "SELECT locked, sold FROM lock_booking($1)"

_ALLOCATIONS = """
SELECT seat, status, held_until, reservation_id, booking_id FROM allocation
WHERE schedule_id = $1 AND (status <> 'HELD' OR held_until > $2) ORDER BY seat
"""

# Takes free seats, and seats whose hold is over, in the order of their index; a seat in other hands is left out, and
# one that is there twice fails the statement. A hold is a row; its seats are an array's text.
_HOLD = """
WITH hold AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bytea[], $7::text[], $8::numeric[],
    $9::text[], $10::interval[], $11::timestamptz[], $12::text[], $13::text[], $14::text[])
    AS h (id, schedule_id, organization_id, account_id, holder, seats, amount, currency, ttl, expires_at, name, email,
      phone)
),
bumped AS (
  UPDATE schedule s SET version = s.version + b.steps
  FROM (SELECT schedule_id, count(*) AS steps FROM hold GROUP BY schedule_id) b WHERE s.id = b.schedule_id
  RETURNING b.steps
),
made AS (
  INSERT INTO reservation (id, schedule_id, organization_id, account_id, holder, seats, total_amount,
    total_currency, ttl, created_at, expires_at, contact_name, contact_email, contact_phone)
  SELECT id, schedule_id, organization_id, account_id, holder, seats::smallint[], amount, currency, ttl, $1, expires_at,
    name, email, phone FROM hold
),
taken AS (
  INSERT INTO allocation AS a (schedule_id, seat, status, held_until, reservation_id)
  SELECT schedule_id, seat, 'HELD', expires_at, id FROM hold, unnest(seats::smallint[]) AS seat
  ORDER BY schedule_id, seat
  ON CONFLICT (schedule_id, seat) DO UPDATE
    SET held_until = excluded.held_until, reservation_id = excluded.reservation_id
    WHERE a.status = 'HELD' AND a.held_until <= $1
  RETURNING 1
)
SELECT (SELECT count(*) FROM taken) AS taken, (SELECT sum(steps) FROM bumped) AS bumped
"""

RESERVATION_COLUMNS = """r.id, r.schedule_id, r.organization_id, r.account_id, r.seats, r.total_amount,
  r.total_currency, r.ttl, r.created_at, r.expires_at, r.extensions, r.contact_name, r.contact_email, r.contact_phone,
  r.version, clock_timestamp() AS now,
  CASE WHEN r.status = 'ACTIVE' AND r.expires_at <= clock_timestamp() THEN 'EXPIRED' ELSE r.status END AS status"""

_RESERVATION = f"SELECT {RESERVATION_COLUMNS} FROM reservation r WHERE r.id = $1"

_EXTEND = f"""
WITH extended AS (
  UPDATE reservation SET expires_at = $3, extensions = extensions + 1, version = version + 1
  WHERE id = $1 AND status = 'ACTIVE' AND expires_at > $2 RETURNING *
),
moved AS (
  UPDATE allocation a SET held_until = $3 FROM extended e
  WHERE a.schedule_id = e.schedule_id AND a.seat = ANY (e.seats) AND a.reservation_id = e.id RETURNING 1
),
bumped AS (UPDATE schedule s SET version = s.version + 1 FROM extended e WHERE s.id = e.schedule_id)
SELECT {RESERVATION_COLUMNS}, (SELECT count(*) FROM moved) AS touched FROM extended r
"""

_RELEASE = f"""
WITH released AS (
  UPDATE reservation SET status = 'RELEASED', expires_at = $2, release_reason = $3, version = version + 1
  WHERE id = $1 AND status = 'ACTIVE' AND expires_at > $2 RETURNING *
),
freed AS (
  DELETE FROM allocation a USING released e
  WHERE a.schedule_id = e.schedule_id AND a.seat = ANY (e.seats) AND a.reservation_id = e.id RETURNING 1
),
bumped AS (UPDATE schedule s SET version = s.version + 1 FROM released e WHERE s.id = e.schedule_id)
SELECT {RESERVATION_COLUMNS}, (SELECT count(*) FROM freed) AS touched FROM released r
"""

# One compare-and-swap on (ACTIVE, not expired); everything else hangs on it.
_CONVERT = f"""
WITH converted AS (
  UPDATE reservation SET status = 'CONVERTED', version = version + 1
  WHERE id = $1 AND status = 'ACTIVE' AND expires_at > $2 RETURNING *
),
sold AS (
  INSERT INTO booking (id, reference, schedule_id, organization_id, reservation_id, account_id, status, seats,
    total_amount, total_currency, contact_name, contact_email, contact_phone, created_at, external_reference)
  SELECT $3, $4, c.schedule_id, c.organization_id, c.id, $5, $6, c.seats, c.total_amount, c.total_currency,
    $7, $8, $9, $2, $10
  FROM converted c
),
kept AS (
  UPDATE allocation a SET status = 'BOOKED', held_until = NULL, booking_id = $3 FROM converted c
  WHERE a.schedule_id = c.schedule_id AND a.seat = ANY (c.seats) AND a.reservation_id = c.id
    AND a.status = 'HELD' AND a.held_until > $2
  RETURNING 1
),
bumped AS (UPDATE schedule s SET version = s.version + 1 FROM converted c WHERE s.id = c.schedule_id)
SELECT {RESERVATION_COLUMNS}, (SELECT count(*) FROM kept) AS touched FROM converted r
"""

BOOKING_COLUMNS = """b.id, b.reference, b.status, b.schedule_id, b.organization_id, b.reservation_id, b.account_id,
  b.seats, b.total_amount, b.total_currency, b.contact_name, b.contact_email, b.contact_phone, b.created_at,
  b.cancelled_at, b.external_reference, b.version"""

_BOOKING = f"SELECT {BOOKING_COLUMNS} FROM booking b WHERE b.id = $1"
_RESERVATION_BEHIND = "SELECT reservation_of_booking($1)"
_BOOKING_OF = f"SELECT {BOOKING_COLUMNS} FROM booking b WHERE b.reservation_id = $1"

_CANCEL = f"""
WITH cancelled AS (
  UPDATE booking SET status = 'CANCELLED', cancelled_at = $2, cancel_reason = $3, version = version + 1
  WHERE id = $1 AND status IN ('PENDING', 'CONFIRMED') RETURNING *
),
freed AS (
  DELETE FROM allocation a USING cancelled c
  WHERE a.schedule_id = c.schedule_id AND a.seat = ANY (c.seats) AND a.booking_id = c.id RETURNING 1
),
bumped AS (UPDATE schedule s SET version = s.version + 1 FROM cancelled c WHERE s.id = c.schedule_id)
SELECT {BOOKING_COLUMNS}, (SELECT count(*) FROM freed) AS touched FROM cancelled b
"""

_BLOCK = """
WITH bumped AS (UPDATE schedule SET version = version + 1 WHERE id = $1),
blocked AS (
  INSERT INTO allocation AS a (schedule_id, seat, status)
  SELECT $1, seat, 'BLOCKED' FROM unnest($2::smallint[]) AS seat ORDER BY seat
  ON CONFLICT (schedule_id, seat) DO UPDATE
    SET status = 'BLOCKED', held_until = NULL, reservation_id = NULL, booking_id = NULL
    WHERE a.status = 'HELD' AND a.held_until <= $3
  RETURNING 1
)
SELECT count(*) FROM blocked
"""

_UNBLOCK = """
WITH bumped AS (UPDATE schedule SET version = version + 1 WHERE id = $1),
freed AS (
  DELETE FROM allocation WHERE schedule_id = $1 AND seat = ANY ($2::smallint[]) AND status = 'BLOCKED' RETURNING 1
)
SELECT count(*) FROM freed
"""

_DUE = """
SELECT schedule_id FROM reservation WHERE status = 'ACTIVE' AND expires_at <= clock_timestamp()
GROUP BY schedule_id ORDER BY min(expires_at) LIMIT $1
"""

_EXPIRE = f"""
WITH ended AS (
  UPDATE reservation SET status = 'EXPIRED', version = version + 1
  WHERE schedule_id = $1 AND status = 'ACTIVE' AND expires_at <= $2 RETURNING *
),
freed AS (
  DELETE FROM allocation WHERE schedule_id = $1 AND status = 'HELD' AND held_until <= $2 RETURNING seat
),
bumped AS (UPDATE schedule SET version = version + 1 WHERE id = $1 AND EXISTS (SELECT FROM freed))
SELECT {RESERVATION_COLUMNS}, (SELECT array_agg(seat ORDER BY seat) FROM freed) AS freed FROM ended r ORDER BY r.id
"""

_NEXT_DUE = """
SELECT greatest(expires_at - clock_timestamp(), interval '0') FROM reservation
WHERE status = 'ACTIVE' ORDER BY expires_at LIMIT 1
"""


class Ledger:
    """The port over ``schedule``, ``allocation``, ``reservation`` and ``booking``."""

    def __init__(self, connection: Connection, layouts: Layouts) -> None:
        self._connection = connection
        self._layouts = layouts

    async def terms(self, schedule_id: UUID) -> Terms | None:
        """What reserving needs to know of a schedule."""
        row = await self._connection.fetchrow(_TERMS, schedule_id)
        return terms(row) if row else None

    async def layout(self, layout_id: UUID) -> SeatLayout:
        """A seat layout by its id."""
        return await self._layouts.get(self._connection, layout_id)

    async def layouts(self, ids: Collection[UUID]) -> Mapping[UUID, SeatLayout]:
        """Several seat layouts, by their ids."""
        return await self._layouts.get_many(self._connection, ids)

    async def lock(self, schedule_id: UUID) -> LockedSchedule | None:
        """Lock the schedule, and count its seats as the last owner of the lock left them."""
        row = await self._connection.fetchrow(_LOCK, schedule_id)
        return locked_schedule(row) if row else None

    async def lock_reserving(
        self, schedules: Collection[UUID], holders: Collection[bytes], keys: Collection[tuple[bytes, str]]
    ) -> Locked:
        """Lock keys, holders and schedules in the one order of all, and read what the last owners left."""
        scopes, names = [scope for scope, _ in keys], [key for _, key in keys]
        row: Any = await self._connection.fetchrow(_LOCK_RESERVING, schedules, holders, scopes, names)
        return Locked(
            {each["id"]: locked_schedule(each) for each in row["schedules"]},
            {each["holder"]: Holder(each["active"], each["free_at"]) for each in row["holders"]},
            {
                (each["scope"], each["key"]): UsedKey(each["operation"], each["fingerprint"], each["outcome"])
                for each in row["uses"] or ()
            },
        )

    async def lock_reservation(self, reservation_id: UUID) -> tuple[LockedSchedule, Reservation] | None:
        """Lock the schedule of a reservation, and read that as the last owner of the lock left it."""
        row = await self._connection.fetchrow(_LOCK_RESERVATION, reservation_id)
        if row is None:
            return None
        locked = locked_schedule(row["locked"])
        return locked, reservation_at(row["held"], locked.at)

    async def lock_booking(self, booking_id: UUID) -> tuple[LockedSchedule, Booking] | None:
        """Lock the schedule of a booking, and read that as the last owner of the lock left it."""
        row = await self._connection.fetchrow(_LOCK_BOOKING, booking_id)
        return (locked_schedule(row["locked"]), booking(row["sold"])) if row else None

    async def allocations(self, schedule_id: UUID, at: datetime) -> Sequence[Allocation]:
        """The seats of a schedule that are not free at ``at``, by index."""
        rows = await self._connection.fetch(_ALLOCATIONS, schedule_id, at)
        return [allocation(row) for row in rows]

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Write reservations and take their seats. Raises NotApplied where one of them is in other hands."""
        columns = zip(*map(_row, holds), strict=True)
        row: Any = await self._connection.fetchrow(_HOLD, holds[0].reservation.created_at, *columns)
        _must_be(row["taken"], sum(len(hold.reservation.seats) for hold in holds))
        _must_be(row["bumped"], len(holds))

    async def reservation(self, reservation_id: UUID) -> Reservation | None:
        """A reservation as it is now."""
        row = await self._connection.fetchrow(_RESERVATION, reservation_id)
        return reservation(row) if row else None

    async def extend(self, reservation_id: UUID, at: datetime, expires_at: datetime) -> Reservation | None:
        """Move the end of an active reservation."""
        return await self._changed(reservation, _EXTEND, reservation_id, at, expires_at)

    async def release(self, reservation_id: UUID, at: datetime, reason: str | None) -> Reservation | None:
        """End an active reservation and free its seats."""
        return await self._changed(reservation, _RELEASE, reservation_id, at, reason)

    async def convert(self, booking: Booking) -> Reservation | None:
        """Turn the booking's reservation into it."""
        return await self._changed(
            reservation,
            _CONVERT,
            booking.reservation_id,
            booking.created_at,
            booking.id,
            booking.reference,
            booking.account_id,
            booking.status.value,
            booking.contact.name,
            booking.contact.email,
            booking.contact.phone,
            booking.external_reference,
        )

    async def booking(self, booking_id: UUID) -> Booking | None:
        """A booking as it is now."""
        row = await self._connection.fetchrow(_BOOKING, booking_id)
        return booking(row) if row else None

    async def reservation_behind(self, booking_id: UUID) -> UUID | None:
        """The id of the reservation that became a booking."""
        found: UUID | None = await self._connection.fetchval(_RESERVATION_BEHIND, booking_id)
        return found

    async def booking_of(self, reservation_id: UUID) -> Booking | None:
        """The booking a reservation became."""
        row = await self._connection.fetchrow(_BOOKING_OF, reservation_id)
        return booking(row) if row else None

    async def cancel(self, booking_id: UUID, at: datetime, reason: str | None) -> Booking | None:
        """Cancel a booking and free its seats."""
        return await self._changed(booking, _CANCEL, booking_id, at, reason)

    async def block(self, schedule_id: UUID, seats: Sequence[int], at: datetime) -> None:
        """Block free seats. Raises NotApplied where one of them is in other hands."""
        _must_be(await self._connection.fetchval(_BLOCK, schedule_id, seats, at), len(seats))

    async def unblock(self, schedule_id: UUID, seats: Sequence[int]) -> None:
        """Free blocked seats."""
        _must_be(await self._connection.fetchval(_UNBLOCK, schedule_id, seats), len(seats))

    async def due(self, limit: int) -> Sequence[UUID]:
        """Schedules with reservations whose time is over."""
        return [row["schedule_id"] for row in await self._connection.fetch(_DUE, limit)]

    async def expire(self, schedule_id: UUID, at: datetime) -> tuple[Sequence[int], Sequence[Reservation]]:
        """End the schedule's reservations due at ``at``."""
        rows = await self._connection.fetch(_EXPIRE, schedule_id, at)
        return (rows[0]["freed"] or [] if rows else []), [reservation(row) for row in rows]

    async def next_due(self) -> timedelta | None:
        """How long until the next reservation runs out."""
        left: timedelta | None = await self._connection.fetchval(_NEXT_DUE)
        return left

    async def _changed(self, made: Callable[[Any], Result], statement: str, *values: object) -> Result | None:
        """What the statement changed, None for nothing; every seat of it must have been touched."""
        row = await self._connection.fetchrow(statement, *values)
        if row is None:
            return None
        _must_be(row["touched"], len(row["seats"]))
        return made(row)


def _row(hold: Hold) -> tuple[object, ...]:
    made = hold.reservation
    return (
        made.id,
        made.schedule_id,
        made.organization_id,
        made.account_id,
        hold.holder,
        f"{{{','.join(map(str, made.seats))}}}",
        made.total.amount,
        made.total.currency,
        made.ttl,
        made.expires_at,
        made.contact.name,
        made.contact.email,
        made.contact.phone,
    )


def _must_be(touched: int, expected: int) -> None:
    if touched != expected:
        raise NotApplied(f"{touched} rows in place of {expected}")
