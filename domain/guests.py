"""How a caller is counted, and how a guest shows that a reservation is theirs."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from uuid import UUID

from domain.throttle import network
from domain.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Guests:
    """Derives what stands for a guest from the installation's ``secret`` (32 bytes or more); stores nothing.

    A reservation's token can be given again to whoever repeats the request that made it, and a copy of the
    database opens nobody's reservation.
    """

    secret: bytes = field(repr=False)

    def token(self, reservation_id: UUID) -> str:
        """The secret of one reservation: 256 bits as 43 URL-safe characters."""
        return base64.urlsafe_b64encode(self._mac(b"reservation", reservation_id.bytes)).rstrip(b"=").decode()

    def admits(self, token: str | None, reservation_id: UUID) -> bool:
        """Whether ``token`` is that reservation's, compared in constant time."""
        return token is not None and hmac.compare_digest(token.encode(), self.token(reservation_id).encode())

    def holder(self, viewer: Viewer) -> bytes:
        """What limits and idempotency keys are counted by: the account, or for a guest the network, 17 bytes."""
        if viewer.user_id is not None:
            return b"u" + viewer.user_id.bytes
        return b"g" + self._mac(b"address", network(viewer.address).encode())[:16]

    def _mac(self, purpose: bytes, text: bytes) -> bytes:
        return hmac.digest(self.secret, purpose + b"\0" + text, "sha256")
