"""What an operator watches: when each of the worker's loops ran last."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

LOOPS = """
CREATE TABLE worker_loop (
  name text PRIMARY KEY,
  ran_at timestamptz,
  failed_at timestamptz,
  error text
)
"""


def upgrade() -> None:
    op.execute(LOOPS)
    op.execute("GRANT SELECT, INSERT, UPDATE ON worker_loop TO holdfast_server")
