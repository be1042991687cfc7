"""What is sold and searched: the same for every contestant, made once by ``bench/sql/data.sql``."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from uuid import UUID

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bench.cluster import Cluster
from db.migrate import upgrade
from holdfast.identity import ISSUER
from holdfast.keys import thumbprint
from holdfast.tokens import ALGORITHM
from schema.ids import encode

SQL = Path(__file__).parent / "sql"
EVENINGS = 2_000
BUYERS = 2_000
ROWS, COLUMNS = 25, 20
ORIGIN, DESTINATION = "Mumbai", "Pune"
MAP = EVENINGS - 1
"""The evening whose seat map is read; those before it are for sale."""


def bench_id(kind: int, number: int) -> UUID:
    """The id that ``bench_id`` of the SQL gives."""
    return UUID(f"00000000-0000-700{kind}-8000-{number:012x}")


def schedule_gid(number: int) -> str:
    """The global id of a schedule."""
    return encode("Schedule", bench_id(6, number))


def labels() -> list[str]:
    """The seats of the hall, in the order of their index."""
    return [f"{chr(65 + row)}{column}" for row in range(ROWS) for column in range(1, COLUMNS + 1)]


def pairs() -> list[tuple[str, str]]:
    """The hall's seats, two by two."""
    seats = labels()
    return list(zip(seats[::2], seats[1::2], strict=True))


def fill(cluster: Cluster) -> None:
    """Migrate the cluster's database and put the data in."""
    asyncio.run(upgrade(cluster.dsn()))

    async def filled(connection: asyncpg.Connection) -> None:
        for name in ("data.sql", "reserve.sql"):
            await connection.execute((SQL / name).read_text())
        await connection.execute("VACUUM ANALYZE")

    cluster.run(filled)


@dataclass(frozen=True)
class Buyers:
    """Accounts and the access tokens they show; the keys stand in ``folder``."""

    folder: Path
    count: int = BUYERS
    _key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65537, 2048), repr=False)

    @property
    def private_key(self) -> Path:
        return self.folder / "private.pem"

    @property
    def public_key(self) -> Path:
        return self.folder / "public.pem"

    @cached_property
    def tokens(self) -> list[str]:
        """A token for each account, as Holdfast signs them."""
        key, now = self._key, int(time.time())
        self.private_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public_key.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        kid = thumbprint(key.public_key())
        return [
            jwt.encode(
                {
                    "iss": ISSUER, "sub": str(bench_id(2, number)), "sid": str(bench_id(9, number)),
                    "iat": now, "exp": now + 3600, "jti": f"{number:032x}",
                },
                key, ALGORITHM, headers={"kid": kid},
            )
            for number in range(self.count)
        ]  # fmt: skip
