"""Arguments as a resolver takes them, from what graphql-core gives: Strawberry's conversion, worked out once.

Strawberry resolves the type of each argument and of each field of an input anew at every call, which costs more than
the rest of a small operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, TypeAlias

import strawberry
from strawberry.relay import GlobalID
from strawberry.types.arguments import convert_argument
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.types.maybe import Some
from strawberry.types.unset import UNSET

Convert: TypeAlias = Callable[[Any], Any]
"""From a coerced value to what a resolver takes. Raises what Strawberry raises."""


class Inputs:
    """The conversions of one schema."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self._config = schema.config
        self._scalars = schema.schema_converter.scalar_registry
        self._objects: dict[type, Convert] = {}

    def arguments(self, field: StrawberryField) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """What turns the arguments of a field, by their names in GraphQL, into those of its resolver."""
        names = self._config.name_converter
        known = [(names.from_argument(one), one.python_name, self._of(one.type)) for one in field.arguments]

        def convert(given: Mapping[str, Any]) -> dict[str, Any]:
            return {python: of(given[name]) for name, python, of in known if name in given}

        return convert

    def _of(self, type_: Any) -> Convert:
        if isinstance(type_, StrawberryMaybe):
            return self._maybe(type_)
        if isinstance(type_, StrawberryOptional):
            return self._of(type_.of_type)
        if isinstance(type_, LazyType):
            return self._of(type_.resolve_type())
        if isinstance(type_, StrawberryList):
            return _unless_absent(self._list(type_.of_type))
        if self._is_leaf(type_):
            return _as_it_is
        if has_object_definition(type_) and type_.__strawberry_definition__.from_input is None:
            return _unless_absent(self._object(type_))
        return self._slowly(type_)

    def _maybe(self, type_: StrawberryMaybe) -> Convert:
        inner, slowly = self._of(type_.of_type), self._slowly(type_)
        if isinstance(type_.of_type, StrawberryOptional):
            return lambda value: Some(inner(value))
        return lambda value: slowly(value) if value is None else Some(inner(value))

    def _list(self, of_type: Any) -> Convert:
        bare = of_type.of_type if type(of_type) is StrawberryOptional else of_type
        if self._is_leaf(bare):
            return list
        inner = self._of(of_type)
        return lambda values: [inner(value) for value in values]

    def _object(self, type_: type) -> Convert:
        """What makes an input; looked up when it is needed, for an input may hold others of its kind."""

        def later(value: Any) -> Any:
            return self._objects[type_](value)

        if type_ not in self._objects:
            self._objects[type_] = later
            self._objects[type_] = self._object_of(type_.__strawberry_definition__, type_)  # type: ignore[attr-defined]
        return self._objects[type_]

    def _object_of(self, definition: StrawberryObjectDefinition, type_: type) -> Convert:
        names = self._config.name_converter
        absent = {
            field.python_name: None
            for field in definition.fields
            if definition.is_input and field.default_value is MISSING and field.default_factory is MISSING
        }
        known = [
            (
                names.from_field(field),
                field.python_name,
                self._of(field.resolve_type(type_definition=definition)),
            )
            for field in definition.fields
        ]

        def make(value: Mapping[str, Any]) -> Any:
            given = {python: of(value[name]) for name, python, of in known if name in value}
            return type_(**{**absent, **given})

        return make

    def _is_leaf(self, type_: Any) -> bool:
        """Whether its values come as they are; so do those of enums, which are Python's already."""
        if type_ is GlobalID:
            return False
        return (
            isinstance(type_, StrawberryEnumDefinition)
            or has_enum_definition(type_)
            or self._is_scalar(type_)
        )

    def _is_scalar(self, type_: Any) -> bool:
        return strawberry.scalars.is_scalar(type_, self._scalars)

    def _slowly(self, type_: Any) -> Convert:
        """Strawberry's own way."""
        return lambda value: convert_argument(value, type_, self._scalars, self._config)


def _unless_absent(convert: Convert) -> Convert:
    return lambda value: value if value is None or value is UNSET else convert(value)


def _as_it_is(value: Any) -> Any:
    return value
