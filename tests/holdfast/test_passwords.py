from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2.exceptions import VerifyMismatchError

from holdfast.passwords import THREADS, Argon2


@pytest.fixture
def argon2() -> Iterator[Argon2]:
    hasher = Argon2(memory_kib=8, passes=1)
    yield hasher
    hasher.close()


@pytest.mark.feature("S3.24")
async def test_hashes_are_argon2id_with_nineteen_mebibytes_two_passes_and_one_lane() -> None:
    hasher = Argon2()
    assert (await hasher.hash("slow trains at night")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    hasher.close()


async def test_a_hash_knows_its_password_and_no_other(argon2: Argon2) -> None:
    made = await argon2.hash("Ångström bridge")
    assert await argon2.verify(made, "A\u030angstro\u0308m bridge")
    assert not await argon2.verify(made, "angstrom bridge")
    assert await argon2.hash("Ångström bridge") != made


@pytest.mark.parametrize("broken", [None, "", "none", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
async def test_without_a_good_hash_no_password_is_right(argon2: Argon2, broken: str | None) -> None:
    assert not await argon2.verify(broken, "")


async def test_a_missing_hash_costs_the_same_comparison(
    argon2: Argon2, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, type[Exception]]] = []
    original = type(argon2._argon2).verify

    def verify(self: object, hash: str, password: bytes) -> bool:
        try:
            return original(argon2._argon2, hash, password)
        except Exception as error:  # a hash that cannot be read costs nothing, and is another error
            compared.append((hash.rsplit("$", 2)[0], type(error)))
            raise

    monkeypatch.setattr(type(argon2._argon2), "verify", verify)
    await argon2.verify(None, "slow trains at night")
    await argon2.verify(await argon2.hash("x"), "slow trains at night")
    assert compared == [("$argon2id$v=19$m=8,t=1,p=1", VerifyMismatchError)] * 2


async def test_a_hash_of_other_parameters_is_outdated(argon2: Argon2) -> None:
    other = Argon2(memory_kib=16, passes=1)
    made = await argon2.hash("slow trains at night")
    assert not argon2.outdated(made)
    assert other.outdated(made)
    other.close()


async def test_no_more_than_two_are_worked_on_at_once_and_never_on_the_loop(
    argon2: Argon2, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    original = type(argon2._argon2).hash

    def hash_(self: object, password: bytes) -> str:
        seen.add(threading.current_thread().name)
        return original(argon2._argon2, password)

    monkeypatch.setattr(type(argon2._argon2), "hash", hash_)
    await asyncio.gather(*(argon2.hash(f"password {n}") for n in range(50)))
    assert len(seen) <= THREADS == 2
    assert threading.main_thread().name not in seen
