"""Which rows of what has an owner a statement meets: the policies that the migrations make, declared.

Tables that are not named here belong to everybody: what can be booked, which seats are taken (by ids that say
nothing of a person), counters under keyed hashes. A sub-select is evaluated once a statement, not once a row, and
only when a row depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import DDL, MetaData, event

_SYSTEM = "(SELECT current_setting('holdfast.caller', true) = 'system')"
_OWN = "ANY ((SELECT nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])::uuid[])"
_SCOPES = "(SELECT string_to_array(current_setting('holdfast.scopes', true), ','))"


def _member(*roles: str) -> str:
    """It is of an organization in which the caller has one of these roles."""
    among = ", ".join(f"'{role}'" for role in roles)
    return (
        "organization_id = ANY (ARRAY(SELECT organization_id FROM membership"
        f" WHERE account_id = {_OWN} AND role IN ({among})))"
    )


_MANAGED = _member("STAFF", "ADMIN")
_PROVIDING = _member("PROVIDER")
_ON_THEIR_RESOURCE = f"""EXISTS (SELECT FROM schedule JOIN resource ON resource.id = schedule.resource_id
  WHERE schedule.id = booking.schedule_id AND resource.provider_id = {_OWN})"""
_OF_THEIR_RESOURCE = f"resource_id = ANY (ARRAY(SELECT id FROM resource WHERE provider_id = {_OWN}))"
_RESERVED = f"{_SYSTEM} OR account_id = {_OWN} OR id = {_OWN} OR {_MANAGED}"

POLICIES: Mapping[str, Sequence[str]] = {
    "account": (f"caller FOR ALL USING ({_SYSTEM} OR id = {_OWN})",),
    "membership": (
        f"caller FOR SELECT USING (account_id = {_OWN})",
        f"system FOR ALL USING ({_SYSTEM})",
    ),
    "session": (f"caller FOR ALL USING ({_SYSTEM} OR account_id = {_OWN})",),
    "refresh_token": (
        "caller FOR ALL USING (EXISTS (SELECT FROM session WHERE session.id = refresh_token.session_id))",
    ),
    "reservation": (f"caller FOR ALL USING ({_RESERVED}) WITH CHECK ({_RESERVED} OR account_id IS NULL)",),
    "booking": (
        f"caller FOR ALL USING ({_SYSTEM} OR account_id = {_OWN} OR reservation_id = {_OWN} OR {_MANAGED})",
        f"provider FOR SELECT USING ({_PROVIDING} AND {_ON_THEIR_RESOURCE})",
    ),
    "event": (
        f"author FOR INSERT WITH CHECK (actor_id IS NULL OR actor_id = {_OWN})",
        f"provider FOR SELECT USING ({_PROVIDING} AND {_OF_THEIR_RESOURCE})",
        f"reader FOR SELECT USING (account_id = {_OWN} OR {_MANAGED})",
        f"system FOR ALL USING ({_SYSTEM})",
    ),
    "idempotency_key": (
        f"caller FOR ALL USING ({_SYSTEM} OR encode(scope, 'hex') = ANY ({_SCOPES}::text[]))",
    ),
}


def declare(metadata: MetaData) -> None:
    """Let the policies be made with the tables."""
    for table, policies in POLICIES.items():
        statements = [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            *(f"CREATE POLICY {policy.replace(' FOR', f' ON {table} FOR', 1)}" for policy in policies),
        ]
        for statement in statements:
            event.listen(metadata, "after_create", DDL(statement.replace("%", "%%")))
