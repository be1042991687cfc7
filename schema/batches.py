"""Fields that are resolved for a whole list at once: a statement a list, and no future for each of its objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import strawberry

from schema.context import Batch, Info


@dataclass(frozen=True, slots=True)
class Together:
    """All objects of one place in a document, which a compiled operation gives to a batch in place of one."""

    objects: Sequence[Any]


def batched(batch: Callable[..., Any]) -> Any:
    """The field of a batch, a static method: ``async (objects, context, **arguments) -> list[Item]``, one an object.

    A compiled operation calls it once for all objects; under graphql-core, which asks for each by itself, those asked
    for at the same time are gathered. Either way it reads for all of them at once. An item may be an exception, which
    is then that object's error.
    """
    function = cast("staticmethod[..., Any]", batch).__func__
    arguments = list(inspect.signature(function).parameters.values())[2:]

    async def resolve(self: Any, info: Info, **given: Any) -> Any:
        if isinstance(self, Together):
            return await function(self.objects, info.context, **given)
        return await info.context.gather(function, self, given)

    resolver: Any = wraps(function)(resolve)
    del resolver.__wrapped__  # its signature is not that of the field
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [inspect.Parameter("self", kind), inspect.Parameter("info", kind, annotation=Info)]
    resolver.__signature__ = inspect.Signature([*own, *arguments], return_annotation=_item_of(function))
    hints = {one.name: one.annotation for one in arguments}
    resolver.__annotations__ = {"info": Info, **hints, "return": _item_of(function)}
    resolver.batch = function
    return strawberry.field(resolver)


def batch_of(resolver: object) -> Batch | None:
    """The batch behind a field's resolver, None where there is none."""
    found: Batch | None = getattr(resolver, "batch", None)
    return found


def _item_of(function: Callable[..., Any]) -> str:
    """The item's type as text, for it may be a class that is only being made."""
    listed: str = function.__annotations__["return"]
    assert listed.startswith("list[")  # noqa: S101 - what a batch gives
    return listed.removeprefix("list[").removesuffix("]")
