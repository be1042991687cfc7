"""Which rows of what has an owner a statement meets: the policies that the migrations make, declared.

Tables that are not named here belong to everybody: what can be booked, which seats are taken (by ids that say
nothing of a person), counters under keyed hashes.

Hot statements meet a row or two. So what is cheap is asked of each row, and only what looks into another table is a
sub-select, which is evaluated once a statement, and not before a row depends on it: each one costs a statement some
microseconds, whether it is evaluated or not. For the same reason functions look into the other tables: their plans are
made once a connection, and not part of each statement's. Of several policies PostgreSQL asks the last one first: what
is dear stands at the end of one. ``managed`` and ``providing`` say in which organizations the caller has a role,
``provided`` behind which resources they stand, ``provides`` whether they stand behind what was sold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import DDL, MetaData, event

_SYSTEM = "current_setting('holdfast.caller', true) = 'system'"
_OWN = "ANY (nullif(nullif(current_setting('holdfast.caller', true), ''), 'system')::uuid[])"
# Rows that come in runs are written for many callers: an array of all of them would be made anew for each row.
_ASKS = "strpos(current_setting('holdfast.caller', true), {}::text) > 0"
_MANAGED = "organization_id = ANY ((SELECT managed())::uuid[])"
_THEIRS = "ANY ((SELECT provided())::uuid[])"
_PROVIDING = "organization_id = ANY ((SELECT providing())::uuid[])"
_CLAIMED = "encode(scope, 'hex') = ANY (string_to_array(current_setting('holdfast.scopes', true), ','))"

_OF_ENDPOINT = "EXISTS (SELECT FROM webhook_endpoint w WHERE w.id = webhook_delivery.endpoint_id)"

_SOLD = f"{_SYSTEM} OR account_id = {_OWN} OR reservation_id = {_OWN} OR {_MANAGED}"
_TOLD = f"{_SYSTEM} OR account_id = {_OWN} OR {_MANAGED} OR {_PROVIDING} AND resource_id = {_THEIRS}"

_ROLES = """
CREATE FUNCTION {name}() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(SELECT organization_id FROM membership WHERE account_id = {own} AND role IN ({roles}));
END $$
"""
_PROVIDED = f"""
CREATE FUNCTION provided() RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN ARRAY(SELECT id FROM resource WHERE provider_id = {_OWN});
END $$
"""
_PROVIDES = f"""
CREATE FUNCTION provides(organization uuid, sold uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN organization = ANY (providing()) AND EXISTS (
    SELECT FROM schedule s JOIN resource r ON r.id = s.resource_id WHERE s.id = sold AND r.provider_id = {_OWN});
END $$
"""
FUNCTIONS = (
    _ROLES.format(name="managed", own=_OWN, roles="'STAFF', 'ADMIN'"),
    _ROLES.format(name="providing", own=_OWN, roles="'PROVIDER'"),
    _PROVIDED,
    _PROVIDES,
)

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
    "reservation": (
        f"caller FOR ALL USING ({_SYSTEM} OR {_ASKS.format('account_id')} OR {_ASKS.format('id')} OR {_MANAGED})",
        "guest FOR INSERT WITH CHECK (account_id IS NULL)",
    ),
    "booking": (
        f"caller FOR SELECT USING ({_SOLD} OR provides(organization_id, schedule_id))",
        f"buyer FOR INSERT WITH CHECK ({_SOLD})",
        f"changer FOR UPDATE USING ({_SOLD})",
    ),
    "event": (
        f"author FOR INSERT WITH CHECK (actor_id IS NULL OR {_ASKS.format('actor_id')})",
        f"reader FOR SELECT USING ({_TOLD})",
        f"restorer FOR UPDATE USING ({_SYSTEM})",
        f"trimmer FOR DELETE USING ({_SYSTEM})",
    ),
    "api_key": (
        f"caller FOR SELECT USING ({_SYSTEM} OR {_MANAGED})",
        f"creator FOR INSERT WITH CHECK ({_SYSTEM} OR account_id = {_OWN} AND {_MANAGED})",
        f"revoker FOR UPDATE USING ({_SYSTEM} OR {_MANAGED})",
    ),
    "webhook_endpoint": (f"caller FOR ALL USING ({_SYSTEM} OR account_id = {_OWN} OR {_MANAGED})",),
    "webhook_delivery": (f"caller FOR ALL USING ({_SYSTEM} OR {_OF_ENDPOINT})",),
    "idempotency_key": (f"caller FOR ALL USING ({_SYSTEM} OR {_CLAIMED})",),
    "automation_job": (
        f"caller FOR SELECT USING ({_SYSTEM} OR account_id = {_OWN} OR {_MANAGED})",
        f"owner FOR INSERT WITH CHECK ({_SYSTEM} OR account_id = {_OWN})",
        f"changer FOR UPDATE USING ({_SYSTEM} OR account_id = {_OWN} OR {_MANAGED})",
    ),
    "artifact": (
        "caller FOR SELECT USING (EXISTS (SELECT FROM automation_job WHERE automation_job.id = artifact.job_id))",
        f"system FOR ALL USING ({_SYSTEM})",
    ),
}


def declare(metadata: MetaData) -> None:
    """Let the policies be made with the tables."""
    statements = list(FUNCTIONS)
    for table, policies in POLICIES.items():
        statements += [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            *(f"CREATE POLICY {policy.replace(' FOR', f' ON {table} FOR', 1)}" for policy in policies),
        ]
    for statement in statements:
        ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(metadata, "after_create", ddl)
