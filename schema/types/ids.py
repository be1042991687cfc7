"""Ids that clients send."""

from __future__ import annotations

from uuid import UUID

from domain.errors import NotFound
from schema.ids import MalformedId, decode


def known_id(gid: str, type_name: str) -> UUID | None:
    """The id inside a global id of that type, or None if it is no such id: nothing has it."""
    try:
        return decode(gid, type_name)[1]
    except MalformedId:
        return None


def optional_id(gid: str | None, type_name: str, path: tuple[str, ...]) -> UUID | None:
    """The id inside, or None for None. Raises NotFound, with ``path``, for anything that is no id of that type."""
    if gid is None:
        return None
    found = known_id(gid, type_name)
    if found is None:
        raise NotFound(f"Not the id of a {type_name}.", path)
    return found
