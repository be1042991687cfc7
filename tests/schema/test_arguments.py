"""Arguments that were worked out once are those that graphql-core and Strawberry work out each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputType,
    GraphQLString,
    OperationDefinitionNode,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    parse,
)
from graphql.execution.values import get_argument_values, get_variable_values
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from strawberry.types.arguments import convert_arguments

from schema.compiled.inputs import Inputs
from schema.compiled.literals import Odd, reader
from schema.root import schema

ROOTS = (schema._schema.query_type, schema._schema.mutation_type, schema._schema.subscription_type)
FIELDS = [field for root in ROOTS if root is not None for field in root.fields.items() if field[1].args]
SCALARS = {
    "Int": "7",
    "Float": "0.5",
    "Boolean": "true",
    "DateTime": '"2027-03-28T07:00:00Z"',
    "LocalDateTime": '"2027-03-28T07:00:00"',
}


class Writer:
    """Writes a field with arguments, good and bad ones, some as variables, which are declared as it goes."""

    def __init__(self, random: Random, faults: float) -> None:
        self.random = random
        self.faults = faults
        self.declared: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def field(self, name: str, field: GraphQLField) -> str:
        given = [
            f"{argument}: {self.literal(definition.type)}"
            for argument, definition in field.args.items()
            if self._is_there(definition.type)
        ]
        declared = ", ".join(f"${name}: {type_}" for name, type_ in self.declared.items())
        arguments = f"({', '.join(given)})" if given else ""
        return f"query{f'({declared})' if declared else ''} {{ {name}{arguments} }}"

    def literal(self, type_: GraphQLInputType) -> str:
        if self.random.random() < 0.3:
            return self._variable(type_)
        if not is_non_null_type(type_):
            return "null" if self.random.random() < 0.2 else self._of(type_, self.literal, ": ", "")
        return (
            "null" if self.random.random() < self.faults else self._of(type_.of_type, self.literal, ": ", "")
        )

    def json(self, type_: GraphQLInputType) -> Any:
        text = self._json(type_)
        return eval(text, {"true": True, "null": None})

    def _json(self, type_: GraphQLInputType) -> str:
        if not is_non_null_type(type_):
            return "null" if self.random.random() < 0.2 else self._of(type_, self._json, '": ', '"')
        return (
            "null" if self.random.random() < self.faults else self._of(type_.of_type, self._json, '": ', '"')
        )

    def _of(self, type_: Any, inner: Callable[[Any], str], colon: str, quote: str) -> str:
        if is_list_type(type_):
            return f"[{', '.join(inner(type_.of_type) for _ in range(self.random.randrange(3)))}]"
        if is_input_object_type(type_):
            fields = [one for one in type_.fields.items() if self._is_there(one[1].type)]
            if type_.extensions["strawberry-definition"].is_one_of and self.random.random() >= self.faults:
                fields = [self.random.choice(list(type_.fields.items()))]
            return f"{{{', '.join(f'{quote}{name}{colon}{inner(one.type)}' for name, one in fields)}}}"
        if is_enum_type(type_):
            return f"{quote}{self.random.choice(list(type_.values))}{quote}"
        return SCALARS.get(type_.name, '"text"') if self.random.random() >= self.faults / 4 else "17.25"

    def _variable(self, type_: GraphQLInputType) -> str:
        name = f"v{len(self.declared)}"
        if not is_non_null_type(type_) or self.random.random() < self.faults:
            if self.random.random() < 0.7:
                self.values[name] = self.json(type_)
        else:
            self.values[name] = self.json(type_)
        self.declared[name] = str(type_).removesuffix("!") if self.values.get(name) is None else str(type_)
        return f"${name}"

    def _is_there(self, type_: GraphQLInputType) -> bool:
        return self.random.random() < (1 - self.faults if is_non_null_type(type_) else 0.6)


def outcome(of: Callable[[], Any]) -> Any:
    try:
        return of()
    except Exception as error:
        return type(error), str(error)


def compared(seed: int, faults: float) -> str:
    """How one random call went; it fails where the ways differ."""
    random = Random(seed)
    name, field = random.choice(FIELDS)
    writer = Writer(random, faults)
    (operation,) = parse(writer.field(name, field)).definitions
    assert isinstance(operation, OperationDefinitionNode)
    variables = get_variable_values(schema._schema, operation.variable_definitions or (), writer.values)
    if isinstance(variables, list):
        return "no variables"
    (node,) = operation.selection_set.selections
    assert isinstance(node, FieldNode)
    theirs = outcome(lambda: get_argument_values(field, node, variables))
    ours = outcome(lambda: reader(field, node)(variables.coerced))
    if isinstance(ours, tuple) and ours[0] is Odd:
        return "odd"
    assert ours == theirs
    if isinstance(ours, tuple):
        return "refused"
    definition = field.extensions["strawberry-definition"]
    converter = schema.schema_converter
    assert repr(outcome(lambda: Inputs(schema).arguments(definition)(ours))) == repr(
        outcome(
            lambda: convert_arguments(ours, definition.arguments, converter.scalar_registry, converter.config)
        )
    )
    return "told"


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.1)))
@tried(max_examples=400, deadline=None)
def test_any_arguments_are_those_that_the_slow_way_gives(seed: int, faults: float) -> None:
    compared(seed, faults)


def test_most_random_arguments_need_no_slow_way() -> None:
    found = Counter(compared(seed, 0.0) for seed in range(300))
    assert found["told"] > 200, found


def test_a_scalar_in_which_variables_may_stand_is_left_to_graphql_core() -> None:
    field = GraphQLField(GraphQLString, {"of": GraphQLArgument(schema._schema.type_map["JSON"])})  # type: ignore[arg-type]
    (operation,) = parse("query ($a: Int) { one(of: {deep: [$a]}) }").definitions
    (node,) = operation.selection_set.selections  # type: ignore[attr-defined]
    with pytest.raises(Odd):
        reader(field, node)({"a": 1})
