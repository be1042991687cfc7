"""Which passwords are accepted (after NIST SP 800-63B, 5.1.1.2), and the port that hashes them."""

from __future__ import annotations

import re
import unicodedata
from typing import Protocol

from domain.errors import CredentialsRefused, RefusalCode

MIN_CHARACTERS = 12
MAX_BYTES = 1_024
_LEAST_DIFFERENT = 5
_LEAST_OF_ONES_OWN = 6
_SHORTEST_PART = 3


class Hasher(Protocol):
    """Slow on purpose; every call takes the same time whatever the password."""

    async def hash(self, password: str) -> str:
        """A salted hash with its parameters, for ``verify``."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one; without a hash, False after the same work."""

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""


def normalized(password: str) -> bytes:
    """The password as it is hashed: NFKC, so that different keyboards give the same, in UTF-8."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def must_be_strong(password: str, email: str, path: tuple[str, ...]) -> None:
    """Raise CredentialsRefused of reason WEAK_PASSWORD, saying what to change, unless it will do."""
    weakness = _weakness(password, email)
    if weakness is not None:
        raise CredentialsRefused(weakness, path, reason=RefusalCode.WEAK_PASSWORD)


def _weakness(password: str, email: str) -> str | None:
    if len(normalized(password)) > MAX_BYTES:
        return f"Choose a password of at most {MAX_BYTES} bytes."
    if len(password) < MIN_CHARACTERS:
        return f"Choose a password of at least {MIN_CHARACTERS} characters; a few words make a good one."
    folded = password.casefold()
    if folded in COMMON or len(set(folded)) < _LEAST_DIFFERENT:
        return "This password is one of the first that anybody would try; choose another."
    if len(_own(folded, email.casefold())) < _LEAST_OF_ONES_OWN:
        return "This password is little more than your e-mail address; choose another."
    return None


def _own(password: str, email: str) -> str:
    """What is left of a password without the e-mail address and its parts, the longest first."""
    parts = {email, *email.split("@"), *re.split(r"[^\w]+|_", email)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST_PART:
            password = password.replace(part, "")
    return password


# fmt: off
COMMON = frozenset({
    "123456789012", "1234567890123", "12345678901234", "123456789123", "123123123123", "121212121212",
    "1234567890qwerty", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u", "1qaz2wsx3edc", "1qaz2wsx3edc4rfv",
    "1qazxsw23edc", "q1w2e3r4t5y6", "zaq12wsxcde3", "qwerty123456", "qwertyuiop12", "qwertyuiop123",
    "qwertyuiop[]", "qwertyuiopasdf", "qwertyuiopasdfghjkl", "qwertyqwerty", "asdfghjkl123",
    "asdfghjkl;'\\", "asdfghjklzxcvbnm", "zxcvbnmasdfghjkl", "qazwsxedcrfv", "qazwsxedc123",
    "azertyuiop123", "password1234", "password12345", "password123456", "passwordpassword", "password2024",
    "password2025", "password2026", "password123!", "password1234!", "p@ssw0rd1234", "p@ssword1234",
    "passw0rd1234", "mypassword123", "thisismypassword", "iloveyou1234", "iloveyou123456",
    "iloveyouforever", "welcome12345", "welcome123456", "letmein12345", "letmeinplease", "administrator",
    "administrator1", "admin1234567", "adminadmin12", "adminadminadmin", "changeme1234", "changemechangeme",
    "abcdefghijkl", "abcdefghijklm", "abcdefghijklmnopqrstuvwxyz", "abcdef123456", "abcd12345678",
    "abc123456789", "abc123abc123", "football1234", "baseball1234", "sunshine1234", "princess1234",
    "superman1234", "dragon123456", "monkey123456", "michael12345", "correcthorsebatterystaple",
    "trustno1trustno1", "testtesttest", "testpassword", "test12345678", "secret123456",
})
# fmt: on
"""The passwords of twelve characters and more that head the lists of leaked ones, in lower case."""
