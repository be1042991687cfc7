"""A small house to stand behind the transport: its sources are pulled, stopped and counted by the tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import strawberry
from strawberry.scalars import JSON

from domain.errors import Forbidden, NotFound, Unauthenticated
from domain.viewer import Viewer
from schema.sharing import Shared


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event to wait for; longer than it takes, for others use the machine too."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


Info = strawberry.Info["Context", None]


@dataclass
class House:
    """What the tests look at."""

    counts: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    contexts: list[Context] = field(default_factory=list)
    number: int = 0
    number_is_own: bool = False
    """Whether the next number is for each watcher alone."""

    async def set(self, number: int) -> None:
        """Tell all who watch the number."""
        self.number = number
        async with self.changed:
            self.changed.notify_all()

    def forget(self) -> None:
        self.number, self.number_is_own = 0, False
        self.counts.clear()
        self.contexts.clear()
        self.gate.clear()

    async def count(self, what: str) -> None:
        self.counts[what] += 1
        async with self.changed:
            self.changed.notify_all()

    async def reached(self, what: str, times: int = 1) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: self.counts[what] >= times)


@dataclass
class Context:
    viewer: Viewer
    house: House
    place: Any = None


class Sessions:
    """Ends sessions when told."""

    def __init__(self) -> None:
        self.watched: dict[UUID, list[Callable[[], None]]] = {}

    def watch(self, session_id: UUID, ended: Callable[[], None]) -> Callable[[], None]:
        watchers = self.watched.setdefault(session_id, [])
        watchers.append(ended)
        return lambda: watchers.remove(ended) if ended in watchers else None

    def end(self, session_id: UUID) -> None:
        for ended in list(self.watched.get(session_id, ())):
            ended()

    @property
    def watching(self) -> int:
        return sum(map(len, self.watched.values()))


@dataclass
class Tokens:
    """Hands out tokens and knows them again."""

    known: dict[str, tuple[UUID, UUID, datetime]] = field(default_factory=dict)
    ada: UUID = field(default_factory=uuid4)
    bob: UUID = field(default_factory=uuid4)
    failure: Exception | None = None

    def new(self, user: UUID, lives: float = 1800, session: UUID | None = None) -> str:
        token = uuid4().hex
        self.known[token] = (user, session or uuid4(), datetime.now(UTC) + timedelta(seconds=lives))
        return token

    def session(self, token: str) -> UUID:
        return self.known[token][1]

    async def authenticate(self, authorization: str | None, address: str, request_id: str) -> Viewer:
        if self.failure is not None:
            raise self.failure
        if authorization is None:
            return Viewer(address, request_id)
        user, session, expires = self.known.get(authorization.removeprefix("Bearer "), (None, None, None))
        if user is None or expires is None or expires < datetime.now(UTC):
            raise Unauthenticated("Sign in.")
        return Viewer(address, request_id, user, session, expires)


@strawberry.type
class Item:
    id: int

    @strawberry.field
    def item(self) -> Item:
        return self


@strawberry.input(one_of=True)
class Choice:
    left: strawberry.Maybe[int]
    right: strawberry.Maybe[int]


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def item(self) -> Item:
        return Item(id=1)

    @strawberry.field
    def choose(self, choice: Choice) -> str:
        return "chosen"

    @strawberry.field
    def take(self, number: int = 1) -> int:
        return number

    @strawberry.field
    def user(self, info: Info) -> str | None:
        info.context.house.contexts.append(info.context)
        user_id = info.context.viewer.user_id
        return None if user_id is None else str(user_id)

    @strawberry.field
    def boom(self) -> str:
        raise RuntimeError("secret of the house")

    @strawberry.field
    def denied(self) -> str | None:
        raise Forbidden("Not yours.", needs="STAFF")

    @strawberry.field
    def refused(self) -> str | None:
        raise NotFound("No such seat.")

    @strawberry.field
    def unsayable(self) -> JSON:
        return JSON({"huge": 2**70})

    @strawberry.field
    async def slow(self, info: Info) -> str:
        house = info.context.house
        await house.count("slow started")
        try:
            await house.gate.wait()
        except asyncio.CancelledError:
            house.counts["slow cancelled"] += 1
            raise
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def write(self, info: Info) -> int:
        house = info.context.house
        await house.count("write started")
        await house.gate.wait()
        await house.count("write finished")
        return 1


@strawberry.type
class Number:
    value: int

    @strawberry.field
    def text(self, info: Info, size: int = 1) -> str:
        info.context.house.counts["number executed"] += 1
        return "x" * size


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def number(self, info: Info, of: str = "all", since: int = 0) -> AsyncGenerator[Number, None]:
        """The number as it is, then as it changes; who does not keep up is told the newest."""
        context, house = info.context, info.context.house
        place = context.place
        await house.count("number begun")
        try:
            if place is None:
                place = house.number
                yield Number(value=place)
            if place == house.number:
                yield cast("Number", Shared(of, place))
            while True:
                async with house.changed:
                    while house.number <= place:
                        await house.changed.wait()
                place = house.number
                told = Number(value=place)
                if house.number_is_own:
                    yield told
                    yield cast("Number", Shared(of, place))
                else:
                    yield cast("Number", Shared(of, place, told))
        finally:
            await house.count("number closed")

    @strawberry.subscription
    async def ticks(self, info: Info, count: int = 3) -> AsyncGenerator[int, None]:
        for tick in range(count):
            await info.context.house.count("tick pulled")
            yield tick

    @strawberry.subscription
    async def flood(self, info: Info, size: int = 100_000) -> AsyncGenerator[str, None]:
        house = info.context.house
        try:
            while True:
                house.counts["flood pulled"] += 1
                yield "x" * size
        finally:
            await house.count("flood closed")

    @strawberry.subscription
    async def quiet(self, info: Info) -> AsyncGenerator[int, None]:
        house = info.context.house
        try:
            yield 0
            await house.gate.wait()
            yield 1
        finally:
            await house.count("quiet closed")

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 0
        raise RuntimeError("secret of the house")

    @strawberry.subscription
    async def forbidden(self) -> AsyncGenerator[int, None]:
        raise Forbidden("Not yours.")
        yield 0


def toy_schema(**options: Any) -> strawberry.Schema:
    return strawberry.Schema(Query, Mutation, Subscription, **options)
