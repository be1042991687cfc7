"""Readers who want what is newest and nothing else: one who is slow misses what came in between."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Newest(Generic[T]):
    """Room for one value, for one reader; what is offered takes the place of what was not read yet."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._filled = asyncio.Event()

    def offer(self, value: T) -> None:
        """Put a value in. Never waits."""
        self._value = value
        self._filled.set()

    def withdraw(self) -> None:
        """Take out what was not read yet."""
        self._value = None
        self._filled.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while self._value is None:
            self._filled.clear()
            await self._filled.wait()
        value, self._value = self._value, None
        return value


class Readers(Generic[K, T]):
    """Readers of many things, by the thing's key; a thing that nobody reads takes no room."""

    def __init__(self) -> None:
        self._by_key: dict[K, set[Newest[T]]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[K]:
        return iter([*self._by_key])

    def offer(self, key: K, value: T) -> None:
        """Offer a value to all who read this."""
        for reader in self._by_key.get(key, ()):
            reader.offer(value)

    def withdraw(self, key: K) -> None:
        """Take back what they have not read yet."""
        for reader in self._by_key.get(key, ()):
            reader.withdraw()

    @contextmanager
    def reading(self, key: K) -> Iterator[Newest[T]]:
        """Read this for a while."""
        reader = Newest[T]()
        self._by_key.setdefault(key, set()).add(reader)
        try:
            yield reader
        finally:
            readers = self._by_key[key]
            readers.discard(reader)
            if not readers:
                del self._by_key[key]
