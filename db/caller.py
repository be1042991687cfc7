"""Who asks, as the database is told at the start of each transaction, and for no longer than that.

The policies of the tables (migration 0003) read

==================  ==================================================================================================
``holdfast.caller``  ``system``, or the ids that the caller acts for as an array: their account, and what they have
                     shown (``domain.viewer.Viewer.acts_for``). Where it is not set, nothing that has an owner is seen.
``holdfast.scopes``  whose idempotency keys are meant, in hexadecimal and separated by commas; set with the claim.
==================  ==================================================================================================

What somebody asks for who is not its owner yet goes through a function of migration 0003, which looks as the system
and by a whole key: ``account_of_address``, ``session_of_token``, ``booking_of_reference``, ``reservation_of_booking``,
``active_of_holder``.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from domain.viewer import Viewer

ROLE = "holdfast_server"
"""Whose rights every statement of a server has: a role that owns nothing."""

SYSTEM = "system"
ALL_SEEING = {"holdfast.caller": SYSTEM}
"""Settings of a connection that is the system's from its opening on: the feed's, which reads the log for everybody."""

SHOW = """
SELECT set_config('holdfast.caller', array_append(nullif(current_setting('holdfast.caller'), '')::uuid[], $1)::text,
  true)
"""


def begin(viewers: Iterable[Viewer | None]) -> str:
    """The statements that begin a transaction for these callers, in one round trip; None is the system."""
    return f"BEGIN; SET LOCAL holdfast.caller = '{_told(viewers)}'"


def _told(viewers: Iterable[Viewer | None]) -> str:
    """The setting. Ids need no quoting: they are UUIDs, never text of a caller's."""
    ids: list[UUID] = []
    for viewer in viewers:
        if viewer is None:
            return SYSTEM
        ids += viewer.acts_for
    return f"{{{','.join(map(str, ids))}}}"
