"""Who watches the pictures of which job: here, and as other processes say, for as long as they keep saying so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import reduce
from time import monotonic
from typing import Final
from uuid import UUID

from db.newest import Readers
from domain.live import Audience

BELIEVED: Final = 5.0
"""Seconds that the word of another process is believed."""


class Audiences:
    """The audience of each job. ``changed`` is called with a job whose audience in this process changed."""

    def __init__(self, changed: Callable[[UUID], None]) -> None:
        self._changed = changed
        self._here: dict[UUID, list[Audience]] = {}
        self._there: dict[UUID, dict[str, tuple[Audience, float]]] = {}
        self._told: dict[UUID, Audience] = {}
        self._workers = Readers[UUID, Audience]()

    def here(self) -> dict[UUID, Audience]:
        """Of each job that somebody watches in this process."""
        return {job_id: reduce(Audience.with_, those, Audience()) for job_id, those in self._here.items()}

    @contextmanager
    def joined(self, job_id: UUID, audience: Audience) -> Iterator[None]:
        """Watch for a while."""
        self._here.setdefault(job_id, []).append(audience)
        self._tell(job_id)
        self._changed(job_id)
        try:
            yield
        finally:
            self._here[job_id].remove(audience)
            if not self._here[job_id]:
                del self._here[job_id]
            self._tell(job_id)
            self._changed(job_id)

    def heard(self, job_id: UUID, process: str, audience: Audience) -> None:
        """Note what another process says of its own."""
        if job_id not in self._workers:
            return
        self._there.setdefault(job_id, {})[process] = (audience, monotonic() + BELIEVED)
        self._tell(job_id)

    def refresh(self) -> None:
        """Forget those that have fallen silent."""
        for job_id in self._workers:
            self._tell(job_id)

    @asynccontextmanager
    async def watched(self, job_id: UUID) -> AsyncIterator[AsyncIterator[Audience]]:
        """The audience now and at each change."""
        with self._workers.reading(job_id) as reader:
            self._told[job_id] = self._of(job_id)
            reader.offer(self._told[job_id])
            try:
                yield reader
            finally:
                self._there.pop(job_id, None)
                self._told.pop(job_id, None)

    def _tell(self, job_id: UUID) -> None:
        if job_id in self._workers and (audience := self._of(job_id)) != self._told.get(job_id):
            self._told[job_id] = audience
            self._workers.offer(job_id, audience)

    def _of(self, job_id: UUID) -> Audience:
        there, now = self._there.get(job_id, {}), monotonic()
        for process in [name for name, (_, until) in there.items() if until <= now]:
            del there[process]
        those = [*self._here.get(job_id, ()), *(audience for audience, _ in there.values())]
        return reduce(Audience.with_, those, Audience())
