"""What is shown at this moment, within one process; `db.redis_live` tells other processes too."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from db.audiences import Audiences
from db.newest import Readers
from domain.live import Audience, Live, LoginCode, Picture
from domain.portals import CapturedCode

COUNTED: Final = 4_096
"""Jobs whose last frame numbers are remembered: a job may show codes again after another attempt."""


class Frames:
    """The last frame of each job, of those that were shown lately."""

    def __init__(self) -> None:
        self._last: OrderedDict[UUID, int] = OrderedDict()

    def __contains__(self, job_id: UUID) -> bool:
        return job_id in self._last

    def reach(self, job_id: UUID, frame: int) -> None:
        """Go on from this frame, unless it is further already."""
        self._last[job_id] = max(frame, self._last.get(job_id, 0))
        self._last.move_to_end(job_id)
        if len(self._last) > COUNTED:
            self._last.popitem(last=False)

    def last(self, job_id: UUID) -> int:
        """The last frame; 0 if none is known."""
        return self._last.get(job_id, 0)

    def following(self, job_id: UUID) -> int:
        """Take the next frame."""
        self.reach(job_id, self._last.get(job_id, 0) + 1)
        return self._last[job_id]


class MemoryLive:
    """`domain.live.Live` for the watchers and workers of one process."""

    def __init__(self) -> None:
        self._codes: dict[UUID, LoginCode] = {}
        self._code_frames, self._picture_frames = Frames(), Frames()
        self._code_readers = Readers[UUID, LoginCode]()
        self._picture_readers = Readers[tuple[UUID, bool], Picture]()
        self._audiences = Audiences(self._audience_changed)

    async def show_code(self, job_id: UUID, code: CapturedCode) -> LoginCode:
        """Hand it to those who watch here."""
        shown = _made(job_id, self._code_frames.following(job_id), code)
        self._deliver(shown)
        return shown

    async def hide_code(self, job_id: UUID) -> None:
        """Drop it, and take it back from those who have not looked yet."""
        self._hide(job_id, self._code_frames.last(job_id))

    async def code(self, job_id: UUID) -> LoginCode | None:
        """The newest code, while it is valid."""
        code = self._codes.get(job_id)
        return code if code is not None and code.expires_at > datetime.now(UTC) else None

    @asynccontextmanager
    async def codes(self, job_id: UUID) -> AsyncIterator[AsyncIterator[LoginCode]]:
        """The newest code if it is valid, then each as it appears."""
        with self._code_readers.reading(job_id) as reader:
            if (code := await self.code(job_id)) is not None:
                reader.offer(code)
            yield reader

    async def show_picture(self, job_id: UUID, own: bytes | None, masked: bytes | None) -> None:
        """Hand it to those who watch here."""
        self._show(job_id, own, masked)

    @asynccontextmanager
    async def pictures(
        self, job_id: UUID, *, own: bool, per_second: float = 1.0
    ) -> AsyncIterator[AsyncIterator[Picture]]:
        """Pictures from now on."""
        audience = Audience(own=own, masked=not own, per_second=per_second)
        with self._picture_readers.reading((job_id, own)) as reader, self._audiences.joined(job_id, audience):
            yield reader

    @asynccontextmanager
    async def watched(self, job_id: UUID) -> AsyncIterator[AsyncIterator[Audience]]:
        """Who watches the job's pictures."""
        async with self._audiences.watched(job_id) as audiences:
            yield audiences

    def _show(self, job_id: UUID, own: bytes | None, masked: bytes | None) -> list[tuple[bool, Picture]]:
        """Hand pictures to those who watch here; the pictures, each with whether it is the owner's."""
        frame, now = self._picture_frames.following(job_id), datetime.now(UTC)
        images = ((True, own), (False, masked))
        shown = [
            (for_owner, Picture(job_id, frame, image, now))
            for for_owner, image in images
            if image is not None
        ]
        for for_owner, picture in shown:
            self._picture_readers.offer((job_id, for_owner), picture)
        return shown

    def _hide(self, job_id: UUID, frame: int) -> None:
        """Drop a job's code up to this frame: a word of its end may come after another worker's code."""
        code = self._codes.get(job_id)
        if code is not None and code.frame <= frame:
            del self._codes[job_id]
            self._code_readers.withdraw(job_id)

    def _deliver(self, code: LoginCode) -> None:
        """Hand a code to those who watch here, unless they have a newer one."""
        last = self._codes.get(code.job_id)
        left = (code.expires_at - datetime.now(UTC)).total_seconds()
        if left <= 0 or (last is not None and last.shown_at >= code.shown_at):
            return
        self._codes[code.job_id] = code
        self._code_readers.offer(code.job_id, code)
        asyncio.get_running_loop().call_later(left, self._expire, code)

    def _expire(self, code: LoginCode) -> None:
        if self._codes.get(code.job_id) is code:
            del self._codes[code.job_id]
            self._code_readers.withdraw(code.job_id)

    def _audience_changed(self, job_id: UUID) -> None:
        """Nobody else is to hear of it."""


@asynccontextmanager
async def open_live(redis_url: str | None, secret: bytes) -> AsyncIterator[Live]:
    """Within this process, or between all that share a Redis and the server's secret."""
    if redis_url is None:
        yield MemoryLive()
        return
    from db.redis_live import RedisLive  # redis costs a third of a second to import

    async with RedisLive(redis_url, secret) as live:
        yield live


def _made(job_id: UUID, frame: int, code: CapturedCode) -> LoginCode:
    expires_at = code.shown_at + code.life
    return LoginCode(
        job_id, frame, code.text, code.image, code.shown_at, datetime.now(UTC), expires_at, code.autostart_url
    )
