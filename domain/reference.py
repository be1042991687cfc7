"""Booking references such as K7RM-2QXH-D4TN: not guessable, and easy to read aloud.

Eleven random characters and a check character. The alphabet has no vowels, so that no word comes of it, and
of signs that look alike only one: 0 stands also for O, 1 for I and L, 2 for Z, V for U. It has 29 signs, a
prime, so that the check character finds every single wrong sign and every two signs that changed places.
"""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789BCDFGHJKMNPQRSTVWXY"
_RANDOM = 11  # times log2(29) = 53.4 bits
_GROUP = 4
_LONGEST_INPUT = 64
_HEARD_AS = str.maketrans("OILZU", "0112V", " -\t\u2010\u2011\u2012\u2013\u2014\u00a0.")


def new_reference() -> str:
    """Return a booking reference with 53 random bits, in its written form."""
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return _written(drawn + _check(drawn))


def normalize_reference(text: str) -> str | None:
    """Return the written form of what somebody typed, or None if it cannot be a reference.

    Case, spaces, dashes and dots do not matter; a letter outside the alphabet counts as what it looks like.
    """
    if len(text) > _LONGEST_INPUT:
        return None
    signs = text.upper().translate(_HEARD_AS)
    if len(signs) != _RANDOM + 1 or not set(signs) <= set(_ALPHABET) or _check(signs[:-1]) != signs[-1]:
        return None
    return _written(signs)


def _check(signs: str) -> str:
    weighted = sum(place * _ALPHABET.index(sign) for place, sign in enumerate(signs, start=1))
    return _ALPHABET[weighted % len(_ALPHABET)]


def _written(signs: str) -> str:
    return "-".join(signs[start : start + _GROUP] for start in range(0, len(signs), _GROUP))
