"""Passwords as Argon2id hashes (RFC 9106), with the parameters that OWASP's cheat sheet gives."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.passwords import normalized

THREADS = 2
"""How many are worked on at once: each takes 19 MiB and a core, outside the interpreter's lock."""

Result = TypeVar("Result")


class Argon2:
    """The port ``domain.passwords.Hasher``: 19 MiB, two passes, one lane, in threads of its own."""

    def __init__(self, memory_kib: int = 19_456, passes: int = 2) -> None:
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={passes},p=1${_random(16)}${_random(32)}"

    async def hash(self, password: str) -> str:
        """A salted hash in the PHC string format."""
        return await self._aside(lambda: self._argon2.hash(normalized(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one; without a hash, False after as much work, with a hash of nothing."""
        return await self._aside(lambda: self._verify(password_hash, password))

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters."""
        return self._argon2.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash or self._nobody, normalized(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _aside(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _random(length: int) -> str:
    """So many random bytes as the PHC string format has them: base64 without padding."""
    return b64encode(secrets.token_bytes(length)).decode().rstrip("=")
