"""Relay connections over pages that go on from a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import strawberry

from domain.errors import BadRequest
from domain.reads import Key, Page
from schema.ids import MalformedCursor, decode_cursor, encode_cursor

MOST = 100

T = TypeVar("T")
Value = TypeVar("Value")

First = Annotated[int, strawberry.argument(description="How many: 1 to 100.")]


@strawberry.type
class PageInfo:
    """Where a page lies."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    """One item with its place."""

    cursor: str
    node: T


def _edges(self: Connection[T]) -> list[Edge[T]]:
    return [Edge(cursor=cursor, node=node) for cursor, node in zip(self.cursors(), self.nodes, strict=True)]


@strawberry.type
class Connection(Generic[T]):
    """One page."""

    edges: list[Edge[T]] = strawberry.field(resolver=_edges)
    nodes: list[T]
    page_info: PageInfo
    cursors: strawberry.Private[Callable[[], Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Keyset:
    """How the keys of one list are written as cursors: ``name`` keeps the cursors of lists apart."""

    name: str
    kinds: Sequence[type]

    def read(self, cursor: str | None) -> Key | None:
        """The key in a cursor. Raises BadRequest for one that is not of this list."""
        if cursor is None:
            return None
        try:
            name, *values = decode_cursor(cursor, str, *(int if kind is int else str for kind in self.kinds))
            if name != self.name:
                raise MalformedCursor
            return tuple(_read(value, kind) for value, kind in zip(values, self.kinds, strict=True))
        except ValueError:
            raise BadRequest("`after` is not a cursor of this list; take one from its pageInfo.") from None

    def write(self, key: Key) -> str:
        """The cursor of a key."""
        return encode_cursor([self.name, *map(_written, key)])

    def page(self, page: Page[Value], after: str | None, of: Callable[[Value], T]) -> Connection[T]:
        """A page as a connection."""
        return connection(page, after, self.write, of)


def connection(
    page: Page[Value], after: str | None, write: Callable[[Key], str], of: Callable[[Value], T]
) -> Connection[T]:
    """A page as a connection; the cursors between its ends are written when somebody asks for them."""
    keys = [key for key, _ in page.items]
    return Connection(
        nodes=[of(item) for _, item in page.items],
        page_info=PageInfo(
            has_next_page=page.more,
            has_previous_page=after is not None,
            start_cursor=write(keys[0]) if keys else None,
            end_cursor=write(keys[-1]) if keys else None,
        ),
        cursors=lambda: [write(key) for key in keys],
    )


def checked_first(first: int) -> int:
    """``first``. Raises BadRequest unless it is 1 to 100."""
    if not 1 <= first <= MOST:
        raise BadRequest(f"`first` is 1 to {MOST}; ask for further pages with `after`.")
    return first


def _written(value: Any) -> str | int:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)


def _read(value: Any, kind: type) -> object:
    if kind is datetime:
        instant = datetime.fromisoformat(value)
        if (
            instant.utcoffset() != timedelta()
        ):  # keys are in UTC; at an offset, the ends of time lie beyond them
            raise MalformedCursor
        return instant
    return UUID(value) if kind is UUID else value
