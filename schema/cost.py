"""What an operation may cost, estimated before it runs; its unit is a field told once.

A list costs its members as often as there may be: what ``first``, ``last`` or the number of ``ids`` says, else what
``SIZES`` says of it. A field at the root costs ``STATEMENTS`` more, for the database. Of the types that an
answer may be, the dearest counts. The estimate is never below what is told, as long as lists are not longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
    is_object_type,
)

MOST = 100
"""Members of a page, and of a list whose length is not known: more is refused elsewhere."""
STATEMENTS = 10
PASSWORD = 5_000
"""A hash of argon2id takes as long as to tell some thousands of fields."""

SIZED_BY = frozenset({"first", "last", "ids"})
SIZES: Mapping[str, int] = {
    "User.memberships": 5,
    "SeatLayout.seats": 100,
    "Schedule.seats": 100,
    "Reservation.seats": 6,
    "Booking.seats": 6,
    "SeatsUnavailable.unavailable": 6,
    "SeatsUnavailable.alternatives": 5,
    "OpenedSchedules.schedules": 30,
    "SeatSnapshot.schedules": 30,
    "SeatDelta.changed": 6,
    "BookingSnapshot.bookings": 100,
    "Delivery.attempts": 20,
    "Query.webhookEndpoints": 100,
    "Query.portals": 5,
    "AutomationJob.steps": 15,
    "AutomationJob.artifacts": 4,
}
"""How long lists of objects are that no argument sizes, on a busy day."""

WEIGHTS: Mapping[str, int] = {
    "Query.__schema": 1_000,
    "Query.__type": 100,
    "Mutation.register": PASSWORD,
    "Mutation.login": PASSWORD,
    "Mutation.changePassword": 2 * PASSWORD,
}
"""Fields that cost something else than a field."""

Polynomial: TypeAlias = dict[tuple[str, ...], int]
"""Factors by the variables they are multiplied with, which are in order; those of () stand alone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation costs, as far as that depends on its variables."""

    fixed: int
    terms: Sequence[tuple[int, Sequence[str]]]
    defaults: Mapping[str, int]

    def of(self, variables: Mapping[str, Any] | None) -> int:
        """The estimate for these variables, right or wrong."""
        total = self.fixed
        for factor, names in self.terms:
            total += factor * prod(self._size(name, variables or {}) for name in names)
        return total

    def _size(self, name: str, variables: Mapping[str, Any]) -> int:
        value = variables.get(name)
        if isinstance(value, list):
            return len(value)
        if isinstance(value, int | float):  # 100.0 is an Int, too (GraphQL, 3.5.1)
            return int(max(0, min(value, MOST)))
        return self.defaults.get(name, MOST)


def cost_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Cost:
    """The cost of a valid operation."""
    root = schema.get_root_type(operation.operation)
    total = _Estimate(schema, fragments).selected(root, [operation.selection_set]) if root else {}
    defaults = {
        node.variable.name.value: _literal(node.default_value)
        for node in operation.variable_definitions or ()
        if node.default_value
    }
    terms = [(factor, names) for names, factor in total.items() if names]
    return Cost(total.get((), 0), terms, defaults)


@dataclass(frozen=True, slots=True)
class _Estimate:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]

    def selected(
        self, parent: GraphQLNamedType, sets: Sequence[SelectionSetNode], page: Polynomial | None = None
    ) -> Polynomial:
        """What a value of that type costs; ``page`` is how many members its lists have, where that was asked for."""
        groups: dict[GraphQLNamedType, dict[str, list[FieldNode]]] = {}
        spread: set[str] = set()
        for selected in sets:
            self._collect(parent, selected, groups, spread)
        shared: Polynomial = {}
        dearest: Polynomial = {}
        for type_, fields in groups.items():
            total: Polynomial = {}
            for nodes in fields.values():
                total = _plus(total, self._field(type_, nodes, page))
            if type_ is not parent and is_object_type(type_):
                dearest = _greater(dearest, total)
            else:
                shared = _plus(shared, total)
        return _plus(shared, dearest)

    def _collect(
        self,
        type_: GraphQLNamedType,
        selected: SelectionSetNode,
        groups: dict[GraphQLNamedType, dict[str, list[FieldNode]]],
        spread: set[str],
    ) -> None:
        """Sort fields by type and name; a fragment counts once, or twenty could stand for a million fields."""
        for node in selected.selections:
            if isinstance(node, FieldNode):
                name = (node.alias or node.name).value
                groups.setdefault(type_, {}).setdefault(name, []).append(node)
                continue
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in spread:
                    continue
                spread.add(node.name.value)
            fragment = self.fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            assert isinstance(fragment, FragmentDefinitionNode | InlineFragmentNode)  # noqa: S101
            condition = fragment.type_condition
            narrowed = self.schema.get_type(condition.name.value) if condition else type_
            self._collect(narrowed or type_, fragment.selection_set, groups, spread)

    def _field(
        self, parent: GraphQLNamedType, nodes: Sequence[FieldNode], page: Polynomial | None
    ) -> Polynomial:
        name = nodes[0].name.value
        coordinate = f"{parent.name}.{name}"
        own = _size_asked_for(nodes[0])
        weight: Polynomial = {(): WEIGHTS.get(coordinate, 1) + STATEMENTS * (parent in self._roots)}
        there = getattr(parent, "fields", {}).get(name)
        if there is None or not is_composite_type(get_named_type(there.type)):
            return weight
        sets = [node.selection_set for node in nodes if node.selection_set]
        below = self.selected(get_named_type(there.type), sets, own)
        if not is_list_type(get_nullable_type(there.type)):
            return _plus(weight, below)
        size = own or page or {(): SIZES.get(coordinate, MOST)}
        return _plus(weight, _times(size, _plus({(): 1}, below)))

    @property
    def _roots(self) -> tuple[GraphQLNamedType | None, ...]:
        return self.schema.query_type, self.schema.mutation_type, self.schema.subscription_type


def _size_asked_for(node: FieldNode) -> Polynomial | None:
    for argument in node.arguments or ():
        if argument.name.value in SIZED_BY:
            value = argument.value
            return {(value.name.value,): 1} if isinstance(value, VariableNode) else {(): _literal(value)}
    return None


def _literal(value: ValueNode) -> int:
    match value:
        case IntValueNode(value=digits):
            return max(0, min(int(digits), MOST))
        case ListValueNode(values=values):
            return len(values)
    return MOST


def _plus(one: Polynomial, other: Polynomial) -> Polynomial:
    return {names: one.get(names, 0) + other.get(names, 0) for names in one.keys() | other.keys()}


def _greater(one: Polynomial, other: Polynomial) -> Polynomial:
    """What is at least both."""
    return {names: max(one.get(names, 0), other.get(names, 0)) for names in one.keys() | other.keys()}


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    product: Polynomial = {}
    for left, factor in one.items():
        for right, more in other.items():
            names = tuple(sorted(left + right))
            product[names] = product.get(names, 0) + factor * more
    return product
