"""What has an owner is shown to its owner alone.

Who asks stands in settings of the transaction, which db/caller.py sets at its start. The policies apply to the tables'
owner, too (FORCE), who sees everything with ``holdfast.caller`` set to ``system`` and nothing without. So a dump is
taken with ``PGOPTIONS='-c holdfast.caller=system' pg_dump --enable-row-security``: without that option pg_dump
refuses, and without the setting it would be empty. Restoring a whole dump needs neither.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

# Two databases of one cluster may be migrated at once, and roles belong to the cluster.
ROLE = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_server') THEN
    BEGIN
      CREATE ROLE holdfast_server NOLOGIN;
      EXECUTE format('GRANT holdfast_server TO %I', current_user);
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;
      WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE = 'create the role holdfast_server; let an administrator do it: '
          'CREATE ROLE holdfast_server LOGIN PASSWORD ''...''';
    END;
  END IF;
END $$
"""

GRANTS = (
    ("SELECT", "ALL TABLES IN SCHEMA public"),
    ("INSERT", "organization, account, membership, session, refresh_token, login_throttle"),
    (
        "INSERT",
        "seat_layout, resource, offering, schedule, reservation, booking, allocation, event, idempotency_key",
    ),
    ("UPDATE", "account, membership, session, refresh_token, login_throttle, resource, offering, schedule"),
    ("UPDATE", "reservation, booking, allocation, idempotency_key"),
    ("UPDATE (log_start_xid, log_start_id)", "installation"),
    ("DELETE", "session, login_throttle, allocation, event, idempotency_key"),
)

SYSTEM = "current_setting('holdfast.caller', true) = 'system'"
OWN = "ANY (nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])"
# Rows that come in runs are written for many callers: an array of all of them would be made anew for each row.
ASKS = "strpos(current_setting('holdfast.caller', true), {}::text) > 0"
MANAGED = "organization_id = ANY ((SELECT managed())::uuid[])"
PROVIDING = "organization_id = ANY ((SELECT providing())::uuid[])"
THEIRS = "ANY ((SELECT provided())::uuid[])"
SOLD = f"{SYSTEM} OR account_id = {OWN} OR reservation_id = {OWN} OR {MANAGED}"
TOLD = f"{SYSTEM} OR account_id = {OWN} OR {MANAGED} OR {PROVIDING} AND resource_id = {THEIRS}"
CLAIMED = "encode(scope, 'hex') = ANY (string_to_array(current_setting('holdfast.scopes', true), ','))"

# Other tables are looked into by plans that are made once a connection; in a policy they would cost each statement.
ROLES = """
CREATE FUNCTION {name}() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(SELECT organization_id FROM membership WHERE account_id = {own} AND role IN ({roles}));
END $$
"""

PROVIDED = f"""
CREATE FUNCTION provided() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(SELECT id FROM resource WHERE provider_id = {OWN});
END $$
"""
PROVIDES = f"""
CREATE FUNCTION provides(organization uuid, sold uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN organization = ANY (providing()) AND EXISTS (
    SELECT FROM schedule s JOIN resource r ON r.id = s.resource_id WHERE s.id = sold AND r.provider_id = {OWN});
END $$
"""

POLICIES = (
    ("account", "caller", "ALL", f"USING ({SYSTEM} OR id = {OWN})"),
    ("membership", "caller", "SELECT", f"USING (account_id = {OWN})"),
    ("membership", "system", "ALL", f"USING ({SYSTEM})"),
    ("session", "caller", "ALL", f"USING ({SYSTEM} OR account_id = {OWN})"),
    ("refresh_token", "caller", "ALL",
     "USING (EXISTS (SELECT FROM session WHERE session.id = refresh_token.session_id))"),
    ("reservation", "caller", "ALL",
     f"USING ({SYSTEM} OR {ASKS.format('account_id')} OR {ASKS.format('id')} OR {MANAGED})"),
    ("reservation", "guest", "INSERT", "WITH CHECK (account_id IS NULL)"),
    ("booking", "caller", "SELECT", f"USING ({SOLD} OR provides(organization_id, schedule_id))"),
    ("booking", "buyer", "INSERT", f"WITH CHECK ({SOLD})"),
    ("booking", "changer", "UPDATE", f"USING ({SOLD})"),
    ("event", "author", "INSERT", f"WITH CHECK (actor_id IS NULL OR {ASKS.format('actor_id')})"),
    ("event", "reader", "SELECT", f"USING ({TOLD})"),
    ("event", "restorer", "UPDATE", f"USING ({SYSTEM})"),
    ("event", "trimmer", "DELETE", f"USING ({SYSTEM})"),
    ("idempotency_key", "caller", "ALL", f"USING ({SYSTEM} OR {CLAIMED})"),
)  # fmt: skip

# The planner looks behind a policy only through operators that tell nothing of what they compare (LEAKPROOF), and
# lower() is none: by an expression of it no account could be found along an index.
ADDRESS = (
    "ALTER TABLE account ADD COLUMN email_key text NOT NULL GENERATED ALWAYS AS (lower(email)) STORED",
    "DROP INDEX account_email",
    "CREATE UNIQUE INDEX account_email ON account (email_key)",
)

# What is found by who is not its owner yet: each by a whole key, and nothing else of it.
DOOR = """
CREATE OR REPLACE FUNCTION {signature} LANGUAGE plpgsql AS $$
DECLARE
  asking CONSTANT text := current_setting('holdfast.caller', true);
BEGIN
  PERFORM set_config('holdfast.caller', 'system', true);
  {look};
  PERFORM set_config('holdfast.caller', asking, true);
END $$
"""
DOORS = {
    "account_of_address(address text) RETURNS SETOF account": (
        "RETURN QUERY SELECT * FROM account WHERE email_key = lower(address)"
    ),
    "session_of_token(token bytea, OUT id uuid, OUT account_id uuid)": (
        "SELECT s.id, s.account_id INTO session_of_token.id, session_of_token.account_id"
        " FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.hash = token"
    ),
    "booking_of_reference(known text, address text) RETURNS SETOF booking": (
        "RETURN QUERY SELECT * FROM booking WHERE reference = known AND lower(contact_email) = lower(address)"
    ),
    "reservation_of_booking(booking uuid, OUT id uuid)": (
        "SELECT b.reservation_id INTO reservation_of_booking.id FROM booking b WHERE b.id = booking"
    ),
    "active_of_holder(counted bytea, at timestamptz, OUT active integer, OUT free_at timestamptz)": (
        "SELECT count(*), min(r.expires_at) INTO active_of_holder.active, active_of_holder.free_at"
        " FROM reservation r WHERE r.holder = counted AND r.status = 'ACTIVE' AND r.expires_at > at"
    ),
}


def upgrade() -> None:
    op.execute(ROLE)
    op.execute("GRANT USAGE ON SCHEMA public TO holdfast_server")
    for verb, tables in GRANTS:
        op.execute(f"GRANT {verb} ON {tables} TO holdfast_server")
    for statement in ADDRESS:
        op.execute(statement)
    op.execute(ROLES.format(name="managed", own=OWN, roles="'STAFF', 'ADMIN'"))
    op.execute(ROLES.format(name="providing", own=OWN, roles="'PROVIDER'"))
    op.execute(PROVIDED)
    op.execute(PROVIDES)
    for table in dict.fromkeys(table for table, *_ in POLICIES):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table, name, command, rows in POLICIES:
        op.execute(f"CREATE POLICY {name} ON {table} FOR {command} {rows}")
    for signature, look in DOORS.items():
        op.execute(DOOR.format(signature=signature, look=look))
