"""Keys that sign access tokens, as PEM."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """A key as ``openssl genpkey`` writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_signing_key() -> str:
    """One that nobody else has."""
    return private_pem(new_key())


@cache
def signing_key() -> str:
    """That of a test process: to make one takes longer than most tests."""
    return new_signing_key()
