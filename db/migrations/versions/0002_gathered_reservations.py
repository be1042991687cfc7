"""Locks for several schedules, callers and idempotency keys at once: reservations that come together are made together.

Everybody takes locks in one order, and each kind of them by its number: keys, callers, schedules. All of them are
advisory, and all are there before the first row is locked, which gives the transaction its own number (xid):

- the log is in the order of those numbers, and a schedule's steps must be in it in theirs;
- those who queue for a row that is updated meanwhile are numbered when they first wake, then queue again for the
  newer row.

The functions are volatile on purpose: each statement inside takes a fresh snapshot, so what is read after a lock was
waited for is what the lock's last owner left. A plain SELECT ... FOR UPDATE would show the seats as they were before.
They look rows up by an index whatever the planner thinks of a table that was empty when it looked.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# What is known of a schedule under its lock: its terms, its clock, how many seats are what, and which are not free.
TYPES = (
    """
CREATE TYPE locked_schedule AS (
  id uuid, organization_id uuid, resource_id uuid, layout_id uuid, starts_at timestamptz,
  price_amount numeric(18, 4), price_currency text, seat_total smallint, reservation_ttl interval,
  max_seats smallint, version bigint, status text, at timestamptz,
  held integer, booked integer, blocked integer, taken smallint[]
)
""",
    "CREATE TYPE locked_holder AS (holder bytea, active integer, free_at timestamptz)",
    "CREATE TYPE key_use AS (scope bytea, key text, operation text, fingerprint bytea, outcome jsonb)",
)

# "taken" is left out unless "told": to count is cheaper.
LOCK_SCHEDULES = """
CREATE FUNCTION lock_schedules(targets uuid[], told boolean) RETURNS SETOF locked_schedule
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
DECLARE
  place bigint;
  clock timestamptz;
BEGIN
  FOR place IN SELECT DISTINCT hashtextextended(target::text, 2) FROM unnest(targets) AS target ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(place);
  END LOOP;
  PERFORM FROM schedule s WHERE s.id = ANY (targets) FOR NO KEY UPDATE;
  clock := clock_timestamp();
  RETURN QUERY
  SELECT s.id, s.organization_id, s.resource_id, s.layout_id, s.starts_at, s.price_amount, s.price_currency,
         s.seat_total, o.reservation_ttl, o.max_seats, s.version, s.status, clock,
         a.held::integer, a.booked::integer, a.blocked::integer, a.taken
  FROM schedule s
  JOIN offering o ON o.id = s.offering_id
  CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'HELD') AS held, count(*) FILTER (WHERE status = 'BOOKED') AS booked,
           count(*) FILTER (WHERE status = 'BLOCKED') AS blocked, array_agg(seat) FILTER (WHERE told) AS taken
    FROM allocation WHERE schedule_id = s.id AND (status <> 'HELD' OR held_until > clock)
  ) a
  WHERE s.id = ANY (targets);
END $$
"""

ACTIVE_OF_HOLDER = """
CREATE FUNCTION active_of_holder(counted bytea, at timestamptz, OUT active integer, OUT free_at timestamptz)
LANGUAGE plpgsql SET enable_seqscan TO off AS $$
BEGIN
  SELECT count(*), min(r.expires_at) INTO active_of_holder.active, active_of_holder.free_at
    FROM reservation r WHERE r.holder = counted AND r.status = 'ACTIVE' AND r.expires_at > at;
END $$
"""

# The setting says whose keys may be read and written, to the policies of 0003.
LOCK_RESERVING = """
CREATE FUNCTION lock_reserving(
  targets uuid[], callers bytea[], scopes bytea[], keys text[],
  OUT schedules locked_schedule[], OUT holders locked_holder[], OUT uses key_use[]
) LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
DECLARE
  place bigint;
BEGIN
  IF cardinality(keys) > 0 THEN
    PERFORM set_config(
      'holdfast.scopes', (SELECT string_agg(DISTINCT encode(scope, 'hex'), ',') FROM unnest(scopes) scope), true
    );
    FOR place IN
      SELECT DISTINCT hashtextextended(encode(c.scope, 'hex') || c.key, 1)
      FROM unnest(scopes, keys) AS c (scope, key) ORDER BY 1
    LOOP
      PERFORM pg_advisory_xact_lock(place);
    END LOOP;
  END IF;
  FOR place IN
    SELECT DISTINCT hashtextextended(encode(caller, 'hex'), 0) FROM unnest(callers) AS caller ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(place);
  END LOOP;
  schedules := ARRAY(SELECT l FROM lock_schedules(targets, true) l);
  holders := ARRAY(
    SELECT (caller, h.active, h.free_at)::locked_holder
    FROM unnest(callers) AS caller CROSS JOIN LATERAL active_of_holder(caller, schedules[1].at) h
  );
  IF cardinality(keys) > 0 THEN
    uses := ARRAY(
      SELECT (k.scope, k.key, k.operation, k.fingerprint, k.outcome)::key_use
      FROM unnest(scopes, keys) AS c (scope, key) JOIN idempotency_key k USING (scope, key)
      WHERE k.created_at >= now() - interval '24 hours'
    );
  END IF;
END $$
"""

LOCK_RESERVATION = """
CREATE FUNCTION lock_reservation(target uuid) RETURNS TABLE (locked locked_schedule, held reservation)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  SELECT l.* INTO locked
    FROM reservation r CROSS JOIN LATERAL lock_schedules(ARRAY[r.schedule_id], false) l WHERE r.id = target;
  RETURN QUERY SELECT locked, r FROM reservation r WHERE r.id = target;
END $$
"""

LOCK_BOOKING = """
CREATE FUNCTION lock_booking(target uuid) RETURNS TABLE (locked locked_schedule, sold booking)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  SELECT l.* INTO locked
    FROM booking b CROSS JOIN LATERAL lock_schedules(ARRAY[b.schedule_id], false) l WHERE b.id = target;
  RETURN QUERY SELECT locked, b FROM booking b WHERE b.id = target;
END $$
"""

CLAIM_KEY = """
CREATE FUNCTION claim_key(claimed_scope bytea, claimed_key text) RETURNS SETOF key_use
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('holdfast.scopes', encode(claimed_scope, 'hex'), true);
  PERFORM pg_advisory_xact_lock(hashtextextended(encode(claimed_scope, 'hex') || claimed_key, 1));
  RETURN QUERY
  SELECT k.scope, k.key, k.operation, k.fingerprint, k.outcome FROM idempotency_key k
  WHERE k.scope = claimed_scope AND k.key = claimed_key AND k.created_at >= now() - interval '24 hours';
END $$
"""


def upgrade() -> None:
    op.execute("DROP FUNCTION lock_schedule")
    for statement in (
        *TYPES,
        LOCK_SCHEDULES,
        ACTIVE_OF_HOLDER,
        LOCK_RESERVING,
        LOCK_RESERVATION,
        LOCK_BOOKING,
        CLAIM_KEY,
    ):
        op.execute(statement)
