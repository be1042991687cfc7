"""Columns of scalars and enum values, as they stand in a response."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from functools import lru_cache
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
    is_enum_type,
)

Write = Callable[[list[Any]], list[Any]]

_AS_THEY_ARE = {GraphQLString.name: str, GraphQLID.name: str, GraphQLBoolean.name: bool}
_LEAST_INT, _GREATEST_INT = -(2**31), 2**31 - 1


class Unusual(Exception):
    """Something that is for graphql-core to judge: a null out of place, an awaitable, an exception as a value ..."""


def kinds_of(values: Collection[Any]) -> set[type]:
    """The types in a column. Raises Unusual if there is a null, an exception or an awaitable among the values."""
    kinds = set(map(type, values))
    if not all(map(_ordinary, kinds)):
        raise Unusual
    return kinds


def writer(type_: GraphQLLeafType) -> Write:
    """What turns a column of values without null into what stands in the response; it raises whatever goes wrong."""
    as_is = _AS_THEY_ARE.get(type_.name)
    names = _names(type_)
    coerce = type_.coerce_output_value

    def write(values: list[Any]) -> list[Any]:
        kinds = kinds_of(values)
        if len(kinds) == 1:
            (kind,) = kinds
            if kind is as_is or (kind is int and type_ is GraphQLInt and _fits(values)):
                return values
            if kind in names:
                return list(map(names[kind].__getitem__, values))
        written = list(map(coerce, values))
        if not {type(None), type(Undefined)}.isdisjoint(map(type, written)):
            raise Unusual
        return written

    return write


def _fits(values: list[int]) -> bool:
    return min(values) >= _LEAST_INT and max(values) <= _GREATEST_INT


def _names(type_: GraphQLLeafType) -> dict[type, dict[Any, str]]:
    """By the Python enum, its members' names in GraphQL."""
    kind = getattr(type_, "wrapped_cls", None)
    if not is_enum_type(type_) or kind is None or not issubclass(kind, Enum):
        return {}
    return {kind: {member: type_.coerce_output_value(member) for member in kind}}


@lru_cache(maxsize=1_024)
def _ordinary(kind: type) -> bool:
    if kind is type(None) or kind is type(Undefined):
        return False
    return not issubclass(kind, Exception) and not hasattr(kind, "__await__")
