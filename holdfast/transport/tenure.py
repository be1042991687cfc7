"""How long a caller may stay on a socket or an event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from domain.errors import Forbidden, Unauthenticated
from domain.viewer import Viewer
from holdfast.transport.request import SessionWatch


class Tenure:
    """Calls ``ended`` when the access token runs out unrenewed or its session ends; never for a guest."""

    __slots__ = ("_ended", "_sessions", "_timer", "_unwatch", "viewer")

    def __init__(
        self, viewer: Viewer, sessions: SessionWatch, ended: Callable[[Unauthenticated], None]
    ) -> None:
        self._sessions = sessions
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self._unwatch: Callable[[], None] | None = None
        self._begin(viewer)

    def renew(self, viewer: Viewer) -> None:
        """Go on with a fresh token of the same user, or the same key. Raises Forbidden for anybody else."""
        if viewer.user_id is None or _bearer(viewer) != _bearer(self.viewer):
            message = "A fresh token must be of the same user, or the same key; open another connection for another."
            raise Forbidden(message)
        self.close()
        self._begin(viewer)

    def close(self) -> None:
        """Stop watching; may be called again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._unwatch is not None:
            self._unwatch()
        self._timer = self._unwatch = None

    def _begin(self, viewer: Viewer) -> None:
        self.viewer = viewer
        if viewer.expires_at is not None:
            left = (viewer.expires_at - datetime.now(UTC)).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._run_out)
        if viewer.session_id is not None:
            self._unwatch = self._sessions.watch(viewer.session_id, self._session_ended)

    def _run_out(self) -> None:
        self.close()
        self._ended(Unauthenticated("The access token has run out."))

    def _session_ended(self) -> None:
        self.close()
        self._ended(Unauthenticated("The session has ended."))


def _bearer(viewer: Viewer) -> tuple[UUID | None, UUID | None]:
    """Who must stay the same: a key lends less than its account has, and what runs was judged by one of them."""
    return viewer.user_id, viewer.grant.key_id if viewer.grant else None
