from __future__ import annotations

import pytest

from domain.errors import CredentialsRefused, RefusalCode
from domain.passwords import COMMON, MAX_BYTES, MIN_CHARACTERS, must_be_strong, normalized

EMAIL = "anna.berg@sverigebuss.example"


def weakness(password: str) -> str:
    with pytest.raises(CredentialsRefused) as refused:
        must_be_strong(password, EMAIL, ("password",))
    assert refused.value.code is RefusalCode.WEAK_PASSWORD
    assert refused.value.path == ("password",)
    assert password not in refused.value.message
    return refused.value.message


@pytest.mark.feature("S3.24", "S3.52")
@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short-one-1", "at least 12"),
        ("å" * 513 + "bcdef", "at most 1024 bytes"),
        ("PassWord1234", "first that anybody"),
        ("aaaabbbbaaaabbbb", "first that anybody"),
        ("anna.berg@sverigebuss.example", "e-mail address"),
        ("AnnaBerg2026", "e-mail address"),
        ("sverigebuss-1", "e-mail address"),
    ],
)
def test_a_password_that_others_would_try_is_refused_with_what_to_change(password: str, words: str) -> None:
    assert words in weakness(password)


@pytest.mark.parametrize(
    "password", ["blue stapler", "tåget går kl åtta", "anna likes long trains", "x7" * 3 + "qwkvbz"]
)
def test_twelve_characters_of_any_kind_will_do(password: str) -> None:
    must_be_strong(password, EMAIL, ("password",))


def test_the_longest_password_will_do_and_one_byte_more_will_not() -> None:
    longest = ("correct horses " * 100)[:MAX_BYTES]
    must_be_strong(longest, EMAIL, ("password",))
    weakness(longest + "x")


def test_every_common_password_is_one_that_length_alone_would_let_pass() -> None:
    assert all(len(password) >= MIN_CHARACTERS and password == password.casefold() for password in COMMON)


def test_one_password_typed_on_two_keyboards_is_one() -> None:
    assert normalized("Ångström bridge") == normalized("A\u030angstro\u0308m bridge")
