"""Access tokens: JWT (RFC 7519) signed with RS256, checked without asking anybody.

Claims: ``iss``, ``sub`` (the account's id), ``sid`` (the session's), ``iat``, ``exp``, ``jti``; the header's
``kid`` names the key. There is no ``aud``: the issuer is the only audience. No leeway: a token ends when it
says so, by the clock of the process that looks at it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from domain.errors import Unauthenticated
from domain.sessions import AccessToken, Claims
from holdfast.keys import NOTICED_AFTER, SigningKeys
from holdfast.settings import SettingsRefused

ALGORITHM = "RS256"
REMEMBERED = 10_000
LONGEST = 4_096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys as they stand: one signs, each verifies under its id, and all are published."""

    kid: str
    private: RSAPrivateKey = field(repr=False)
    public: Mapping[str, RSAPublicKey]
    jwks: Mapping[str, object]


class KeyRing:
    """Keys that may change while we run: read anew each minute, and at most once a second for an unknown id.

    What cannot be read later on changes nothing; at the start it raises what ``read`` raises.
    """

    def __init__(self, read: Callable[[], SigningKeys], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._given = read()
        self._read_at = clock()
        self._keys = _keys(self._given)

    def keys(self, kid: str | None = None) -> Keys:
        """The keys, read anew if that is due or ``kid`` is unknown; the same object while nothing changed."""
        age = self._clock() - self._read_at
        due = age >= NOTICED_AFTER.total_seconds()
        if due or (kid is not None and kid not in self._keys.public and age >= 1):
            self._read_again()
        return self._keys

    def jwks(self) -> Mapping[str, object]:
        """The public keys as a JWK Set (RFC 7517, 5)."""
        return self.keys().jwks

    def _read_again(self) -> None:
        self._read_at = self._clock()
        try:
            given = self._read()
        except (OSError, SettingsRefused) as error:
            _log.warning("signing keys cannot be read again: %s", type(error).__name__)
            return
        if given != self._given:
            self._given, self._keys = given, _keys(given)


class JwtAccessTokens:
    """The port ``domain.sessions.AccessTokens``. What was verified is remembered until it runs out."""

    def __init__(self, ring: KeyRing, issuer: str, clock: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._issuer = issuer
        self._clock = clock
        self._remembered: OrderedDict[bytes, Claims] = OrderedDict()
        self._remembered_under = ring.keys()
        self._kids: dict[str, str] = {}
        """By the heads of tokens that were verified, which keys they name: to parse one costs as much as its check."""

    def sign(self, user_id: UUID, session_id: UUID, life: timedelta) -> AccessToken:
        """Sign a token for ``life``, to the full second."""
        keys, now = self._ring.keys(), int(self._clock())
        expires = now + int(life.total_seconds())
        claims = {
            "iss": self._issuer,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "exp": expires,
            "jti": uuid4().hex,
        }
        text = jwt.encode(claims, keys.private, ALGORITHM, headers={"kid": keys.kid})
        return AccessToken(text, datetime.fromtimestamp(expires, UTC))

    def verify(self, text: str) -> Claims:
        """Say what the token says. Raises Unauthenticated if it is malformed, forged or has run out."""
        digest = hashlib.sha256(text.encode(errors="replace")).digest()
        self._forget_if_keys_changed()
        claims = self._remembered.get(digest)
        if claims is None:
            claims = self._remembered[digest] = self._verified(text)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(digest)
        if claims.expires_at.timestamp() <= self._clock():
            del self._remembered[digest]
            raise Unauthenticated("The access token has run out; get another with refreshSession.")
        return claims

    def _verified(self, text: str) -> Claims:
        try:
            if len(text) > LONGEST:
                raise jwt.InvalidTokenError
            head = text.partition(".")[0]
            kid = self._kids.get(head) or jwt.get_unverified_header(text).get("kid", "")
            claims: dict[str, Any] = jwt.decode(
                text,
                self._ring.keys(kid).public[kid],
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                options={"require": ["exp", "sub", "sid"], "verify_exp": False, "verify_iat": False},
            )
            self._kids[head] = kid
            ends = datetime.fromtimestamp(claims["exp"], UTC)
            return Claims(UUID(claims["sub"]), UUID(claims["sid"]), ends)
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError, OverflowError):
            raise Unauthenticated("This is no access token of ours; sign in again.") from None

    def _forget_if_keys_changed(self) -> None:
        """A key that was taken away takes its tokens with it."""
        keys = self._ring.keys()
        if keys is not self._remembered_under:
            self._remembered.clear()
            self._kids.clear()
            self._remembered_under = keys


def _keys(given: SigningKeys) -> Keys:
    public = {key.kid: key.public for key in given.verifying}
    published = [
        {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": kid, "use": "sig", "alg": ALGORITHM}
        for kid, key in public.items()
    ]
    return Keys(given.kid, given.private, public, {"keys": published})
