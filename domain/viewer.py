"""Who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.scopes import Grant


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of one operation: a signed-in user, or a guest known by nothing but an address.

    ``user_id``, ``session_id`` and ``expires_at`` (UTC; the end of the access token) are all set or all None. Behind a
    key they are its creator's account, the key's own id, and its end if it has one; ``grant`` is what it lends.
    ``address`` is the client's network address as text; it is used for limits and never stored or logged in clear.
    ``shown`` are ids of reservations whose token, and of accounts whose password or refresh token, they have shown.
    """

    address: str
    request_id: str
    user_id: UUID | None = None
    session_id: UUID | None = None
    expires_at: datetime | None = None
    shown: tuple[UUID, ...] = ()
    grant: Grant | None = None

    @property
    def signed_in(self) -> bool:
        """Whether a valid access token, or a key, stands behind this caller."""
        return self.user_id is not None

    @property
    def acts_for(self) -> Sequence[UUID]:
        """The ids whose rows the database shows this caller."""
        return self.shown if self.user_id is None else (self.user_id, *self.shown)

    def showing(self, id: UUID) -> Viewer:
        """The same caller, who has shown that a reservation or an account is theirs."""
        return self if id in self.shown else replace(self, shown=(*self.shown, id))
