"""Files of failed jobs over HTTP: whoever was given an address may fetch it for ten minutes.

The address carries no token of its reader, but a signature of its own path and end. One that is forged, has ended, or
leads to nothing here is answered like any address that does not exist.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from automation.capture.artifacts import file_name
from domain.jobs import Artifact

LIFE = timedelta(minutes=10)
KINDS = {".jpg": ("image/jpeg", "inline"), ".zip": ("application/zip", "attachment")}


@dataclass(frozen=True, slots=True)
class SignedArtifacts:
    """The files in ``folder``, under ``base`` (an origin); ``secret`` is the installation's."""

    folder: Path
    secret: bytes = field(repr=False)
    base: str
    now: Callable[[], float] = time.time

    def url(self, artifact: Artifact) -> str:
        """An address that is good for ten minutes."""
        path = f"/artifacts/{file_name(artifact)}"
        expires = str(int(self.now() + LIFE.total_seconds()))
        return f"{self.base}{path}?{urlencode({'expires': expires, 'signature': self._sign(path, expires)})}"

    def route(self) -> Route:
        """Where they are fetched. ``job`` and ``file`` are checked by the signature: it was made of real ones."""
        return Route("/artifacts/{job}/{file}", self._answer)

    async def _answer(self, request: Request) -> Response:
        asked = request.query_params
        expires, signature = asked.get("expires", ""), asked.get("signature", "")
        path = request.url.path
        right = hmac.compare_digest(signature.encode(), self._sign(path, expires).encode())
        if not right or int(expires) < self.now():
            raise HTTPException(404)
        file = self.folder / path.removeprefix("/artifacts/")
        try:
            content = await asyncio.to_thread(file.read_bytes)
        except OSError:
            raise HTTPException(404) from None
        media_type, disposition = KINDS[file.suffix]
        return Response(content, media_type=media_type, headers=_headers(disposition, file.name))

    def _sign(self, path: str, expires: str) -> str:
        mac = hmac.digest(self.secret, b"artifact\0" + f"{path}\0{expires}".encode(), "sha256")
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _headers(disposition: str, name: str) -> dict[str, str]:
    return {
        "Cache-Control": "no-store",
        "Content-Disposition": f'{disposition}; filename="{name}"',
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
