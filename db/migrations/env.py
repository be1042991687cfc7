"""Alembic's entry: runs the steps on the connection that ``db.migrate`` hands over."""

from __future__ import annotations

from typing import Any

from alembic import context

from db.migrate import VERSION_TABLE


def _begun(*, step: Any, **_: Any) -> None:
    context.config.attributes["step"](step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transaction_per_migration=True,
    on_version_apply=_begun,  # type: ignore[arg-type]  # it is called with keywords alone
)
with context.begin_transaction():
    context.run_migrations()
