"""Keys that programs of integrators sign in with."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

SYSTEM = "current_setting('holdfast.caller', true) = 'system'"
OWN = "ANY (nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])"
MANAGED = "organization_id = ANY ((SELECT managed())::uuid[])"

API_KEY = """
CREATE TABLE api_key (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organization ON DELETE CASCADE,
  account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
  name text NOT NULL,
  prefix text NOT NULL UNIQUE,
  hash bytea NOT NULL,
  scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
)
"""
POLICIES = (
    f"caller ON api_key FOR SELECT USING ({SYSTEM} OR {MANAGED})",
    f"creator ON api_key FOR INSERT WITH CHECK ({SYSTEM} OR account_id = {OWN} AND {MANAGED})",
    f"revoker ON api_key FOR UPDATE USING ({SYSTEM} OR {MANAGED})",
)


def upgrade() -> None:
    op.execute(API_KEY)
    op.execute("CREATE INDEX api_key_organization ON api_key (organization_id, id DESC)")
    op.execute("ALTER TABLE api_key ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE api_key FORCE ROW LEVEL SECURITY")
    for policy in POLICIES:
        op.execute(f"CREATE POLICY {policy}")
    op.execute("GRANT SELECT, INSERT ON api_key TO holdfast_server")
    op.execute("GRANT UPDATE (last_used_at, revoked_at) ON api_key TO holdfast_server")
