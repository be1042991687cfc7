"""What clients see of ids and places in a list: opaque text, read back strictly.

Global ids follow the Relay convention: standard base64 of ``Type:uuid``. Cursors are base64url of a JSON
array, without padding. Neither is a secret, neither is signed: whoever decodes one checks what it leads to.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

MAX_CURSOR = 512
_LONGEST_ID = 128
_GLOBAL_ID = re.compile(r"([A-Z][A-Za-z0-9]*):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_GREATEST_INTEGER = 2**63 - 1  # of a bigint, which is where numbers from a cursor go


class MalformedId(ValueError):
    """Text that is no global id of ours, or one of another type than expected."""


class MalformedCursor(ValueError):
    """Text that is no cursor of ours, or one of another list."""


@lru_cache(maxsize=16_384)  # the same things are told again and again
def encode(type_name: str, id: UUID) -> str:
    """Return the global id of an object of a GraphQL type."""
    return b64encode(f"{type_name}:{id}".encode()).decode()


def decode(gid: str, expected: str | None = None) -> tuple[str, UUID]:
    """Return the type and the id in a global id. Raises MalformedId, also for a type not ``expected``."""
    parts = _GLOBAL_ID.fullmatch(_decoded_id(gid))
    if parts is None:
        raise MalformedId("Not an id of this API.")
    type_name, uuid = parts[1], UUID(parts[2])
    if expected is not None and type_name != expected:
        raise MalformedId(f"This is the id of another type than {expected}.")
    if encode(type_name, uuid) != gid:
        raise MalformedId("Not an id of this API.")  # base64 has several spellings, an id has one
    return type_name, uuid


def _decoded_id(gid: str) -> str:
    if len(gid) > _LONGEST_ID:
        return ""
    try:
        return b64decode(gid, validate=True).decode("ascii")
    except ValueError:
        return ""


def encode_cursor(values: Sequence[str | int | bool | None]) -> str:
    """Return the cursor that stands for these values. Raises ValueError if that is longer than MAX_CURSOR."""
    text = json.dumps(list(values), separators=(",", ":"), ensure_ascii=False)
    cursor = urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    if len(cursor) > MAX_CURSOR:
        raise ValueError("Too much for a cursor.")
    return cursor


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the values in a cursor, exactly of these kinds (str, int, bool, NoneType) in this order.

    Raises MalformedCursor for anything else, such as an integer beyond 64 bits or a cursor of another list.
    """
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        padded = cursor + "=" * (-len(cursor) % 4)
        values = json.loads(urlsafe_b64decode(padded.encode("ascii")))
        genuine = isinstance(values, list) and encode_cursor(values) == cursor
    except ValueError:
        genuine = False
    if not genuine or [type(value) for value in values] != list(kinds):
        raise MalformedCursor("Not a cursor of this list.")
    if any(isinstance(value, int) and abs(value) > _GREATEST_INTEGER for value in values):
        raise MalformedCursor("Not a cursor of this list.")
    return tuple(values)
