"""What is shown at this moment and kept nowhere: login codes and pictures of a job's page.

It lives in memory and, between processes, in Redis with a time to live; never in the database, a log or a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.portals import CapturedCode


@dataclass(frozen=True, slots=True)
class LoginCode:
    """A login code. ``frame`` grows by one with each of a job, over attempts; ``image`` is a PNG. All times UTC."""

    job_id: UUID
    frame: int
    text: str = field(repr=False)
    image: bytes = field(repr=False)
    shown_at: datetime
    delivered_at: datetime
    expires_at: datetime
    autostart_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A job's page as JPEG; ``frame`` grows by one."""

    job_id: UUID
    frame: int
    image: bytes = field(repr=False)
    taken_at: datetime


class Live(Protocol):
    """Hands on what workers show to those who watch, in whichever process; the newest wins, nothing is queued."""

    async def show_code(self, job_id: UUID, code: CapturedCode) -> LoginCode:
        """Show a code. Raises Unavailable where watchers of other processes cannot get it now."""

    async def hide_code(self, job_id: UUID) -> None:
        """No code is valid any more: the job has left QR_WAITING."""

    async def code(self, job_id: UUID) -> LoginCode | None:
        """The newest code, while it is valid."""

    def codes(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[LoginCode]]:
        """The newest code, then each as it appears; one who is slow gets the newest. Never ends by itself."""

    async def show_picture(self, job_id: UUID, own: bytes, masked: bytes) -> None:
        """Show a picture of the page: one for the owner, one with the code masked for staff."""

    def pictures(self, job_id: UUID, *, own: bool) -> AbstractAsyncContextManager[AsyncIterator[Picture]]:
        """Pictures from now on, as long as somebody listens; asks the worker to take them."""

    def watched(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[bool]]:
        """For the worker: whether anybody watches the job's pictures, now and at each change."""
