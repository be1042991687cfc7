"""An operation as a tree of columns.

graphql-core walks over objects, and over the fields of each. Here a field is run once for *all* objects of its place
in the document: its values are a column, a scalar's column is written in one go, and the columns become rows again at
the end. What the places are, in which order, and which selections merge, is asked of graphql-core's own
``collect_fields``, once for each way in which @skip and @include can turn out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any, TypeAlias

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

from schema.batches import Together, is_batch
from schema.compiled.leaves import Unusual, kinds_of, writer

MOST_FIELDS = 5_000
"""Of one plan: a field below an interface or a union is compiled once for each type that can stand there."""

Column: TypeAlias = list[Any]
Fetch: TypeAlias = Callable[[Column, Execution[Any]], Awaitable[Column]]
"""The values of a field, one for each object, in their order."""
Finish: TypeAlias = Callable[[Column, Execution[Any]], Awaitable[Column]]
"""What stands in the response for each of these values. Raises whatever goes wrong, and Unusual."""

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

    def arguments(self, execution: Execution[Any]) -> Mapping[str, Any]:
        """What the resolver is given. Raises GraphQLError."""
        return _arguments(self._field, self._nodes, execution)

    def resolve(self, execution: Execution[Any], arguments: Mapping[str, Any]) -> Any:
        """What the resolver gives, an awaitable as it may be. Raises what it raises."""
        info = execution.build_resolve_info(self._field, self._nodes, self._parent, self._path)
        assert self._field.resolve is not None  # noqa: S101 - Strawberry gives each field one
        return self._field.resolve(execution.root_value, info, **arguments)


class Plan:
    """One operation, for one way in which its @skip and @include turn out. Raises Uncompiled."""

    def __init__(self, execution: Execution[Any]) -> None:
        self._execution = execution
        self._fields = 0
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
        self.keys = list(grouped)
        self.typename = parent.name
        self.roots = [
            Root(key, parent, details, self) for key, details in grouped.items() if not _is_typename(details)
        ]
        del self._execution  # it holds its caller's variables and context

    def field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> tuple[GraphQLField, Any]:
        """A field's definition and its places in the document."""
        self._fields += 1
        found = self._execution.schema.get_field(parent, details[0].node.name.value)
        if found is None or details[0].node.name.value.startswith("__") or self._fields > MOST_FIELDS:
            raise Uncompiled
        return found, [detail.node for detail in details]

    def finish(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Finish:
        """How values of a type are finished."""
        if is_non_null_type(type_):
            return self._given(type_.of_type, details)
        return _nullable(self._given(type_, details))

    def _given(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Finish:
        """How values are finished of which none may be null."""
        if is_leaf_type(type_):
            write = writer(type_)

            async def leaves(values: Column, _execution: Execution[Any]) -> Column:
                return write(values)

            return leaves
        if is_list_type(type_):
            return _lists(self.finish(type_.of_type, details))
        if is_object_type(type_):
            return _each_once(self._objects(type_, details))
        if is_abstract_type(type_):
            possible = self._execution.schema.get_possible_types(type_)
            return _by_kind({_class_of(one): self._objects(one, details) for one in possible})
        raise Uncompiled

    def _objects(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Finish:
        execution = self._execution
        grouped = collect_subfields(
            execution.schema,
            execution.fragments,
            execution.variable_values,
            execution.operation,
            type_,
            details,
        ).grouped_field_set
        columns = [self._column(type_, key, below) for key, below in grouped.items()]
        rows = _rows(list(grouped))
        judged = _class_of(type_) if type_.is_type_of else None

        async def finish(objects: Column, execution: Execution[Any]) -> Column:
            if not objects:
                return []
            kinds = kinds_of(objects)
            if judged is not None and kinds != {judged}:
                raise Unusual
            return rows(objects, [await column(objects, execution) for column in columns])

        return finish

    def _column(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> Fetch:
        if _is_typename(details):

            async def named(objects: Column, _execution: Execution[Any]) -> Column:
                return [parent.name] * len(objects)

            return named
        field, nodes = self.field(parent, details)
        fetch, finish = _fetch(parent, key, field, nodes), self.finish(field.type, details)

        async def column(objects: Column, execution: Execution[Any]) -> Column:
            return await finish(await fetch(objects, execution), execution)

        return column


def _fetch(parent: GraphQLObjectType, key: str, field: GraphQLField, nodes: Any) -> Fetch:
    definition = field.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryField):
        raise Uncompiled
    resolver = definition.base_resolver
    if resolver is not None and is_batch(resolver.wrapped_func):
        path, resolve = Path(None, key, parent.name), field.resolve
        assert resolve is not None  # noqa: S101 - Strawberry gives each field one

        async def batch(objects: Column, execution: Execution[Any]) -> Column:
            info = execution.build_resolve_info(field, nodes, parent, path)
            found = await resolve(Together(objects), info, **_arguments(field, nodes, execution))
            return list(found)

        return batch
    each: Callable[[Any], Any]
    if definition.is_basic_field and definition.default_resolver is getattr:
        each = attrgetter(definition.python_name)
    elif resolver is not None and _takes_its_object_alone(definition):
        each = resolver.wrapped_func  # type: ignore[assignment]
    else:
        raise Uncompiled

    async def attribute(objects: Column, _execution: Execution[Any]) -> Column:
        return list(map(each, objects))

    return attribute


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


def _nullable(finish: Finish) -> Finish:
    async def finished(values: Column, execution: Execution[Any]) -> Column:
        if type(None) not in set(map(type, values)):
            return await finish(values, execution)
        given = iter(await finish([value for value in values if value is not None], execution))
        return [None if value is None else next(given) for value in values]

    return finished


def _lists(finish: Finish) -> Finish:
    async def finished(values: Column, execution: Execution[Any]) -> Column:
        if not kinds_of(values) <= {list, tuple}:
            raise Unusual
        done = await finish(list(chain.from_iterable(values)), execution)
        if len(values) == 1:
            return [done]
        rest = iter(done)
        return [list(islice(rest, len(value))) for value in values]

    return finished


def _each_once(finish: Finish) -> Finish:
    """The same object twice in a column, such as the offering of many schedules, is finished once."""

    async def finished(values: Column, execution: Execution[Any]) -> Column:
        distinct = dict(zip(map(id, values), values, strict=True))
        if len(distinct) == len(values):
            return await finish(values, execution)
        done = dict(zip(distinct, await finish(list(distinct.values()), execution), strict=True))
        return [done[id(value)] for value in values]

    return finished


def _by_kind(ways: Mapping[type, Finish]) -> Finish:
    async def finished(values: Column, execution: Execution[Any]) -> Column:
        done: Column = [None] * len(values)
        for kind in kinds_of(values):
            way = ways.get(kind)
            if way is None:
                raise Unusual
            places = [place for place, value in enumerate(values) if type(value) is kind]
            of_kind = await way([values[place] for place in places], execution)
            for place, one in zip(places, of_kind, strict=True):
                done[place] = one
        return done

    return finished


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
