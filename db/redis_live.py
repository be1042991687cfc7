"""What is shown at this moment, between the processes that share a Redis and the server's secret.

A value lies in Redis sealed, with a time to live; a word on one channel says whose is new, and who watches what.
Redis may write its memory to a disk, so it is given nothing that could be used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, final
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from db.broker import Gap, make_broker
from db.live import MemoryLive
from db.redis_backend import OPTIONS, answering
from db.sealing import Seal
from domain.errors import Unavailable
from domain.live import Audience, LoginCode, Picture
from domain.portals import CapturedCode

logger = logging.getLogger(__name__)

CHANNEL: Final = "holdfast-live"
QUICK: Final = 0.4
"""Seconds that Redis has to answer: a code that comes later is of no use."""

FRAMES_KEPT: Final = 3 * 24 * 3600
"""Seconds that a job's last frame number is kept: longer than any job lives."""

PICTURE_KEPT: Final = 5_000
"""Milliseconds."""

BEAT: Final = 1.0
"""Seconds between two words on who watches here."""

_SHOW: Final = """
local frame = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, tonumber(ARGV[2]))
redis.call('SET', KEYS[2], frame, 'EX', ARGV[4])
redis.call('SET', KEYS[1], frame .. ':' .. ARGV[1], 'PX', ARGV[3])
return frame
"""
"""Store a code under the frame that was meant for it, or the next one if that is taken."""

_HIDE: Final = """
local frame = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^%d+'))
if frame and frame <= tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end
"""
"""Drop a code, unless another worker has shown a newer one."""


@final
class RedisLive(MemoryLive):
    """`domain.live.Live` over one Redis. Watchers in the worker's own process are served whatever happens to it."""

    def __init__(self, url: str, secret: bytes) -> None:
        super().__init__()
        self._seal = Seal(secret)
        self._process = secrets.token_hex(8)
        # One attempt more, for a connection that ended unnoticed: the next code is due in a second.
        self._redis = Redis.from_url(url, **OPTIONS, retry=Retry(NoBackoff(), 1))
        self._store = self._redis.register_script(_SHOW)
        self._drop = self._redis.register_script(_HIDE)
        self._broker = make_broker(url, channel=CHANNEL)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._broker.__aenter__()
        self._tasks = [
            asyncio.create_task(self._listen(), name="live-listen"),
            asyncio.create_task(self._beat(), name="live-beat"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._broker.__aexit__(kind, error, trace)
        await self._redis.aclose()

    async def show_code(self, job_id: UUID, code: CapturedCode) -> LoginCode:
        """Hand it to those who watch here, then to all others."""
        if job_id not in self._code_frames:
            with suppress(ConnectionError):
                self._code_frames.reach(
                    job_id, int(await _asked(self._redis.get(_key("frame", job_id))) or 0)
                )
        shown = await super().show_code(job_id, code)
        left = int((shown.expires_at - datetime.now(UTC)).total_seconds() * 1000)
        try:
            frame = await _asked(
                self._store(
                    keys=[_key("code", job_id), _key("frame", job_id)],
                    args=[self._seal.seal("code", shown), shown.frame, max(left, 1), FRAMES_KEPT],
                )
            )
        except ConnectionError as failure:
            if job_id in self._code_readers:
                return shown
            raise Unavailable("The login code cannot be shown right now.") from failure
        self._code_frames.reach(job_id, frame)
        self._say("code", job_id)
        return replace(shown, frame=frame)

    async def hide_code(self, job_id: UUID) -> None:
        """Drop it everywhere; what another worker has shown since stays."""
        frame = self._code_frames.last(job_id)
        self._hide(job_id, frame)
        with suppress(ConnectionError):
            await _asked(self._drop(keys=[_key("code", job_id)], args=[frame]))
        self._broker.publish(f"hidden {job_id} {self._process} {frame}")

    async def code(self, job_id: UUID) -> LoginCode | None:
        """The newest code, while it is valid, from whichever process."""
        await self._fetch_code(job_id)
        return await super().code(job_id)

    async def show_picture(self, job_id: UUID, own: bytes | None, masked: bytes | None) -> None:
        """Hand it to those who watch here, then to all others."""
        for for_owner, picture in self._show(job_id, own, masked):
            kind = "own" if for_owner else "masked"
            with suppress(ConnectionError):
                sealed = self._seal.seal(kind, picture)
                await _asked(self._redis.set(_key(kind, job_id), sealed, px=PICTURE_KEPT))
                self._say(kind, job_id)

    async def _listen(self) -> None:
        async for word in self._broker:
            if isinstance(word, Gap):
                await asyncio.gather(*map(self._fetch_code, self._code_readers))
                self._tell_audiences()
                continue
            try:
                kind, name, process, *more = word.text.split(" ", 3)
                if process != self._process:
                    await self._heard(kind, UUID(name), process, *more)
            except (ValueError, TypeError):  # another release's, while servers are replaced in turn
                logger.warning("live: a word that is not understood")

    async def _heard(self, kind: str, job_id: UUID, process: str, more: str = "") -> None:
        if kind == "audience":
            self._audiences.heard(job_id, process, Audience(**json.loads(more)))
        elif kind == "hidden":
            self._hide(job_id, int(more))
        elif kind == "code" and job_id in self._code_readers:
            await self._fetch_code(job_id)
        elif (job_id, kind == "own") in self._picture_readers and kind in ("own", "masked"):
            await self._fetch_picture(job_id, kind)

    async def _fetch_code(self, job_id: UUID) -> None:
        with suppress(ConnectionError):
            if (stored := await self._stored("code", job_id)) is None:
                return
            frame, _, sealed = stored.partition(b":")
            if (code := self._seal.open("code", job_id, sealed, LoginCode)) is not None:
                self._code_frames.reach(job_id, int(frame))
                self._deliver(replace(code, frame=int(frame)))

    async def _fetch_picture(self, job_id: UUID, kind: str) -> None:
        with suppress(ConnectionError):
            sealed = await self._stored(kind, job_id)
            if sealed is not None and (picture := self._seal.open(kind, job_id, sealed, Picture)) is not None:
                self._picture_readers.offer((job_id, kind == "own"), picture)

    async def _stored(self, kind: str, job_id: UUID) -> bytes | None:
        stored = await _asked(self._redis.get(_key(kind, job_id)))
        return stored.encode() if isinstance(stored, str) else stored

    async def _beat(self) -> None:
        """Say again and again who watches here: a word may be lost, and ours is believed for a while only."""
        while True:
            await asyncio.sleep(BEAT)
            self._audiences.refresh()
            self._tell_audiences()

    def _tell_audiences(self) -> None:
        for job_id in self._audiences.here():
            self._audience_changed(job_id)

    def _audience_changed(self, job_id: UUID) -> None:
        audience = self._audiences.here().get(job_id, Audience())
        told = {name: getattr(audience, name) for name in audience.__slots__}
        self._broker.publish(f"audience {job_id} {self._process} {json.dumps(told)}")

    def _say(self, kind: str, job_id: UUID) -> None:
        self._broker.publish(f"{kind} {job_id} {self._process}")


async def _asked(answer: Awaitable[Any]) -> Any:
    """Wait for Redis' answer. Raises ConnectionError."""
    async with answering(QUICK):
        return await answer


def _key(kind: str, job_id: UUID) -> str:
    return f"holdfast:live:{kind}:{job_id}"
