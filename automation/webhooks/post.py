"""The way to post that costs nothing until it is used: importing an HTTP client takes a third of a second."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from domain.messages import Message
from domain.webhooks import Attempt

if TYPE_CHECKING:
    from automation.webhooks.posting import Poster


class Post:
    """Posts messages to URLs given by users, one for a process; see ``automation.webhooks.posting``.

    ``http`` allows URLs without TLS, ``allowed`` are networks that are let through although they are not public.
    """

    def __init__(self, *, http: bool, allowed: Sequence[str] = ()) -> None:
        self._http = http
        self._allowed = allowed
        self._open = AsyncExitStack()
        self._poster: Poster | None = None

    async def __call__(self, url: str, message: Message) -> Attempt:
        """One attempt, over within 15 s; whatever goes wrong is part of it."""
        if self._poster is None:
            from automation.addresses import Reachable
            from automation.webhooks.posting import new_poster

            self._poster = new_poster(Reachable(self._allowed), http=self._http)
            self._open.push_async_callback(self._poster.close)
        return await self._poster(url, message)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
