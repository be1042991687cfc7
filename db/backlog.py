"""A bounded queue of messages for which forgetting is allowed and silence about it is not."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

GAP: Final = ""
"""Stands for "messages may be missing", in a queue and on the wire: no real message is empty."""

MESSAGES: Final = 1_024
"""How many messages wait at most."""

CHARACTERS: Final = 16_384
"""How long a message may be; a longer one becomes `GAP`."""


class Backlog:
    """First in, first out, for one reader.

    A `GAP` sends its reader to the log, where everything queued before it stands too. So a backlog that is
    full, or is given a `GAP`, forgets what it holds and keeps the `GAP` alone.
    """

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, text: str) -> None:
        """Add ``text`` at the end. Never waits."""
        if text == GAP or len(text) > CHARACTERS or len(self._texts) >= MESSAGES:
            self._texts.clear()
            text = GAP
        self._texts.append(text)
        self._filled.set()

    async def get(self) -> str:
        """Wait for the first text and take it."""
        while not self._texts:
            self._filled.clear()
            await self._filled.wait()
        return self._texts.popleft()
