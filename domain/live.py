"""What is shown at this moment and kept nowhere: login codes and pictures of a job's page.

It lives in memory and, between processes, in Redis with a time to live; never in the database, a log or a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from domain.portals import CapturedCode

MOST_PICTURES: Final = 5.0
"""Pictures of a page a second, whoever asks for more."""


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


@dataclass(frozen=True, slots=True)
class Audience:
    """Who watches a job's pictures: its owner, others (for whom the code is masked), and how many they ask for.

    ``per_second`` is the most that anybody asks for, and never above ``MOST_PICTURES``. False while nobody watches.
    """

    own: bool = False
    masked: bool = False
    per_second: float = 0.0

    def __bool__(self) -> bool:
        return self.own or self.masked

    def with_(self, other: Audience) -> Audience:
        """Both together."""
        per_second = min(max(self.per_second, other.per_second), MOST_PICTURES)
        return Audience(self.own or other.own, self.masked or other.masked, per_second)


class Live(Protocol):
    """Hands on what workers show to those who watch, in whichever process; the newest wins, nothing is queued."""

    async def show_code(self, job_id: UUID, code: CapturedCode) -> LoginCode:
        """Show a code. Raises Unavailable where nobody can get it now: not in this process, and through no other."""

    async def hide_code(self, job_id: UUID) -> None:
        """No code is valid any more: the job has left QR_WAITING. Never raises for an outage."""

    async def code(self, job_id: UUID) -> LoginCode | None:
        """The newest code, while it is valid. Never raises for an outage."""

    def codes(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[LoginCode]]:
        """The newest code if it is valid, then each as it appears; one who is slow gets the newest. Never ends."""

    async def show_picture(self, job_id: UUID, own: bytes | None, masked: bytes | None) -> None:
        """Show a picture of the page: one for the owner, one with the code masked; None where nobody asked for it.

        Never raises for an outage.
        """

    def pictures(
        self, job_id: UUID, *, own: bool, per_second: float = 1.0
    ) -> AbstractAsyncContextManager[AsyncIterator[Picture]]:
        """Pictures from now on, as long as somebody listens; asks the worker to take them. Never ends."""

    def watched(self, job_id: UUID) -> AbstractAsyncContextManager[AsyncIterator[Audience]]:
        """For the worker: who watches the job's pictures, now and at each change. Never ends."""
