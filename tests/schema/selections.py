"""Random documents over a schema: aliases, fragments, arguments, variables, @skip and @include."""

from __future__ import annotations

from random import Random
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_interface_type,
    is_object_type,
)

VARIABLES = {
    "yes": "Boolean!",
    "no": "Boolean = false",
    "first": "Int = 2",
    "prefix": 'String! = "p"',
    "colour": "Colour",
}


class Documents:
    """One document after another, of one schema."""

    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._schema = schema
        self._random = random
        self._fragments: list[str] = []

    def query(self) -> str:
        """A query; it need not be valid, for two selections of one name may not agree."""
        self._fragments = []
        assert self._schema.query_type
        selected = self._selection(self._schema.query_type, 3)
        body = "\n".join([selected, *self._fragments])
        used = [f"${name}: {kind}" for name, kind in VARIABLES.items() if f"${name}" in body]
        return f"query Q{'(' if used else ''}{', '.join(used)}{')' if used else ''} {body}"

    def variables(self) -> dict[str, Any]:
        """Values for them; some are left out, or wrong."""
        given: dict[str, Any] = {"yes": self._one(True, False)}
        for name, values in {
            "no": (True, False),
            "first": (1, 3, None),
            "prefix": ("q", "r"),
            "colour": ("RED", "GREEN", None, "BLUE" if self._random.random() < 0.05 else "RED"),
        }.items():
            if self._random.random() < 0.5:
                given[name] = self._one(*values)
        return given

    def _selection(self, type_: GraphQLNamedType, depth: int) -> str:
        parts = [self._part(type_, depth) for _ in range(self._random.randrange(1, 5))]
        return "{ " + " ".join(["__typename", *parts] if self._random.random() < 0.5 else parts) + " }"

    def _part(self, type_: GraphQLNamedType, depth: int) -> str:
        fields = type_.fields if is_object_type(type_) or is_interface_type(type_) else {}
        chance = self._random.random()
        if fields and chance < 0.75:
            return self._field(self._random.choice(list(fields.items())), depth)
        inner = self._narrowed(type_)
        body = self._selection(inner, depth - 1) if depth else "{ __typename }"
        if chance < 0.9:
            condition = "" if inner is type_ and self._random.random() < 0.3 else f" on {inner.name}"
            return f"...{condition}{self._directives()} {body}"
        name = f"F{len(self._fragments)}"
        self._fragments.append("")
        self._fragments[int(name[1:])] = f"fragment {name} on {inner.name} {body}"
        return f"...{name}{self._directives()} ...{name}"

    def _field(self, named: tuple[str, GraphQLField], depth: int) -> str:
        name, field = named
        inner = get_named_type(field.type)
        variant = self._random.randrange(3)
        alias = f"{name}{variant}: " if variant else ""
        below = ""
        if is_composite_type(inner):
            below = " " + (self._selection(inner, depth - 1) if depth else "{ __typename }")
        return f"{alias}{name}{self._arguments(field, variant)}{self._directives()}{below}"

    @staticmethod
    def _arguments(field: GraphQLField, variant: int) -> str:
        """The same for the same variant, so that selections merge."""
        values = {
            "first": ("", "2", "$first"),
            "prefix": ("", '"l"', "$prefix"),
            "of": ("", "GREEN", "$colour"),
            "colour": ("", "RED", "$colour"),
        }
        given = [f"{name}: {values[name][variant]}" for name in field.args if values[name][variant]]
        return f"({', '.join(given)})" if given else ""

    def _directives(self) -> str:
        if self._random.random() < 0.75:
            return ""
        return f" @{self._one('skip', 'include')}(if: {self._one('$yes', '$no', 'true', 'false')})"

    def _narrowed(self, type_: GraphQLNamedType) -> GraphQLNamedType:
        if is_abstract_type(type_):
            return self._random.choice([type_, *self._schema.get_possible_types(type_)])
        return type_

    def _one(self, *values: Any) -> Any:
        return self._random.choice(values)
