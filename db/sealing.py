"""Codes and pictures as bytes that only holders of the server's secret can read (AES-256-GCM, NIST SP 800-38D)."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.live import LoginCode, Picture

NONCE: Final = 12

T = TypeVar("T", LoginCode, Picture)


class Seal:
    """Seals with a key for each job, derived from the server's secret (HKDF, RFC 5869)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, kind: str, value: LoginCode | Picture) -> bytes:
        """The value as bytes that differ each time."""
        told = {
            name: _told(getattr(value, name)) for name in value.__slots__ if name not in ("job_id", "image")
        }
        nonce = secrets.token_bytes(NONCE)
        plain = json.dumps(told).encode() + b"\n" + value.image
        return nonce + self._cipher(value.job_id).encrypt(nonce, plain, kind.encode())

    def open(self, kind: str, job_id: UUID, sealed: bytes, of: type[T]) -> T | None:
        """What was sealed under this kind and job; None if it was not, or not with this secret."""
        try:
            plain = self._cipher(job_id).decrypt(sealed[:NONCE], sealed[NONCE:], kind.encode())
        except (InvalidTag, ValueError):
            return None
        head, _, image = plain.partition(b"\n")
        told: dict[str, Any] = json.loads(head)
        fields: dict[str, Any] = {
            name: datetime.fromisoformat(each) if name.endswith("_at") else each
            for name, each in told.items()
        }
        return of(job_id=job_id, image=image, **fields)

    def _cipher(self, job_id: UUID) -> AESGCM:
        info = b"holdfast live " + job_id.bytes
        return AESGCM(HKDF(SHA256(), length=32, salt=None, info=info).derive(self._secret))


def _told(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
