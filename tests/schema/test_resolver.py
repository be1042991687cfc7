"""A resolver of a root field gives what it gives within Strawberry's own wrappers, and raises what it raises."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension

from schema.compiled.resolver import resolver_of


class Refused(Exception):
    """What is told as a member of the union."""


@strawberry.type
class Done:
    what: str


@strawberry.type
class Refusal:
    why: str


class _Told:
    exception_type = Refused
    error_type = Refusal

    def handle(self, exception: Refused, *, field: object, info: object) -> Refusal | None:
        return None if str(exception) == "untold" else Refusal(why=str(exception))


class Noted(FieldExtension):
    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **given: Any
    ) -> Any:
        done = await next_(source, info, **given)
        return Done(what=f"noted {done.what} of {sorted(given)}") if isinstance(done, Done) else done


@strawberry.input
class Asked:
    number: int
    text: str | None
    way: strawberry.Maybe[int]
    ways: strawberry.Maybe[list[int] | None]
    inner: Asked | None = None
    tags: list[str] = strawberry.field(default_factory=lambda: ["none"])


async def do(info: strawberry.Info, asked: Asked, times: int = 1) -> Done | Refusal:
    if asked.number < 0:
        raise Refused("untold" if asked.number < -1 else asked.text)
    if asked.number == 0:
        raise RuntimeError("zero")
    return Done(what=f"{info.field_name} {asked} {times}")


async def plainly(asked: Asked | None = None) -> str:
    return str(asked)


@strawberry.type
class Query:
    do = strawberry.field(do, extensions=[Noted()])
    plainly = strawberry.field(plainly)


house = strawberry.Schema(Query, exception_handlers=[_Told()])
INPUTS = [
    {"number": 1},
    {"number": 1, "text": "a", "way": 2, "ways": None, "tags": ["x", "y"]},
    {"number": 1, "text": None, "ways": [1], "inner": {"number": 2, "inner": {"number": 3}, "tags": []}},
    {"number": 1, "way": None},
    {"number": -1, "text": "no"},
    {"number": -2},
    {"number": 0},
    None,
]


async def outcome(resolve: Any, name: str, given: dict[str, Any]) -> tuple[str, str]:
    info: Any = type("Raw", (), {"field_name": name})()
    try:
        done = await resolve(None, info, **given)
    except Exception as error:
        return type(error).__name__, str(error)
    return type(done).__name__, str(done)


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("name", ["do", "plainly"])
async def test_a_resolver_gives_what_it_gives_within_the_wrappers_of_strawberry(
    name: str, given: dict[str, Any] | None
) -> None:
    field = house._schema.query_type.fields[name]  # type: ignore[union-attr]
    ours = resolver_of(house._schema, field)
    assert ours is not field.resolve
    theirs = await outcome(field.resolve, name, {"asked": given})
    assert await outcome(ours, name, {"asked": given}) == theirs
