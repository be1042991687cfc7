"""A schema with one of everything, over things whose values are as good or bad as a seed makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Annotated, Any, Generic, TypeVar

import strawberry
from strawberry.schema.config import StrawberryConfig

from domain.viewer import Viewer
from schema.batches import batched
from schema.context import Context as RealContext
from schema.lasting import lasting
from schema.scalars import SCALARS
from schema.types.node import Node

T = TypeVar("T")


@dataclass
class Context:
    """As much of the real one as batches need; ``asked`` lists how many objects each batch was given."""

    viewer: Viewer = field(default_factory=lambda: Viewer("192.0.2.1", "test"))
    asked: list[tuple[str, int]] = field(default_factory=list)
    _gathered: dict[Hashable, Any] = field(default_factory=dict)
    gather = RealContext.gather


class Refused(Exception):
    """What the exception handler tells."""


@strawberry.enum
class Colour(Enum):
    RED = "red"
    GREEN = "green"


@strawberry.type
class Refusal:
    why: str


@strawberry.type
class Other(Node):
    number: int


@lasting
@strawberry.type
class Spot:
    label: str | None
    number: int
    beside: Spot | None = None

    @strawberry.field
    def twice(self) -> int:
        return self.number * 2


SPOTS = [Spot(label=None, number=1), Spot(label="b", number=2), Spot(label="c", number=2**30)]
SPOTS.append(Spot(label="d", number=4, beside=SPOTS[0]))


@strawberry.type
class Page(Generic[T]):
    nodes: list[T]
    maybe: list[T | None]


@strawberry.type
class Thing(Node):
    name: str | None
    colour: Colour
    at: datetime | None
    price: Decimal
    number: int
    ratio: float | None
    flag: bool
    tags: list[str]
    grid: list[list[int | None] | None]
    parent: Thing | None
    below: list[Thing]
    either: Either
    eithers: list[Either | None]
    any_node: Node
    spot: Spot
    spots: list[Spot | None]

    @strawberry.field
    def itself(self) -> Thing:
        return self

    @strawberry.field
    def shouted(self) -> str | None:
        return self.name.upper() if self.name else None

    @strawberry.field
    def fails(self) -> str | None:
        raise RuntimeError(f"{self.id} fails")

    @strawberry.field
    def cannot_be_null(self) -> str:
        raise RuntimeError(f"{self.id} cannot be null")

    @strawberry.field
    async def apart(self, info: strawberry.Info) -> str:
        return f"{self.id} at {info.path.as_list()}" if hasattr(info.path, "as_list") else self.id

    @batched
    @staticmethod
    async def label(
        things: Sequence[Thing], context: Context, prefix: str = "-", of: Colour | None = None
    ) -> list[str]:
        context.asked.append(("label", len(things)))
        return [f"{prefix}{of}{thing.id}" for thing in things]

    @batched
    @staticmethod
    async def friend(things: Sequence[Thing], context: Context) -> list[Thing | None]:
        context.asked.append(("friend", len(things)))
        return [thing.parent for thing in things]

    @batched
    @staticmethod
    async def uneven(things: Sequence[Thing], context: Context) -> list[str]:
        return [RuntimeError("odd") if thing.flag is True else "even" for thing in things]  # type: ignore[misc]


Either = Annotated[Thing | Other, strawberry.union("Either")]
ThingOrRefusal = Annotated[Thing | Refusal, strawberry.union("ThingOrRefusal")]


class _Told:
    exception_type = Refused
    error_type = Refusal

    def handle(self, exception: Refused, *, field: object, info: object) -> Refusal:
        return Refusal(why=str(exception))


def thing(random: Random, depth: int = 3, faults: float = 0.04) -> Any:
    """A thing, now and then with what its type does not allow, or an exception in its place."""

    def odd(value: Any, *others: Any) -> Any:
        return (
            random.choice((None, RuntimeError("bad value"), *others)) if random.random() < faults else value
        )

    def other() -> Any:
        return odd(
            Other(id=strawberry.ID(f"O{random.randrange(9)}"), number=random.randrange(9)), "no object"
        )

    inner = [thing(random, depth - 1, faults) for _ in range(random.randrange(3))] if depth else []
    return odd(
        Thing(
            id=strawberry.ID(f"T{random.randrange(99)}"),
            name=random.choice((None, "a", "b")),
            colour=odd(random.choice(list(Colour)), "red", "blue"),
            at=odd(datetime(2027, 3, 28, 7, tzinfo=UTC), datetime(2027, 3, 28), "then"),  # noqa: DTZ001
            price=odd(Decimal("1.50"), "much"),
            number=odd(random.randrange(9), 2**40, 1.0, "7", True),
            ratio=odd(random.choice((None, 0.5, 1)), float("nan")),
            flag=odd(random.random() < 0.1, 1, "yes"),
            tags=odd([odd("x", 1, object()) for _ in range(random.randrange(3))], "text", ("y",), 5),
            grid=odd([odd([1, None]), odd([])], 3),
            parent=random.choice(inner) if inner else None,
            below=odd(inner),
            either=random.choice((*inner, other())),
            eithers=odd([*inner, other()]),
            any_node=random.choice((*inner, other())),
            spot=odd(random.choice(SPOTS), "no spot"),
            spots=odd([odd(random.choice(SPOTS)) for _ in range(random.randrange(5))]),
        )
    )


@dataclass
class Root:
    """What the root resolvers give."""

    things: list[Any]


@strawberry.type
class Query:
    @strawberry.field
    def thing(self, info: strawberry.Info) -> Thing | None:
        return info.root_value.things[0]  # type: ignore[no-any-return]

    @strawberry.field
    async def things(
        self, info: strawberry.Info, first: int = 2, colour: Colour | None = None
    ) -> list[Thing]:
        return info.root_value.things[:first]  # type: ignore[no-any-return]

    @strawberry.field
    async def page(self, info: strawberry.Info) -> Page[Thing]:
        return Page(nodes=info.root_value.things, maybe=info.root_value.things)

    @strawberry.field
    async def node(self, info: strawberry.Info) -> Node | None:
        return info.root_value.things[-1]  # type: ignore[no-any-return]

    @strawberry.field
    def refused(self) -> ThingOrRefusal:
        raise Refused("not now")

    @strawberry.field
    async def fails(self) -> str | None:
        raise RuntimeError("the root fails")

    @strawberry.field
    async def cannot_be_null(self) -> str:
        raise RuntimeError("the root cannot be null")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def change(self, info: strawberry.Info, name: str = "x") -> ThingOrRefusal:
        info.context.asked.append(("change", 1))
        await asyncio.sleep(0)
        info.context.asked.append(("changed", 1))
        if name == "no":
            raise Refused("no")
        return info.root_value.things[0]  # type: ignore[no-any-return]


stub = strawberry.Schema(
    Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS), exception_handlers=[_Told()]
)
