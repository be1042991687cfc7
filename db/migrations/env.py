"""Alembic's entry: runs the steps on the connection that ``db.migrate`` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from db import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=tables.VERSION_TABLE,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
