"""What is executed once for many: only what is the same for all of them, and only for those who asked the same."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import GraphQLObjectType, get_named_type, parse

from schema.root import schema
from schema.sharing import channel_of


def told_with(name: str, seen: set[str]) -> Iterator[GraphQLObjectType]:
    """The type of that name, and all object types that can be selected below it."""
    kind = schema._schema.type_map[name]
    if isinstance(kind, GraphQLObjectType) and name not in seen:
        seen.add(name)
        yield kind
        for field in kind.fields.values():
            yield from told_with(get_named_type(field.type).name, seen)


def test_what_everybody_is_told_depends_on_nobody() -> None:
    """No field of a delta has a resolver that could look at its caller, or an argument."""
    kinds = list(told_with("SeatDelta", set()))
    assert {kind.name for kind in kinds} == {"SeatDelta", "SeatCounts", "SeatChange"}
    for kind in kinds:
        for name, field in kind.fields.items():
            assert field.extensions["strawberry-definition"].is_basic_field, f"{kind.name}.{name}"
            assert not field.args, f"{kind.name}.{name}"


def test_a_channel_is_what_was_asked_and_not_where_one_began() -> None:
    tree = parse("""
      subscription ($id: ID!, $after: Cursor, $wide: Boolean!) {
        seatChanges(target: {scheduleId: $id}, after: $after) { __typename @skip(if: $wide) }
      }
    """)
    one = channel_of(tree, None, {"id": "1", "after": "x", "wide": True}, "here")
    assert one == channel_of(tree, None, {"wide": True, "after": None, "id": "2"}, "here")
    others = [
        channel_of(tree, None, {"wide": False}, "here"),
        channel_of(tree, None, {"wide": True}, "there"),
        channel_of(tree, "Named", {"wide": True}, "here"),
        channel_of(parse("subscription ($wide: Boolean!) { x }"), None, {"wide": True}, "here"),
    ]
    assert one not in others


def test_a_variable_counts_wherever_a_selection_may_depend_on_it() -> None:
    """In a fragment, and on the root field itself, even where that is more than needed."""
    for document in (
        "subscription ($v: Int) { x @include(if: $v) { y } }",
        "subscription ($v: Int) { x { y(z: $v) } }",
        "subscription ($v: Int) { ...Root } fragment Root on Subscription { x(y: $v) { z } }",
        "subscription ($v: Int) { ... on Subscription { x(y: $v) { z } } }",
        "subscription ($v: Int) { x { ...Part } } fragment Part on X { y @skip(if: $v) }",
    ):
        tree = parse(document)
        assert channel_of(tree, None, {"v": 1}, "") != channel_of(tree, None, {"v": 2}, ""), document
