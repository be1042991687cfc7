"""The secrets of one installation: given by the settings, else made at the first start and kept.

``<data_dir>/secret`` is the key of guests' reservation tokens; of ``<data_dir>/keys/<kid>.pem`` the newest
signs access tokens, and all of them verify. All are 0600. A key that a newer one took over from is removed
when no token it signed can be good any more.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from holdfast.settings import Settings, SettingsRefused

SHORTEST_RSA_BITS = 2048

NOTICED_AFTER = timedelta(minutes=1)
"""How long a running process may sign with a key after there is a newer one."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, and its id: the key's RFC 7638 thumbprint."""

    kid: str
    public: RSAPublicKey


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What access tokens are signed with, and every key they are checked with, the signing one first."""

    kid: str
    private: RSAPrivateKey = field(repr=False, compare=False)
    verifying: tuple[VerifyingKey, ...]


def server_secret(settings: Settings) -> bytes:
    """Return the key of guests' reservation tokens, making it at the first start."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    path = settings.data_dir / "secret"
    with _alone(settings.data_dir):
        if not path.exists():
            _keep(path, secrets.token_urlsafe(48))
        return path.read_bytes()


def signing_keys(settings: Settings) -> SigningKeys:
    """Return the keys of access tokens, making the first at the first start.

    Raises:
        SettingsRefused: a key cannot be read, is no RSA key, or is shorter than 2048 bits.

    """
    name = "HOLDFAST_JWT_PREVIOUS_KEYS"
    previous = [_public_key(_pem(given, name), name) for given in settings.jwt_previous_keys]
    if settings.jwt_private_key is not None:
        name = "HOLDFAST_JWT_PRIVATE_KEY"
        current = _private_key(_pem(settings.jwt_private_key.get_secret_value(), name), name)
    else:
        longest = timedelta(minutes=settings.access_token_minutes) + 2 * NOTICED_AFTER
        current, *older = _kept_keys(settings.data_dir / "keys", longest)
        previous += [key.public_key() for key in older]
    return SigningKeys(
        kid=thumbprint(current.public_key()),
        private=current,
        verifying=tuple(VerifyingKey(thumbprint(key), key) for key in (current.public_key(), *previous)),
    )


def rotate(settings: Settings) -> str:
    """Make the key that signs from now on, and return its id; the others verify as long as that is needed.

    Raises:
        SettingsRefused: the keys are given by the settings, so that is where they change.

    """
    if settings.jwt_private_key is not None:
        advice = (
            "HOLDFAST_JWT_PRIVATE_KEY: set another key there, and add this one to"
            " HOLDFAST_JWT_PREVIOUS_KEYS until its last token has run out"
        )
        raise SettingsRefused([advice])
    signing_keys(settings)
    key = _new_key()
    _keep(_path(settings.data_dir / "keys", key), _private_pem(key))
    return thumbprint(key.public_key())


def thumbprint(key: RSAPublicKey) -> str:
    """Return the RFC 7638 thumbprint of a public key, base64url without padding."""
    numbers = key.public_numbers()
    members = {"e": _base64url_number(numbers.e), "kty": "RSA", "n": _base64url_number(numbers.n)}
    return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _kept_keys(folder: Path, longest: timedelta) -> list[RSAPrivateKey]:
    """Return the keys of the data directory, newest first, making one where there is none.

    ``longest`` after a newer key came, an older one has signed nothing that is still good, and is removed.
    """
    with _alone(folder):
        if not any(folder.glob("*.pem")):
            key = _new_key()
            _keep(_path(folder, key), _private_pem(key))
        born = {path: path.stat().st_mtime_ns for path in folder.glob("*.pem")}
        paths = sorted(born, key=lambda path: (born[path], path.name), reverse=True)
        horizon = time.time_ns() - int(longest.total_seconds()) * 1_000_000_000
        for newer, older in pairwise(tuple(paths)):
            if born[newer] < horizon:
                older.unlink()
                paths.remove(older)
        return [_private_key(path.read_text(), str(path)) for path in paths]


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=SHORTEST_RSA_BITS)


def _path(folder: Path, key: RSAPrivateKey) -> Path:
    return folder / f"{thumbprint(key.public_key())}.pem"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep out processes that start at the same time: they must find the first one's key, not make one."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _keep(path: Path, text: str) -> None:
    """Write a file that is whole and 0600 from the moment it has its name."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    Path(draft).rename(path)


def _pem(given: str, name: str) -> str:
    if given.lstrip().startswith("-----BEGIN"):
        return given
    try:
        return Path(given).expanduser().read_text()
    except OSError as error:
        raise SettingsRefused([f"{name}: the key file cannot be read ({error.strerror})"]) from None


@lru_cache(maxsize=8)  # a running server reads again each minute, and to check an RSA key takes 30 ms
def _private_key(pem: str, name: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it wants a password
        raise SettingsRefused([f"{name}: this is no private key in PEM without a password"]) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < SHORTEST_RSA_BITS:
        raise SettingsRefused([f"{name}: the key must be RSA with {SHORTEST_RSA_BITS} bits or more"])
    return key


def _public_key(pem: str, name: str) -> RSAPublicKey:
    if "PRIVATE KEY" in pem:
        return _private_key(pem, name).public_key()
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsRefused([f"{name}: this is no key in PEM"]) from None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_RSA_BITS:
        raise SettingsRefused([f"{name}: the key must be RSA with {SHORTEST_RSA_BITS} bits or more"])
    return key


def _private_pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _base64url_number(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
