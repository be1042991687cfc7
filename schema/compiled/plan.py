"""An operation as a tree of columns.

graphql-core walks over objects, and over the fields of each. Here a field is run once for *all* objects of its place
in the document: its values are a column, a scalar's column is written in one go, and the columns become rows again at
the end. What the places are, in which order, and which selections merge, is asked of graphql-core's own
``collect_fields``, once for each way in which @skip and @include can turn out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationType,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor as Execution
from graphql.execution.collect_fields import FieldDetailsList, collect_fields, collect_subfields
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from strawberry.types.field import StrawberryField

from schema.batches import Together, batch_of
from schema.compiled.kept import kept
from schema.compiled.leaves import Unusual, kinds_of, writer
from schema.compiled.literals import Odd, reader
from schema.compiled.resolver import resolver_of
from schema.compiled.steps import Column, Put, Step, around, as_it_is, in_turn
from schema.context import Batch
from schema.lasting import is_lasting

MOST_FIELDS = 1_000
"""Of one plan: a field below an interface or a union is compiled once for each type that can stand there."""

_DEFINITION = "strawberry-definition"


class Uncompiled(Exception):
    """An operation, or something in it, that is left to graphql-core: introspection, several mutations at once, a
    resolver below the root that is no batch and takes more than its object.
    """


class Root:
    """A root field: its resolver runs as graphql-core would run it, what it gives is finished as a column of one."""

    def __init__(self, key: str, parent: GraphQLObjectType, details: FieldDetailsList, plan: Plan) -> None:
        self.key = key
        self._field, self._nodes = plan.field(parent, details)
        self.finish = plan.finish(self._field.type, details)
        self._path = Path(None, key, parent.name)
        self._parent = parent
        self._read = reader(self._field, self._nodes[0])
        self._resolve = resolver_of(plan.schema, self._field)

    def arguments(self, execution: Execution[Any]) -> Mapping[str, Any]:
        """What the resolver is given. Raises GraphQLError."""
        try:
            return self._read(execution.variable_values.coerced)
        except Odd:
            return _arguments(self._field, self._nodes, execution)

    def resolve(self, execution: Execution[Any], arguments: Mapping[str, Any]) -> Any:
        """What the resolver gives, an awaitable as it may be. Raises what it raises."""
        info = execution.build_resolve_info(self._field, self._nodes, self._parent, self._path)
        return self._resolve(execution.root_value, info, **arguments)


class Plan:
    """One operation, for one way in which its @skip and @include turn out. Raises Uncompiled."""

    def __init__(self, execution: Execution[Any]) -> None:
        self._execution = execution
        self.schema = execution.schema
        self.fields = 0
        operation = execution.operation
        parent = execution.schema.get_root_type(operation.operation)
        if parent is None:
            raise Uncompiled
        collected = collect_fields(
            execution.schema, execution.fragments, execution.variable_values, parent, operation
        )
        grouped = collected.grouped_field_set
        if operation.operation is OperationType.MUTATION and len(grouped) > 1:
            raise Uncompiled
        self._count(len(grouped))
        self.keys = list(grouped)
        self.typename = parent.name
        self.roots = [
            Root(key, parent, details, self) for key, details in grouped.items() if not _is_typename(details)
        ]
        del self._execution  # it holds its caller's variables and context

    def field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> tuple[GraphQLField, Any]:
        """A field's definition and its places in the document."""
        found = self._execution.schema.get_field(parent, details[0].node.name.value)
        if found is None or details[0].node.name.value.startswith("__"):
            raise Uncompiled
        return found, [detail.node for detail in details]

    def finish(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Step:
        """What turns values of a type into what stands in the response."""
        if is_non_null_type(type_):
            return self._given(type_.of_type, details)
        return around(self._given(type_, details), _without_nulls)

    def _count(self, fields: int) -> None:
        self.fields += fields
        if self.fields > MOST_FIELDS:
            raise Uncompiled

    def _given(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Step:
        """The same for values of which none may be null."""
        if is_leaf_type(type_):
            write = writer(type_)
            return Step(lambda values, _execution: write(values), shape=())
        if is_list_type(type_):
            return around(self.finish(type_.of_type, details), _without_lists)
        if is_object_type(type_):
            objects = self._objects(type_, details)
            lasts = objects.shape is not None and is_lasting(type_.extensions[_DEFINITION].origin)
            return kept(objects) if lasts else around(objects, _without_repeats)
        if is_abstract_type(type_):
            possible = self._execution.schema.get_possible_types(type_)
            return _by_kind({_class_of(one): self._objects(one, details) for one in possible})
        raise Uncompiled

    def _objects(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Step:
        execution = self._execution
        grouped = collect_subfields(
            execution.schema,
            execution.fragments,
            execution.variable_values,
            execution.operation,
            type_,
            details,
        ).grouped_field_set
        self._count(1 + len(grouped))
        columns = [self._column(type_, key, below) for key, below in grouped.items()]
        rows = _rows(list(grouped))
        judged = _class_of(type_) if type_.is_type_of else None

        def checked(objects: Column) -> Column:
            kinds = kinds_of(objects)
            if judged is not None and kinds != {judged}:
                raise Unusual
            return objects

        shapes = [column.shape for column in columns]
        shape = None if None in shapes else (type_, *grouped, *shapes)
        if not any(column.waits for column in columns):
            runs = [column.run for column in columns]

            def finish(objects: Column, execution: Execution[Any]) -> Column:
                if not objects:
                    return []
                checked(objects)
                return rows(objects, [run(objects, execution) for run in runs])

            return Step(finish, shape=shape)

        async def finish_later(objects: Column, execution: Execution[Any]) -> Column:
            if not objects:
                return []
            checked(objects)
            return rows(objects, [await column.done(objects, execution) for column in columns])

        return Step(finish_later, waits=True)

    def _column(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> Step:
        if _is_typename(details):
            return Step(lambda objects, _execution: [parent.name] * len(objects), shape=parent)
        field, nodes = self.field(parent, details)
        return in_turn(_fetch(parent, key, field, nodes), self.finish(field.type, details))


def _fetch(parent: GraphQLObjectType, key: str, field: GraphQLField, nodes: Any) -> Step:
    """The values of a field, one for each object, in their order."""
    definition = field.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryField):
        raise Uncompiled
    resolver = definition.base_resolver
    together = batch_of(resolver.wrapped_func) if resolver is not None else None
    if together is not None:
        return _batch(parent, key, field, nodes, together)
    each: Callable[[Any], Any]
    if definition.is_basic_field and definition.default_resolver is getattr:
        each = attrgetter(definition.python_name)
    elif resolver is not None and _takes_its_object_alone(definition):
        each = resolver.wrapped_func  # type: ignore[assignment]
    else:
        raise Uncompiled
    return Step(lambda objects, _execution: list(map(each, objects)), shape=definition.python_name)


def _batch(parent: GraphQLObjectType, key: str, field: GraphQLField, nodes: Any, together: Batch) -> Step:
    path, resolve = Path(None, key, parent.name), field.resolve
    assert resolve is not None  # noqa: S101 - Strawberry gives each field one

    async def batch(objects: Column, execution: Execution[Any]) -> Column:
        return list(await together(objects, execution.context_value))

    async def given(objects: Column, execution: Execution[Any]) -> Column:
        info = execution.build_resolve_info(field, nodes, parent, path)
        return list(await resolve(Together(objects), info, **_arguments(field, nodes, execution)))

    return Step(given if nodes and nodes[0].arguments else batch, waits=True)


def _takes_its_object_alone(definition: StrawberryField) -> bool:
    resolver = definition.base_resolver
    if resolver is None or definition.extensions or definition.arguments or definition.is_async:
        return False
    others = (resolver.info_parameter, resolver.parent_parameter, resolver.root_parameter)
    return resolver.self_parameter is not None and not any(others)


def _arguments(field: GraphQLField, nodes: Any, execution: Execution[Any]) -> Mapping[str, Any]:
    if not field.args:
        return {}
    suggest_nothing = execution.hide_suggestions
    return get_argument_values(field, nodes[0], execution.variable_values, None, suggest_nothing)


def _is_typename(details: FieldDetailsList) -> bool:
    return details[0].node.name.value == "__typename"


def _class_of(type_: GraphQLObjectType) -> type:
    """The class whose objects are of this type, and of no other."""
    definition = type_.extensions.get(_DEFINITION)
    if definition is None or definition.concrete_of is not None:
        raise Uncompiled
    origin: type = definition.origin
    return origin


def _without_nulls(values: Column) -> tuple[Column, Put]:
    if type(None) not in set(map(type, values)):
        return values, as_it_is

    def put(done: Column) -> Column:
        given = iter(done)
        return [None if value is None else next(given) for value in values]

    return [value for value in values if value is not None], put


def _without_lists(values: Column) -> tuple[Column, Put]:
    if not kinds_of(values) <= {list, tuple}:
        raise Unusual
    if len(values) == 1:
        return list(values[0]), lambda done: [done]

    def put(done: Column) -> Column:
        rest = iter(done)
        return [list(islice(rest, len(value))) for value in values]

    return list(chain.from_iterable(values)), put


def _without_repeats(values: Column) -> tuple[Column, Put]:
    """The same object twice in a column, such as the offering of many schedules, is finished once."""
    distinct = dict(zip(map(id, values), values, strict=True))
    if len(distinct) == len(values):
        return values, as_it_is

    def put(done: Column) -> Column:
        by_id = dict(zip(distinct, done, strict=True))
        return [by_id[id(value)] for value in values]

    return list(distinct.values()), put


def _by_kind(ways: Mapping[type, Step]) -> Step:
    async def finished(values: Column, execution: Execution[Any]) -> Column:
        done: Column = [None] * len(values)
        for kind in kinds_of(values):
            way = ways.get(kind)
            if way is None:
                raise Unusual
            places = [place for place, value in enumerate(values) if type(value) is kind]
            of_kind = await way.done([values[place] for place in places], execution)
            for place, one in zip(places, of_kind, strict=True):
                done[place] = one
        return done

    return Step(finished, waits=True)


def _rows(keys: Sequence[str]) -> Callable[[Column, Sequence[Column]], Column]:
    """What makes rows of columns: a dict display written for these keys is three times as fast as ``dict(zip())``."""
    if not keys:
        return lambda objects, _columns: [{} for _ in objects]
    names = "".join(f"c{number}, " for number in range(len(keys)))
    pairs = ", ".join(f"{key!r}: c{number}" for number, key in enumerate(keys))
    # The keys are GraphQL names: letters, digits and underscores.
    rows: Callable[[Column, Sequence[Column]], Column] = eval(  # noqa: S307
        f"lambda objects, columns: [{{{pairs}}} for {names}in zip(*columns, strict=True)]"
    )
    return rows
