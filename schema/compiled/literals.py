"""The arguments of a field as they stand in a document, read once: variables are all that a request adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

Read: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""From the variables' values a value, Undefined where there is none. Raises Odd."""


class Odd(Exception):
    """A value that graphql-core is to judge: it refuses it, and says why."""


def reader(field: GraphQLField, node: FieldNode) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What gives the arguments of a field, of variables as graphql-core has coerced them (GraphQL, 6.4.1).

    It raises Odd where they are not as they should be.
    """
    written = {argument.name.value: argument.value for argument in node.arguments or ()}
    return _members(
        {
            definition.out_name or name: _or_default(
                written.get(name), definition, is_required_argument(definition)
            )
            for name, definition in field.args.items()
        }
    )


def _members(members: Mapping[str, Read]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    known = list(members.items())

    def read(variables: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, of in known if (value := of(variables)) is not Undefined}

    return read


def _or_default(
    node: ValueNode | None, definition: GraphQLArgument | GraphQLInputField, required: bool
) -> Read:
    default = coerce_default_value(definition)
    if node is None:
        return _odd if required else lambda _variables: default
    value = _value(node, definition.type)
    if not isinstance(node, VariableNode):
        return value
    name = node.name.value

    def read(variables: Mapping[str, Any]) -> Any:
        if name in variables or required:
            return value(variables)
        return default

    return read


def _value(node: ValueNode, type_: GraphQLInputType) -> Read:
    if isinstance(node, VariableNode):
        return _variable(node.name.value, never_null=is_non_null_type(type_))
    if is_non_null_type(type_):
        return _odd if isinstance(node, NullValueNode) else _value(node, type_.of_type)
    if isinstance(node, NullValueNode):
        return lambda _variables: None
    if is_list_type(type_):
        return _list(node, type_)
    if is_input_object_type(type_):
        return _object(node, type_)

    if isinstance(node, ListValueNode | ObjectValueNode):
        return _odd  # a scalar of its own kind, in which there may be variables
    value = coerce_input_literal(node, type_)
    if isinstance(value, str | int | float):
        return lambda _variables: value
    return lambda _variables: _there(coerce_input_literal(node, type_))


def _variable(name: str, *, never_null: bool) -> Read:
    def read(variables: Mapping[str, Any]) -> Any:
        value = variables.get(name, Undefined)
        return _there(value) if value is not None or not never_null else _odd(variables)

    return read


def _list(node: ValueNode, type_: GraphQLList[Any]) -> Read:
    nodes = node.values if isinstance(node, ListValueNode) else (node,)
    items = [_value(one, type_.of_type) for one in nodes]
    return lambda variables: [item(variables) for item in items]


def _object(node: ValueNode, type_: GraphQLInputObjectType) -> Read:
    if not isinstance(node, ObjectValueNode):
        return _odd
    written = {field.name.value: field.value for field in node.fields}
    if not written.keys() <= type_.fields.keys() or type_.is_one_of:
        return _odd  # Strawberry's @oneOf is not graphql-core's: ``out_type`` looks after it
    members = _members(
        {
            field.out_name or name: _or_default(written.get(name), field, is_required_input_field(field))
            for name, field in type_.fields.items()
        }
    )
    make = type_.out_type
    return lambda variables: make(members(variables))


def _there(value: Any) -> Any:
    if value is Undefined:
        raise Odd
    return value


def _odd(_variables: Mapping[str, Any]) -> Any:
    raise Odd
