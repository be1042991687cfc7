"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of one operation: a signed-in user, or a guest known by nothing but an address.

    ``user_id``, ``session_id`` and ``expires_at`` (UTC; the end of the access token) are all set or all None.
    ``address`` is the client's network address as text; it is used for limits and never stored or logged in clear.
    """

    address: str
    request_id: str
    user_id: UUID | None = None
    session_id: UUID | None = None
    expires_at: datetime | None = None

    @property
    def signed_in(self) -> bool:
        """Whether a valid access token stands behind this caller."""
        return self.user_id is not None
