"""Jobs, their portals, and what is kept of failures.

Who writes a job's row takes the advisory lock of its id first, for the reason that migration 0002 gives: the log has
a thing's steps in their order.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

PORTAL = """
CREATE TABLE portal (
  key text PRIMARY KEY,
  organization_id uuid NOT NULL UNIQUE REFERENCES organization (id),
  enabled boolean NOT NULL DEFAULT true,
  failures integer NOT NULL DEFAULT 0,
  probing boolean NOT NULL DEFAULT false,
  shut_until timestamptz,
  next_turn timestamptz NOT NULL DEFAULT '-infinity'
)
"""

JOB = """
CREATE TABLE automation_job (
  id uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  organization_id uuid NOT NULL REFERENCES organization (id),
  portal_key text NOT NULL REFERENCES portal (key),
  config jsonb NOT NULL,
  subject text NOT NULL,
  reference text,
  person bytea,
  status text NOT NULL CHECK (status IN ('QUEUED', 'STARTING', 'NAVIGATING', 'LOGIN', 'BANKID', 'QR_WAITING',
    'AUTHENTICATED', 'CONFIGURING', 'LOCATIONS', 'SEARCHING', 'BOOKING', 'RECONCILING', 'COMPLETED', 'FAILED',
    'STOPPED', 'TIMED_OUT')),
  message text NOT NULL,
  progress smallint NOT NULL DEFAULT 0,
  steps jsonb NOT NULL,
  attempt integer NOT NULL DEFAULT 0,
  stop_asked boolean NOT NULL DEFAULT false,
  fence jsonb,
  failure text CHECK (failure IN ('LOGIN_REFUSED', 'QR_TIMEOUT', 'NO_SLOT_FOUND', 'SLOT_LOST', 'PORTAL_CHANGED',
    'PORTAL_DOWN', 'BROWSER_CRASHED', 'UNKNOWN_OUTCOME', 'INTERNAL', 'CAPTCHA')),
  outcome jsonb,
  booking_id uuid UNIQUE REFERENCES booking (id),
  lease_worker uuid,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  created_at timestamptz NOT NULL,
  deadline_at timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  CONSTRAINT automation_job_is_whole CHECK (
    (finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'STOPPED', 'TIMED_OUT'))
    AND (failure IS NOT NULL) = (status = 'FAILED')
    AND (booking_id IS NOT NULL) = (status = 'COMPLETED')
    AND (outcome IS NOT NULL OR status <> 'COMPLETED')
    AND (lease_until IS NULL OR (finished_at IS NULL AND status <> 'QUEUED'))
  )
) WITH (fillfactor = 70)
"""

WORKER = """
CREATE TABLE automation_worker (
  id uuid PRIMARY KEY,
  slots integer NOT NULL,
  busy integer NOT NULL,
  reported_at timestamptz NOT NULL
)
"""

ARTIFACT = """
CREATE TABLE artifact (
  id uuid PRIMARY KEY,
  job_id uuid NOT NULL REFERENCES automation_job (id) ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('SCREENSHOT', 'TRACE')),
  taken_at timestamptz NOT NULL
)
"""

INDEXES = (
    """
CREATE UNIQUE INDEX automation_job_one_a_subject ON automation_job (account_id, portal_key, subject)
  WHERE finished_at IS NULL
""",
    """
CREATE UNIQUE INDEX automation_job_one_a_person ON automation_job (portal_key, person)
  WHERE finished_at IS NULL AND person IS NOT NULL
""",
    "CREATE INDEX automation_job_reference ON automation_job (account_id, reference) WHERE reference IS NOT NULL",
    "CREATE INDEX automation_job_account ON automation_job (account_id, created_at DESC, id DESC)",
    "CREATE INDEX automation_job_organization ON automation_job (organization_id, created_at DESC, id DESC)",
    "CREATE INDEX artifact_job ON artifact (job_id)",
    "CREATE INDEX artifact_age ON artifact (taken_at)",
)

# Newest 100, and what is said again at once is said once.
STEP = """
CREATE FUNCTION automation_steps(steps jsonb, status text, message text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN steps -> -1 ->> 'status' = status AND steps -> -1 ->> 'message' = message THEN steps
    ELSE CASE WHEN jsonb_array_length(steps) >= 100 THEN steps - 0 ELSE steps END
      || jsonb_build_array(jsonb_build_object('status', status, 'message', message, 'at', at))
  END
$$
"""

# Those who wait, in the order in which they will be taken if nobody finishes meanwhile: first what has begun before,
# then whose account would run least with it, then the oldest. It looks as the system does, and tells places alone.
QUEUE = """
CREATE FUNCTION automation_queue() RETURNS TABLE (id uuid, portal_key text, place bigint) LANGUAGE plpgsql AS $$
DECLARE
  asking CONSTANT text := current_setting('holdfast.caller', true);
  clock CONSTANT timestamptz := clock_timestamp();
BEGIN
  PERFORM set_config('holdfast.caller', 'system', true);
  RETURN QUERY
  WITH unfinished AS (
    SELECT j.id, j.account_id, j.portal_key, j.created_at, j.deadline_at, j.stop_asked, j.attempt = 0 AS fresh,
      coalesce(j.lease_until > clock, false) AS running
    FROM automation_job j WHERE j.finished_at IS NULL
  ),
  busy AS (SELECT u.account_id, count(*) AS jobs FROM unfinished u WHERE u.running GROUP BY u.account_id),
  waiting AS (
    SELECT u.id, u.portal_key, u.created_at, u.fresh, coalesce(b.jobs, 0) + row_number()
      OVER (PARTITION BY u.account_id ORDER BY u.fresh, u.created_at, u.id) AS running
    FROM unfinished u JOIN portal p ON p.key = u.portal_key LEFT JOIN busy b ON b.account_id = u.account_id
    WHERE NOT u.running AND NOT u.stop_asked AND u.deadline_at > clock
      AND p.enabled AND (p.shut_until IS NULL OR p.shut_until <= clock)
  )
  SELECT w.id, w.portal_key, row_number() OVER (ORDER BY w.fresh, w.running, w.created_at, w.id) FROM waiting w;
  PERFORM set_config('holdfast.caller', asking, true);
END $$
"""

SYSTEM = "current_setting('holdfast.caller', true) = 'system'"
OWN = "ANY (nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])"
THEIRS = f"{SYSTEM} OR account_id = {OWN} OR organization_id = ANY ((SELECT managed())::uuid[])"

POLICIES = (
    ("automation_job", "caller", "SELECT", f"USING ({THEIRS})"),
    ("automation_job", "owner", "INSERT", f"WITH CHECK ({SYSTEM} OR account_id = {OWN})"),
    ("automation_job", "changer", "UPDATE", f"USING ({THEIRS})"),
    (
        "artifact",
        "caller",
        "SELECT",
        "USING (EXISTS (SELECT FROM automation_job WHERE automation_job.id = artifact.job_id))",
    ),
    ("artifact", "system", "ALL", f"USING ({SYSTEM})"),
)


def upgrade() -> None:
    for statement in (PORTAL, JOB, WORKER, ARTIFACT, *INDEXES, STEP, QUEUE):
        op.execute(statement)
    for table in ("automation_job", "artifact"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table, name, command, rows in POLICIES:
        op.execute(f"CREATE POLICY {name} ON {table} FOR {command} {rows}")
    op.execute(
        "GRANT SELECT, INSERT, UPDATE ON portal, automation_job, automation_worker, artifact TO holdfast_server"
    )
    op.execute("GRANT DELETE ON automation_worker, artifact TO holdfast_server")
