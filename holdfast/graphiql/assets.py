"""The files of the page: read once, served by name with what a browser needs to keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, its media type and the version its content gives it (16 hex digits)."""

    content: bytes
    media_type: str
    version: str

    @classmethod
    def of(cls, file: Path) -> Asset:
        """The file at this path. Raises KeyError for a kind of file that has no media type here."""
        content = file.read_bytes()
        return cls(content, MEDIA_TYPES[file.suffix], sha256(content).hexdigest()[:16])


def read(files: Iterable[Path]) -> dict[str, Asset]:
    """The files by their bare names."""
    return {file.name: Asset.of(file) for file in files}


def respond(assets: Mapping[str, Asset], request: Request) -> Response:
    """The asset that the path names, 304 to who has it already.

    Only names that were read at the start exist, so no path can lead out of the folder. Raises HTTPException
    with 404 for all others.
    """
    asset = assets.get(request.path_params["file"])
    if asset is None:
        raise HTTPException(404)
    headers = {
        "Cache-Control": _caching(asset, request),
        "ETag": f'"{asset.version}"',
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


def _caching(asset: Asset, request: Request) -> str:
    if request.query_params.get("v") == asset.version:
        return "public, max-age=31536000, immutable"
    return "no-cache"
