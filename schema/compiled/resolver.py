"""What Strawberry does around the resolver of a root field, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from inspect import isawaitable
from typing import Any, TypeAlias

from graphql import GraphQLField, GraphQLResolveInfo, GraphQLSchema
from strawberry.extensions.field_extension import FieldExtension, build_field_extension_resolvers
from strawberry.types.field import StrawberryField

from schema.compiled.inputs import Inputs

Resolve: TypeAlias = Callable[..., Any]
"""``(source, info, **arguments)``, as graphql-core calls it."""


def resolver_of(schema: GraphQLSchema, field: GraphQLField) -> Resolve:
    """The field's resolver; Strawberry's own for what is more than an async function of its arguments and ``info``.

    It converts the arguments, goes through the extensions, and has exceptions told that the field's union can tell,
    and differs from Strawberry's in nothing but speed.
    """
    definition, house = (
        field.extensions.get("strawberry-definition"),
        getattr(schema, "_strawberry_schema", None),
    )
    if isinstance(definition, StrawberryField) and house is not None and _is_simple(definition):
        return _simple(definition, house)
    assert field.resolve is not None  # noqa: S101 - Strawberry gives each field one
    return field.resolve


def _is_simple(definition: StrawberryField) -> bool:
    resolver = definition.base_resolver
    if type(definition) is not StrawberryField or resolver is None or not definition.is_async:
        return False
    if definition.is_subscription:
        return False  # of an event it is the event; the resolver gives their source
    if any(type(one).map_arguments is not FieldExtension.map_arguments for one in definition.extensions):
        return False
    return not any((resolver.self_parameter, resolver.parent_parameter, resolver.root_parameter))


@lru_cache(maxsize=256)
def _simple(definition: StrawberryField, house: Any) -> Resolve:
    resolver, converter = definition.base_resolver, house.schema_converter
    assert resolver is not None  # noqa: S101 - it is simple
    convert = Inputs(house).arguments(definition)
    told = converter._get_field_exception_handlers(definition)
    make_info = converter.config.info_class
    told_by = resolver.info_parameter.name if resolver.info_parameter else None

    def innermost(_source: Any, info: Any, **given: Any) -> Any:
        return resolver(**given) if told_by is None else resolver(**given, **{told_by: info})

    run = innermost
    for extension in build_field_extension_resolvers(definition):
        run = partial(extension, run)

    async def resolve(source: Any, raw: GraphQLResolveInfo[Any], **given: Any) -> Any:
        info = make_info(_raw_info=raw, _field=definition)
        try:
            result = run(source, info, **convert(given))
            return await result if isawaitable(result) else result
        except Exception as error:
            for kinds, handler in told:
                if isinstance(error, kinds):
                    instead = handler.handle(error, field=definition, info=info)
                    instead = await instead if isawaitable(instead) else instead
                    if instead is None:
                        raise
                    return instead
            raise

    return resolve
