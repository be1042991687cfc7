"""Several processes on one PostgreSQL and one Redis, with the demo in it, and people to try it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from db.caller import ALL_SEEING
from domain.ids import new_id
from holdfast.identity import ISSUER
from holdfast.keys import signing_keys
from holdfast.settings import Settings
from holdfast.tokens import JwtAccessTokens, KeyRing
from schema.ids import decode
from tests.acceptance import documents
from tests.clients import GraphQLHttp, Json
from tests.keys import new_signing_key
from tests.processes import CONSOLE_SCRIPT, Holdfast
from tests.redis_server import RedisServer
from tests.servers import serving

SECRET = "a secret that every process of a test's cluster knows"
BUS, LAB = "deccan-coaches", "norrsken-lab"


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Person:
    """Somebody with an account and a session of which the server's key has signed a token."""

    user_id: UUID
    session_id: UUID
    token: str


@dataclass
class Cluster:
    """Servers ``a`` and ``b``, a worker beside them, and everything they have in common."""

    database_url: str
    redis: RedisServer
    folder: Path
    signing_key: str
    passwords: dict[str, str] = field(default_factory=dict)
    processes: list[Holdfast] = field(default_factory=list)
    _departures: list[Json] = field(default_factory=list)

    @property
    def a(self) -> Holdfast:
        return self.processes[0]

    @property
    def b(self) -> Holdfast:
        return self.processes[1]

    @property
    def worker(self) -> Holdfast:
        return self.processes[2]

    def start(
        self, command: str = "serve", *, program: Sequence[str] = CONSOLE_SCRIPT, **settings: object
    ) -> Holdfast:
        """Start one more process, which is closed with the cluster at the latest."""
        process = Holdfast(
            command,
            self.folder,
            program=program,
            **{
                "database_url": serving(self.database_url),
                "redis_url": self.redis.url,
                "secret": SECRET,
                "jwt_private_key": self.signing_key,
                "database_pool_max": 8,
                "max_active_reservations": 1000,
                "max_active_reservations_per_address": 1000,
                "log_format": "json",
                "log_level": "debug",
                **settings,
            },
        )
        self.processes.append(process)
        return process

    @property
    def said(self) -> str:
        """What all processes that served or worked have said, in no certain order."""
        return "\n".join(process.said for process in self.processes)

    async def departure(self) -> Json:
        """A departure of the demo that no other test has seen, as ``documents.FIND`` gives it."""
        if not self._departures:
            async with GraphQLHttp(self.a.url) as http:
                found = await field_of(http.run(documents.FIND, {"search": {"mode": "SEATED"}}))
            self._departures = found["nodes"]
        return self._departures.pop()

    def token(self, user_id: UUID, session_id: UUID, life: timedelta) -> str:
        """An access token as a server of the cluster would sign it."""
        settings = Settings(jwt_private_key=SecretStr(self.signing_key))
        return (
            JwtAccessTokens(KeyRing(lambda: signing_keys(settings)), ISSUER)
            .sign(user_id, session_id, life)
            .text
        )

    async def person(self, life: timedelta = timedelta(minutes=30)) -> Person:
        """Somebody new, made without hashing a password."""
        account, session = new_id(), new_id()
        async with self.database() as database:
            await database.execute(
                "INSERT INTO account (id, email, password_hash) VALUES ($1, $2, 'none')",
                account,
                f"{account.hex}@people.example",
            )
            await database.execute(
                "INSERT INTO session (id, account_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')",
                session,
                account,
            )
        return Person(account, session, self.token(account, session, life))

    async def sign_in(self, name: str, server: Holdfast | None = None) -> Json:
        """A session of one of the demo's people: customer, provider, staff, admin."""
        async with GraphQLHttp((server or self.a).url) as http:
            variables = {"email": f"{name}@demo.example", "password": self.passwords[name]}
            session: Json = await field_of(http.run(documents.LOGIN, variables))
            return session

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        """A look at the tables."""
        connection = await asyncpg.connect(self.database_url, server_settings=ALL_SEEING)
        try:
            yield connection
        finally:
            await connection.close()

    async def seats(self, schedule: Json) -> str:
        """What the table says of a schedule's seats, a character a seat, as ``seatString`` does."""
        async with self.database() as database:
            return await seats_of(database, schedule)

    async def let_time_pass(self, reservation: str, by: timedelta) -> None:
        """Let a reservation and its hold be older than they are."""
        its = decode(reservation, "Reservation")[1]
        async with self.database() as database, database.transaction():
            for statement in (
                "UPDATE reservation SET expires_at = expires_at - $2::interval WHERE id = $1",
                "UPDATE allocation SET held_until = held_until - $2::interval WHERE reservation_id = $1",
            ):
                await database.execute(statement, its, by)


@contextmanager
def running_cluster(database_url: str, folder: Path) -> Iterator[Cluster]:
    """Two servers and a worker that serve the demo."""
    redis = RedisServer()
    asyncio.run(redis.__aenter__())
    made = Cluster(database_url, redis, folder, new_signing_key())
    try:
        with Holdfast("seed", folder, database_url=serving(database_url), secret=SECRET) as seed:
            for command in ("serve", "serve", "worker"):
                made.start(command)
            assert seed.ended(30) == 0, seed.said
            made.passwords = seed.passwords
        for process in made.processes:
            process.ready()
        yield made
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Holdfast.close, made.processes))
        asyncio.run(redis.__aexit__(None, None, None))


async def seats_of(database: Connection, schedule: Json) -> str:
    """The seats of a schedule as ``Cluster.seats`` gives them."""
    rows = await database.fetch(
        "SELECT seat, status FROM allocation WHERE schedule_id = $1"
        " AND (status <> 'HELD' OR held_until > clock_timestamp())",
        decode(schedule["id"], "Schedule")[1],
    )
    seats = ["A"] * schedule["counts"]["total"]
    for row in rows:
        seats[row["seat"]] = {"HELD": "H", "BOOKED": "B", "BLOCKED": "X"}[row["status"]]
    return "".join(seats)


async def field_of(answer: Awaitable[Json]) -> Any:
    """Wait for an answer and give the value of its only field; an error in it fails the test."""
    return value_of(await answer)


def value_of(answer: Json) -> Any:
    """The value of an answer's only field."""
    assert "errors" not in answer, answer["errors"]
    return next(iter(answer["data"].values()))
