from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from pydantic import SecretStr

from domain.errors import Unauthenticated
from domain.sessions import Claims
from holdfast.keys import rotate, signing_keys
from holdfast.settings import Settings, SettingsRefused
from holdfast.tokens import LONGEST, REMEMBERED, JwtAccessTokens, KeyRing
from tests.keys import new_signing_key

USER, SESSION = uuid4(), uuid4()
LIFE = timedelta(minutes=30)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span).total_seconds()


class Process:
    """The keys and tokens of one process."""

    def __init__(self, settings: Settings) -> None:
        self.clock = Clock()
        self.ring = KeyRing(lambda: signing_keys(settings), self.clock)
        self.tokens = JwtAccessTokens(self.ring, "holdfast", self.clock)

    def sign(self) -> str:
        return self.tokens.sign(USER, SESSION, LIFE).text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def here(settings: Settings) -> Process:
    return Process(settings)


@pytest.fixture
def there(here: Process, settings: Settings) -> Process:
    return Process(settings)


def backdate(settings: Settings, **span: float) -> None:
    """Let time pass for the key files."""
    for path in (settings.data_dir / "keys").glob("*.pem"):
        born = path.stat().st_mtime - timedelta(**span).total_seconds()
        os.utime(path, (born, born))


def kids(process: Process) -> list[str]:
    published: Any = process.ring.jwks()["keys"]
    return [key["kid"] for key in published]


@pytest.mark.feature("S2.26")
def test_a_token_says_who_which_session_and_until_when_to_every_process(
    here: Process, there: Process
) -> None:
    token = here.tokens.sign(USER, SESSION, LIFE)
    assert there.tokens.verify(token.text) == Claims(USER, SESSION, token.expires_at)
    assert token.expires_at == datetime.fromtimestamp(here.clock.now + 1800, UTC)
    payload = jwt.decode(token.text, options={"verify_signature": False})
    assert payload.keys() == {"iss", "sub", "sid", "iat", "exp", "jti"}
    header = jwt.get_unverified_header(token.text)
    assert header == {"alg": "RS256", "kid": here.ring.keys().kid, "typ": "JWT"}
    assert here.sign() != here.sign()


@pytest.mark.feature("S2.5")
def test_anybody_can_check_a_token_with_the_published_keys(here: Process) -> None:
    token = here.sign()
    found = jwt.PyJWKSet.from_dict(dict(here.ring.jwks()))[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, found, algorithms=["RS256"], issuer="holdfast")["sub"] == str(USER)
    keys: Any = here.ring.jwks()["keys"]
    (published,) = keys
    assert published.keys() - {"key_ops"} == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.feature("S3.27")
def test_a_token_ends_to_the_second_however_often_it_was_seen(here: Process) -> None:
    token = here.sign()
    here.clock.forward(minutes=29, seconds=59.9)
    here.tokens.verify(token)
    here.clock.forward(seconds=0.1)
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="run out"):
            here.tokens.verify(token)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _unsigned(token: str, here: Process) -> str:
    return f"{_part({'alg': 'none', 'kid': here.ring.keys().kid})}.{token.split('.')[1]}."


def _signed_with_the_public_key(token: str, here: Process) -> str:
    """The classic: the public key taken for a shared secret."""
    payload = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(payload, "x" * 64, "HS256", headers={"kid": here.ring.keys().kid})


def _another(**changed: object) -> Callable[[str, Process], str]:
    def forge(token: str, here: Process) -> str:
        payload = jwt.decode(token, options={"verify_signature": False}) | changed
        payload = {name: value for name, value in payload.items() if value is not None}
        keys = here.ring.keys()
        return jwt.encode(payload, keys.private, "RS256", headers={"kid": keys.kid})

    return forge


def _changed(token: str, here: Process) -> str:
    head, _, signature = token.split(".")
    other = jwt.decode(token, options={"verify_signature": False}) | {"sub": str(uuid4())}
    return f"{head}.{_part(other)}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        _unsigned,
        _signed_with_the_public_key,
        _changed,
        _another(iss="somebody"),
        _another(iss=None),
        _another(exp=None),
        _another(sid=None),
        _another(sub="not an id"),
        _another(exp=10**30),
        lambda token, here: token.rsplit(".", 1)[0] + ".",
        lambda token, here: "",
        lambda token, here: "å.b.c",
        lambda token, here: "x" * (LONGEST + 1),
        lambda token, here: f"{_part([])}.{_part({})}.x",
        lambda token, here: f"{_part({'alg': 'RS256', 'kid': ['x']})}.{_part({})}.x",
        lambda token, here: jwt.encode({"sub": "x"}, here.ring.keys().private, "RS256"),
    ],
)
def test_what_is_not_quite_a_token_of_ours_is_refused(
    here: Process, forge: Callable[[str, Process], str]
) -> None:
    token = here.sign()
    here.tokens.verify(token)
    with pytest.raises(Unauthenticated, match="sign in again"):
        here.tokens.verify(forge(token, here))


def test_what_is_remembered_of_tokens_is_bounded(here: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REMEMBERED == 10_000
    monkeypatch.setattr("holdfast.tokens.REMEMBERED", 3)
    for _ in range(10):
        here.tokens.verify(here.sign())
    assert len(here.tokens._remembered) == 3


def test_a_rotation_signs_nobody_out_on_any_process(
    here: Process, there: Process, settings: Settings
) -> None:
    old = here.sign()
    new_kid = rotate(settings)
    here.clock.forward(minutes=1)
    new = here.sign()
    assert jwt.get_unverified_header(new)["kid"] == new_kid
    there.clock.forward(seconds=1)
    there.tokens.verify(new)  # not a minute yet, but it meets an id that it does not know
    for process in (here, there):
        process.tokens.verify(old)
        assert kids(process) == [new_kid, jwt.get_unverified_header(old)["kid"]]


def test_an_old_key_stays_until_its_last_token_has_run_out_and_is_then_removed(
    here: Process, settings: Settings
) -> None:
    first = here.ring.keys().kid
    backdate(settings, days=300)
    second = rotate(settings)
    backdate(settings, minutes=31)
    here.clock.forward(minutes=1)
    assert kids(here) == [second, first]
    backdate(settings, minutes=2)
    here.clock.forward(minutes=1)
    assert kids(here) == [second]
    assert [path.stem for path in (settings.data_dir / "keys").glob("*.pem")] == [second]


def test_a_key_that_is_taken_away_takes_its_tokens_with_it_within_a_minute(
    here: Process, settings: Settings
) -> None:
    token = here.sign()
    here.tokens.verify(token)
    rotate(settings)
    (settings.data_dir / "keys" / f"{here.ring.keys().kid}.pem").unlink()
    here.clock.forward(minutes=1)
    with pytest.raises(Unauthenticated):
        here.tokens.verify(token)


def test_tokens_that_name_unknown_keys_make_nobody_read_the_disk_more_than_once_a_second(
    settings: Settings,
) -> None:
    reads, clock = [], Clock()

    def read() -> Any:
        reads.append(clock.now)
        return signing_keys(settings)

    ring = KeyRing(read, clock)
    for _ in range(100):
        clock.forward(seconds=0.1)
        ring.keys("unknown")
    assert 10 <= len(reads) <= 12


def test_keys_that_cannot_be_read_again_change_nothing(settings: Settings) -> None:
    clock, fails = Clock(), False

    def read() -> Any:
        if fails:
            raise PermissionError
        return signing_keys(settings)

    ring = KeyRing(read, clock)
    before = ring.keys()
    fails = True
    clock.forward(minutes=2)
    assert ring.keys() is before


def test_keys_that_the_settings_give_are_rotated_there(tmp_path: Path) -> None:
    given = SecretStr(new_signing_key())
    with pytest.raises(SettingsRefused, match="JWT_PREVIOUS_KEYS"):
        rotate(Settings(data_dir=tmp_path, jwt_private_key=given))
