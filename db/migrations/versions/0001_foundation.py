"""Everything a seat needs: who, what, when, holds, bookings, and the log."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

EXTENSIONS = "CREATE EXTENSION IF NOT EXISTS btree_gist"

ACCOUNTS = """
CREATE TABLE organization (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  slug text NOT NULL UNIQUE,
  time_zone text NOT NULL,
  currency text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE account (
  id uuid PRIMARY KEY,
  email text NOT NULL,
  name text,
  phone text,
  password_hash text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX account_email ON account (lower(email));
CREATE TABLE membership (
  account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
  organization_id uuid NOT NULL REFERENCES organization ON DELETE CASCADE,
  role text NOT NULL CHECK (role IN ('PROVIDER', 'STAFF', 'ADMIN')),
  PRIMARY KEY (account_id, organization_id)
);
CREATE TABLE session (
  id uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  ended_reason text
);
CREATE INDEX session_account ON session (account_id) WHERE ended_at IS NULL;
CREATE INDEX session_ended ON session (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE refresh_token (
  hash bytea PRIMARY KEY,
  session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
  parent bytea,
  issued_at timestamptz NOT NULL DEFAULT now(),
  used_at timestamptz
);
CREATE INDEX refresh_token_session ON refresh_token (session_id);
CREATE TABLE login_throttle (
  key bytea PRIMARY KEY,
  failures integer NOT NULL,
  last_failure timestamptz NOT NULL,
  blocked_until timestamptz NOT NULL
);
"""

CATALOGUE = """
CREATE TABLE seat_layout (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organization,
  rows smallint NOT NULL,
  columns smallint NOT NULL,
  aisle_after_column smallint,
  seats jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE resource (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organization,
  kind text NOT NULL CHECK (kind IN ('VEHICLE', 'ROOM', 'DEVICE', 'PERSON')),
  name text NOT NULL,
  time_zone text NOT NULL,
  attributes jsonb NOT NULL DEFAULT '{}',
  layout_id uuid NOT NULL REFERENCES seat_layout,
  provider_id uuid REFERENCES account ON DELETE SET NULL,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX resource_organization ON resource (organization_id, id);
CREATE INDEX resource_provider ON resource (provider_id) WHERE provider_id IS NOT NULL;
CREATE TABLE offering (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organization,
  name text NOT NULL,
  description text,
  mode text NOT NULL CHECK (mode IN ('SEATED', 'SLOT', 'APPOINTMENT')),
  price_amount numeric(18, 4) NOT NULL CHECK (price_amount >= 0),
  price_currency text NOT NULL,
  reservation_ttl interval NOT NULL,
  max_seats smallint NOT NULL CHECK (max_seats > 0),
  origin text,
  destination text,
  distance_km double precision,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX offering_organization ON offering (organization_id, id);
CREATE TABLE schedule (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organization,
  offering_id uuid NOT NULL REFERENCES offering,
  resource_id uuid NOT NULL REFERENCES resource,
  layout_id uuid NOT NULL REFERENCES seat_layout,
  mode text NOT NULL,
  origin_key text,
  destination_key text,
  during tstzrange NOT NULL CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
  starts_at timestamptz NOT NULL CHECK (starts_at = lower(during)),
  local_date date NOT NULL,
  time_zone text NOT NULL,
  price_amount numeric(18, 4) NOT NULL CHECK (price_amount >= 0),
  price_currency text NOT NULL,
  seat_total smallint NOT NULL CHECK (seat_total > 0),
  status text NOT NULL DEFAULT 'ON_SALE' CHECK (status IN ('ON_SALE', 'CLOSED', 'CANCELLED')),
  version bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT schedule_resource_runs_one_at_a_time
    EXCLUDE USING gist (resource_id WITH =, during WITH &&) WHERE (status <> 'CANCELLED')
) WITH (fillfactor = 80);
CREATE INDEX schedule_start ON schedule (starts_at NULLS FIRST, id);
CREATE INDEX schedule_route ON schedule (origin_key, destination_key, starts_at, id);
CREATE INDEX schedule_origin ON schedule (origin_key, starts_at, id);
CREATE INDEX schedule_destination ON schedule (destination_key, starts_at, id);
CREATE INDEX schedule_offering ON schedule (offering_id, starts_at, id);
CREATE INDEX schedule_resource ON schedule (resource_id, starts_at, id);
CREATE INDEX schedule_organization ON schedule (organization_id, starts_at, id);
CREATE INDEX schedule_mode ON schedule (mode, starts_at, id);
"""

# allocation: a row for each seat that is not free. No row, or a HELD row whose time is over, is a free seat.
TRADE = """
CREATE TABLE reservation (
  id uuid PRIMARY KEY,
  schedule_id uuid NOT NULL REFERENCES schedule,
  organization_id uuid NOT NULL REFERENCES organization,
  account_id uuid REFERENCES account ON DELETE SET NULL,
  holder bytea NOT NULL,
  status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'CONVERTED', 'RELEASED', 'EXPIRED')),
  seats smallint[] NOT NULL CHECK (cardinality(seats) > 0),
  total_amount numeric(18, 4) NOT NULL,
  total_currency text NOT NULL,
  ttl interval NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  extensions smallint NOT NULL DEFAULT 0,
  release_reason text,
  contact_name text,
  contact_email text,
  contact_phone text,
  version bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 80);
CREATE INDEX reservation_holder ON reservation (holder, expires_at) WHERE status = 'ACTIVE';
CREATE INDEX reservation_due ON reservation (expires_at, schedule_id) WHERE status = 'ACTIVE';
CREATE INDEX reservation_account ON reservation (account_id, created_at DESC, id DESC);
CREATE INDEX reservation_organization ON reservation (organization_id, created_at DESC, id DESC);
CREATE TABLE booking (
  id uuid PRIMARY KEY,
  reference text NOT NULL UNIQUE,
  schedule_id uuid NOT NULL REFERENCES schedule,
  organization_id uuid NOT NULL REFERENCES organization,
  reservation_id uuid UNIQUE REFERENCES reservation,
  account_id uuid REFERENCES account ON DELETE SET NULL,
  status text NOT NULL
    CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'COMPLETED', 'NO_SHOW', 'FAILED')),
  seats smallint[] NOT NULL,
  total_amount numeric(18, 4) NOT NULL,
  total_currency text NOT NULL,
  contact_name text,
  contact_email text,
  contact_phone text,
  created_at timestamptz NOT NULL,
  cancelled_at timestamptz,
  cancel_reason text,
  external_reference text,
  version bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 80);
CREATE INDEX booking_account ON booking (account_id, created_at DESC, id DESC);
CREATE INDEX booking_organization ON booking (organization_id, created_at DESC, id DESC);
CREATE INDEX booking_schedule ON booking (schedule_id);
CREATE TABLE allocation (
  schedule_id uuid NOT NULL REFERENCES schedule,
  seat smallint NOT NULL CHECK (seat >= 0),
  status text NOT NULL CHECK (status IN ('HELD', 'BOOKED', 'BLOCKED')),
  held_until timestamptz,
  reservation_id uuid REFERENCES reservation,
  booking_id uuid REFERENCES booking,
  PRIMARY KEY (schedule_id, seat),
  CONSTRAINT allocation_is_whole CHECK (
    (status = 'HELD') = (held_until IS NOT NULL)
    AND (status = 'BLOCKED') = (reservation_id IS NULL)
    AND (status = 'BOOKED') = (booking_id IS NOT NULL)
  )
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
CREATE INDEX allocation_state ON allocation (schedule_id) INCLUDE (status, held_until);
"""

LOG = """
CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  stream text NOT NULL,
  stream_id uuid NOT NULL,
  version bigint NOT NULL,
  type text NOT NULL,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  actor_id uuid,
  organization_id uuid,
  account_id uuid,
  resource_id uuid,
  data jsonb NOT NULL,
  PRIMARY KEY (stream_id, version)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE UNIQUE INDEX event_order ON event (xid, id);
CREATE INDEX event_organization ON event (organization_id, xid, id) WHERE organization_id IS NOT NULL;
CREATE INDEX event_account ON event (account_id, xid, id) WHERE account_id IS NOT NULL;
CREATE INDEX event_resource ON event (resource_id, xid, id) WHERE resource_id IS NOT NULL;
CREATE TABLE idempotency_key (
  scope bytea NOT NULL,
  key text NOT NULL,
  operation text NOT NULL,
  fingerprint bytea NOT NULL,
  outcome jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);
CREATE TABLE installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  log_epoch uuid NOT NULL DEFAULT gen_random_uuid(),
  log_start_xid xid8 NOT NULL DEFAULT '0',
  log_start_id bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;
"""

# Volatile on purpose: each statement inside takes a fresh snapshot, so what is read after a lock was waited for
# is what the lock's last holder left. A plain SELECT ... FOR UPDATE would show the seats as they were before.
LOCKS = """
CREATE FUNCTION lock_schedule(
  target uuid, wanted smallint[], caller bytea,
  OUT present boolean, OUT version bigint, OUT status text, OUT at timestamptz,
  OUT held integer, OUT booked integer, OUT blocked integer,
  OUT seats smallint[], OUT states text[], OUT untils timestamptz[], OUT reservations uuid[], OUT bookings uuid[],
  OUT caller_active integer, OUT caller_free_at timestamptz
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF caller IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended(encode(caller, 'hex'), 0));
  END IF;
  -- Those who queue for a row that is updated meanwhile are numbered (xid) when they first wake, then queue again
  -- for the newer row: the log, in the order of those numbers, would have the schedule's steps out of theirs.
  PERFORM pg_advisory_xact_lock(hashtextextended(target::text, 2));
  SELECT s.version, s.status INTO lock_schedule.version, lock_schedule.status
    FROM schedule s WHERE s.id = target FOR NO KEY UPDATE;
  present := FOUND;
  at := clock_timestamp();
  SELECT count(*) FILTER (WHERE a.status = 'HELD' AND a.held_until > at),
         count(*) FILTER (WHERE a.status = 'BOOKED'),
         count(*) FILTER (WHERE a.status = 'BLOCKED')
    INTO held, booked, blocked
    FROM allocation a WHERE a.schedule_id = target;
  SELECT array_agg(a.seat ORDER BY a.seat), array_agg(a.status ORDER BY a.seat),
         array_agg(a.held_until ORDER BY a.seat), array_agg(a.reservation_id ORDER BY a.seat),
         array_agg(a.booking_id ORDER BY a.seat)
    INTO seats, states, untils, reservations, bookings
    FROM allocation a
    WHERE a.schedule_id = target AND (wanted IS NULL OR a.seat = ANY (wanted))
      AND (a.status <> 'HELD' OR a.held_until > at);
  IF caller IS NOT NULL THEN
    SELECT count(*), min(r.expires_at) INTO caller_active, caller_free_at
      FROM reservation r WHERE r.holder = caller AND r.status = 'ACTIVE' AND r.expires_at > at;
  END IF;
END $$;
"""


def upgrade() -> None:
    for part in (EXTENSIONS, ACCOUNTS, CATALOGUE, TRADE, LOG, LOCKS):
        for statement in _statements(part):
            op.execute(statement)


def _statements(part: str) -> list[str]:
    """The statements of a part one by one: asyncpg prepares each, and a prepared statement is a single one."""
    if "$$" in part:
        return [part]
    return [statement for statement in part.split(";\n") if statement.strip()]
