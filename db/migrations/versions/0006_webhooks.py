"""Endpoints that are told of events, and every delivery.

``due_at`` of a delivery says when it is to be sent; it is empty behind an earlier one of its subject, and where
there is nothing more to send. An endpoint that was left behind (``behind_*``: paused, disabled, replayed) catches up
from the log itself; all others go with the one place of ``webhook_cursor``.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

SYSTEM = "current_setting('holdfast.caller', true) = 'system'"
OWN = "ANY (nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])"
MANAGED = "organization_id = ANY ((SELECT managed())::uuid[])"

TABLES = (
    """
CREATE TABLE webhook_endpoint (
  id uuid PRIMARY KEY,
  organization_id uuid REFERENCES organization ON DELETE CASCADE,
  account_id uuid REFERENCES account ON DELETE CASCADE,
  job_id uuid REFERENCES automation_job ON DELETE CASCADE,
  url text NOT NULL,
  types text[] NOT NULL CHECK (cardinality(types) > 0),
  older boolean NOT NULL DEFAULT false,
  status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'PAUSED', 'DISABLED_FAILING')),
  failing_since timestamptz,
  generation integer NOT NULL DEFAULT 1,
  rotated_at timestamptz,
  since_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  behind_xid xid8,
  behind_id bigint,
  worker uuid,
  leased_until timestamptz,
  version bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT webhook_endpoint_is_somebodys CHECK (
    (organization_id IS NULL) <> (account_id IS NULL) AND (job_id IS NULL OR account_id IS NOT NULL)
  )
) WITH (fillfactor = 80)
""",
    """CREATE INDEX webhook_endpoint_organization ON webhook_endpoint (organization_id, id)
  WHERE organization_id IS NOT NULL""",
    """CREATE INDEX webhook_endpoint_account ON webhook_endpoint (account_id, id)
  WHERE account_id IS NOT NULL AND job_id IS NULL""",
    "CREATE INDEX webhook_endpoint_job ON webhook_endpoint (job_id) WHERE job_id IS NOT NULL",
    "CREATE INDEX webhook_endpoint_lately ON webhook_endpoint (account_id, created_at) WHERE job_id IS NOT NULL",
    """CREATE INDEX webhook_endpoint_told ON webhook_endpoint (since_xid)
  WHERE status = 'ACTIVE' AND behind_xid IS NULL""",
    "CREATE INDEX webhook_endpoint_behind ON webhook_endpoint (id) WHERE behind_xid IS NOT NULL AND status = 'ACTIVE'",
    """
CREATE TABLE webhook_delivery (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  endpoint_id uuid NOT NULL REFERENCES webhook_endpoint ON DELETE CASCADE,
  stream_id uuid NOT NULL,
  version bigint NOT NULL,
  status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SUCCEEDED', 'RETRYING', 'DEAD')),
  due_at timestamptz,
  tries smallint NOT NULL DEFAULT 0,
  attempts jsonb NOT NULL DEFAULT '[]',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (endpoint_id, stream_id, version)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
""",
    """CREATE INDEX webhook_delivery_line ON webhook_delivery (endpoint_id, stream_id, version)
  WHERE status IN ('PENDING', 'RETRYING')""",
    "CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX webhook_delivery_endpoint ON webhook_delivery (endpoint_id, id)",
    """CREATE INDEX webhook_delivery_unfinished ON webhook_delivery (endpoint_id, status, id)
  WHERE status <> 'SUCCEEDED'""",
    """
CREATE TABLE webhook_cursor (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  xid xid8 NOT NULL DEFAULT '0',
  id bigint NOT NULL DEFAULT 0
)
""",
    "INSERT INTO webhook_cursor DEFAULT VALUES",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoint, webhook_delivery TO holdfast_server",
    "GRANT SELECT, UPDATE ON webhook_cursor TO holdfast_server",
)

POLICIES = (
    ("webhook_endpoint", "caller", "ALL", f"USING ({SYSTEM} OR account_id = {OWN} OR {MANAGED})"),
    ("webhook_delivery", "caller", "ALL",
     f"USING ({SYSTEM} OR EXISTS (SELECT FROM webhook_endpoint w WHERE w.id = webhook_delivery.endpoint_id))"),
)  # fmt: skip


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table, name, command, rows in POLICIES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {name} ON {table} FOR {command} {rows}")
