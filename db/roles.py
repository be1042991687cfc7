"""What the login of a server may do beyond serving."""

from __future__ import annotations

import asyncpg

from db.caller import ROLE

PATIENCE = 5.0

# What a login is a member of, it may become. A role with CREATEROLE may, up to PostgreSQL 15, make itself a member of
# any that is no superuser.
_LOGIN = f"""
SELECT r.rolname AS name, m.super, m.bypasses, m.creates,
  EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('reservation')
          AND pg_has_role(r.oid, c.relowner, 'MEMBER')) AS owns,
  r.rolsuper OR EXISTS (SELECT FROM pg_roles s WHERE s.rolname = '{ROLE}' AND pg_has_role(r.oid, s.oid, 'MEMBER'))
    AS serves
FROM pg_roles r CROSS JOIN LATERAL (
  SELECT bool_or(s.rolsuper) AS super, bool_or(s.rolbypassrls) AS bypasses, bool_or(s.rolcreaterole) AS creates
  FROM pg_roles s WHERE pg_has_role(r.oid, s.oid, 'MEMBER')
) m WHERE r.rolname = session_user
"""


class MayNotServe(Exception):
    """The login cannot become the role that serves; the message says what to do."""


async def excess(dsn: str) -> str | None:
    """Who logs in, and by what they could pass row security by; None if by nothing. Raises MayNotServe."""
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        login = await connection.fetchrow(_LOGIN)
    finally:
        await connection.close()
    assert login is not None  # noqa: S101 - who asks is there
    if not login["serves"]:
        raise MayNotServe(
            f"The database role {login['name']} may not serve: log in as {ROLE}, or let an administrator run"
            f" GRANT {ROLE} TO {login['name']}."
        )
    powers = {
        "super": "is or may become a superuser",
        "bypasses": "has or may take BYPASSRLS",
        "owns": "owns the tables",
        "creates": "has or may take CREATEROLE",
    }
    return next((f"{login['name']}, which {words}" for power, words in powers.items() if login[power]), None)
