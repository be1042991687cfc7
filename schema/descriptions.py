"""What GraphiQL shows of a type or a field: the docstring that stands in the code."""

from __future__ import annotations

import inspect

import strawberry
from graphql import GraphQLNamedType, is_input_object_type, is_interface_type, is_object_type

DEFINITION = "strawberry-definition"


def describe(schema: strawberry.Schema) -> strawberry.Schema:
    """Give each type and field without a description its docstring, in place; returns the schema."""
    for type_ in schema._schema.type_map.values():
        definition = type_.extensions.get(DEFINITION)
        if definition is not None and type_.description is None:
            type_.description = _docstring(getattr(definition, "origin", None))
        _describe_fields(type_)
    return schema


def _describe_fields(type_: GraphQLNamedType) -> None:
    if not (is_object_type(type_) or is_interface_type(type_) or is_input_object_type(type_)):
        return
    for field in type_.fields.values():
        definition = field.extensions.get(DEFINITION)
        resolver = getattr(definition, "base_resolver", None)
        if resolver is not None and field.description is None:
            field.description = _docstring(resolver.wrapped_func)


def _docstring(of: object) -> str | None:
    return inspect.cleandoc(of.__doc__) if of is not None and of.__doc__ else None
