from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from pydantic import SecretStr

from holdfast.keys import server_secret, signing_keys, thumbprint
from holdfast.settings import Settings, SettingsRefused
from tests.keys import new_key, private_pem

RFC7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi"
    "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb"
    "9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls"
    "1jF44-csFCur-kEgU8awapJzKnqDKgw"
)
RFC7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    key = jwt.PyJWK({"kty": "RSA", "n": RFC7638_MODULUS, "e": "AQAB", "alg": "RS256"}).key
    assert thumbprint(key) == RFC7638_THUMBPRINT


@pytest.mark.feature("S0.5")
def test_secrets_are_made_once_and_only_ours_to_read(settings: Settings) -> None:
    secret, keys = server_secret(settings), signing_keys(settings)
    assert len(secret) >= 32
    assert server_secret(settings) == secret
    assert signing_keys(settings) == keys
    for path in (settings.data_dir / "secret", settings.data_dir / "keys" / f"{keys.kid}.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(keys)


def test_processes_that_start_at_the_same_time_get_the_same_secrets(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len({keys.kid for keys in threads.map(signing_keys, [settings] * 4)}) == 1
        assert len(set(threads.map(server_secret, [settings] * 8))) == 1


def test_a_token_verifies_with_the_key_that_its_kid_names(settings: Settings) -> None:
    keys = signing_keys(settings)
    token = jwt.encode({"sub": "1"}, keys.private, algorithm="RS256", headers={"kid": keys.kid})
    named = {key.kid: key.public for key in keys.verifying}[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, named, algorithms=["RS256"]) == {"sub": "1"}


def test_a_newer_key_in_the_folder_signs_and_the_older_one_still_verifies(settings: Settings) -> None:
    older = signing_keys(settings)
    new = new_key()
    path = settings.data_dir / "keys" / f"{thumbprint(new.public_key())}.pem"
    path.write_text(private_pem(new))
    os.utime(path, (2**31, 2**31))
    keys = signing_keys(settings)
    assert keys.kid == thumbprint(new.public_key())
    assert [key.kid for key in keys.verifying] == [keys.kid, older.kid]


@pytest.mark.feature("S2.41")
def test_given_keys_win_over_the_folder_as_pem_or_as_path(settings: Settings, tmp_path: Path) -> None:
    current, previous = new_key(), new_key()
    (tmp_path / "previous.pem").write_bytes(
        previous.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    given = Settings(
        data_dir=tmp_path,
        secret=SecretStr("x" * 40),
        jwt_private_key=SecretStr(private_pem(current)),
        jwt_previous_keys=(str(tmp_path / "previous.pem"),),
    )
    keys = signing_keys(given)
    assert server_secret(given) == b"x" * 40
    assert [key.kid for key in keys.verifying] == [
        thumbprint(key.public_key()) for key in (current, previous)
    ]
    assert keys.verifying[1].public == previous.public_key()
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        ("/no/such/key.pem", "cannot be read"),
        ("-----BEGIN nonsense", "no private key"),
        (private_pem(new_key(1024)), "2048 bits"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "must be RSA"),
    ],
    ids=["missing", "nonsense", "short", "elliptic"],
)
def test_a_key_that_cannot_sign_is_refused_without_showing_it(tmp_path: Path, pem: str, words: str) -> None:
    with pytest.raises(SettingsRefused, match=words) as refused:
        signing_keys(Settings(data_dir=tmp_path, jwt_private_key=SecretStr(pem)))
    assert str(refused.value).startswith("HOLDFAST_JWT_PRIVATE_KEY: ")
    assert pem not in str(refused.value)
