"""The schema is what is committed, and keeps every promise of contract.tsv: names, arguments, types.

A line of contract.tsv is ``kind type member arguments is``, written in GraphQL's own notation. More than it lists
may be there; what it lists may only become more certain for who reads and less demanding for who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_list_type,
    is_required_argument,
    is_required_input_field,
    print_ast,
)
from graphql.type import get_nullable_type

from schema.root import schema

PRINTED = Path(__file__).parents[2] / "schema/schema.graphql"
PROMISED = [
    line.split("\t") for line in Path(__file__).with_name("contract.tsv").read_text().splitlines()[1:]
]

WHOLE_LISTS = {
    "nodes", "seats", "memberships", "schedules", "bookings", "changed", "unavailable", "alternatives", "path",
    "scopes", "portals", "steps", "artifacts", "webhookEndpoints", "types", "attempts",
}  # fmt: skip
"""Lists that are given whole: each is bounded by a layout, a call or a window of days."""
NO_KEY = {"register", "login", "refreshSession", "logout", "changePassword", "switchPortal"}
"""Of these the contract has no key: their answer is a secret, which is not kept to be told again. And to switch off
what is off changes nothing."""
LIVE = {"qrCodes", "automationScreen"}
"""Streams of what is in no log: what was missed is worth nothing, so there is no place to go on from."""

built = build_schema(PRINTED.read_text())


def test_the_committed_schema_is_what_the_code_prints() -> None:
    assert PRINTED.read_text().rstrip() == schema.as_str().rstrip(), (
        "run: holdfast schema > schema/schema.graphql"
    )


def _promised(kind: str) -> list[Sequence[str]]:
    return [line[1:] for line in PROMISED if line[0] == kind]


@pytest.mark.parametrize(("type_name", "field", "arguments", "promised"), _promised("field"))
def test_a_field_gives_what_was_promised_for_what_was_promised(
    type_name: str, field: str, arguments: str, promised: str
) -> None:
    there = _fields(type_name)[field]
    assert str(there.type) in (promised, f"{promised}!")
    wanted = dict(argument.split(": ", 1) for argument in arguments.split(", ") if argument)
    for name, type_ in wanted.items():
        assert _taken(there.args[name]) == type_
    assert [
        name for name, more in there.args.items() if name not in wanted and is_required_argument(more)
    ] == []


@pytest.mark.parametrize(("type_name", "field", "_", "promised"), _promised("input"))
def test_an_input_takes_what_was_promised(type_name: str, field: str, _: str, promised: str) -> None:
    input_ = built.type_map[type_name]
    assert isinstance(input_, GraphQLInputObjectType)
    assert _taken(input_.fields[field]) == promised


@pytest.mark.parametrize("type_name", sorted({line[0] for line in _promised("input")}))
def test_an_input_demands_no_more_than_was_promised(type_name: str) -> None:
    input_ = built.type_map[type_name]
    assert isinstance(input_, GraphQLInputObjectType)
    known = {line[1] for line in _promised("input") if line[0] == type_name}
    assert {name for name, field in input_.fields.items() if is_required_input_field(field)} <= known
    assert input_.is_one_of == (type_name in {line[0] for line in _promised("oneof")})


@pytest.mark.parametrize(
    ("kind", "type_name", "member"),
    [
        (kind, name, member)
        for kind, name, member, *_ in PROMISED
        if kind in ("enum", "union", "implements", "scalar")
    ],
)
def test_values_members_interfaces_and_scalars_are_there(kind: str, type_name: str, member: str) -> None:
    type_ = built.type_map[type_name]
    there: dict[str, Callable[[], bool]] = {
        "enum": lambda: member in type_.values if isinstance(type_, GraphQLEnumType) else False,
        "union": lambda: member in _members(type_name),
        "implements": lambda: member in {i.name for i in _object(type_name).interfaces},
        "scalar": lambda: True,
    }
    assert there[kind]()


def test_every_list_is_a_connection_or_whole_on_purpose() -> None:
    for name, field in _output_fields():
        if is_list_type(get_nullable_type(field.type)) and name.split(".")[1] not in WHOLE_LISTS:
            pytest.fail(f"{name} is a list without pages")
        if "first" in field.args:
            connection = _object(get_named_type(field.type).name)
            assert set(connection.fields) == {"edges", "nodes", "pageInfo"}
            edge = _object(get_named_type(connection.fields["edges"].type).name)
            assert {n: str(f.type) for n, f in edge.fields.items() if n == "cursor"} == {"cursor": "String!"}
            assert f"[{edge.fields['node'].type}]!" == str(connection.fields["nodes"].type)
            assert str(field.args["first"].type) == "Int!"


@pytest.mark.parametrize("mutation", sorted(built.mutation_type.fields if built.mutation_type else ()))
def test_a_mutation_takes_one_input_and_answers_with_a_union_of_one_result_and_refusals(
    mutation: str,
) -> None:
    field = _fields("Mutation")[mutation]
    assert list(field.args) == ["input"]
    input_ = get_named_type(field.args["input"].type)
    assert isinstance(input_, GraphQLInputObjectType)
    assert ("idempotencyKey" in input_.fields) == (mutation not in NO_KEY)
    members = [_object(member) for member in _members(get_named_type(field.type).name)]
    assert [m.name for m in members if "Refusal" not in {i.name for i in m.interfaces}] == [members[0].name]
    if mutation not in NO_KEY:
        assert "IdempotencyMismatch" in {member.name for member in members}


def test_every_message_of_a_stream_has_its_cursor_and_resync_is_one_of_them() -> None:
    for name, field in _fields("Subscription").items():
        if name in LIVE:
            continue
        members = _members(get_named_type(field.type).name)
        assert "Resync" in members, name
        for member in members:
            assert "StreamMessage" in {i.name for i in _object(member).interfaces}, member


def _output_fields() -> Iterator[tuple[str, GraphQLField]]:
    for name, type_ in built.type_map.items():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__"):
            if name.endswith("Connection"):
                continue
            for field, there in type_.fields.items():
                yield f"{name}.{field}", there


def _fields(type_name: str) -> dict[str, GraphQLField]:
    type_ = built.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
    return dict(type_.fields)


def _object(type_name: str) -> GraphQLObjectType:
    type_ = built.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    return type_


def _members(type_name: str) -> list[str]:
    type_ = built.type_map[type_name]
    assert isinstance(type_, GraphQLUnionType)
    return [member.name for member in type_.types]


def _taken(place: GraphQLArgument | GraphQLInputField) -> str:
    """The type as it is taken; a default of null says no more than that it may be left out."""
    default = place.ast_node.default_value if place.ast_node else None
    written = "" if default is None or default.kind == "null_value" else f" = {print_ast(default)}"
    return f"{place.type}{written}"
