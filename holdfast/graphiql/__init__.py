"""GraphiQL at /graphql: one page and its assets, under a content security policy that lets nothing else in.

`npm ci && npm run build` in this folder bundles the page's libraries into dist/. Without that the page takes
them, pinned and with integrity hashes, from a CDN, and its policy names those very files.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.graphiql import cdn
from holdfast.graphiql.assets import Asset, read, respond

HERE = Path(__file__).parent
ASSETS = "graphql/assets"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast</title>
<link rel="icon" type="image/svg+xml" href="{icon}">
{libraries}
<link rel="stylesheet" href="{style}">
<script type="module" src="{script}" nonce="{nonce}"></script>
</head>
<body>
<div id="graphiql" data-examples="{examples}"></div>
<noscript>GraphiQL needs JavaScript.</noscript>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class GraphiQL:
    """The page, built or from the CDN. Make one with `graphiql()` at the start and keep it."""

    assets: Mapping[str, Asset]
    style: str
    script: str
    styles_elsewhere: tuple[cdn.CdnFile, ...]
    scripts_elsewhere: tuple[cdn.CdnFile, ...]
    examples: str

    async def page(self, request: Request) -> Response:
        """The answer to `GET /graphql` of a browser (`Accept: text/html`)."""
        nonce = secrets.token_urlsafe(16)
        html = PAGE.format(
            icon=self._url("favicon.svg"),
            libraries="\n".join(self._libraries()),
            style=self._url(self.style),
            script=self._url(self.script),
            nonce=nonce,
            examples=escape(self.examples),
        )
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": self._policy(nonce),
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(html, headers=headers, media_type="text/html")

    def routes(self) -> list[Route]:
        """The routes of the assets, below /graphql."""

        async def asset(request: Request) -> Response:
            return respond(self.assets, request)

        return [Route(f"/{ASSETS}/{{file}}", asset, methods=["GET"])]

    def _url(self, name: str) -> str:
        # Relative, so that the page also works behind a proxy that puts a prefix in front.
        return f"{ASSETS}/{name}?v={self.assets[name].version}"

    def _libraries(self) -> list[str]:
        return [
            f'<link rel="stylesheet" href="{url}" integrity="{integrity}" crossorigin="anonymous">'
            for url, integrity in self.styles_elsewhere
        ] + [
            f'<script defer src="{url}" integrity="{integrity}" crossorigin="anonymous"></script>'
            for url, integrity in self.scripts_elsewhere
        ]

    def _policy(self, nonce: str) -> str:
        """Content Security Policy Level 3. The nonce is for the style element of GraphiQL's own dialogs."""
        directives = {
            "default-src": ["'none'"],
            "script-src": ["'self'", *(file.url for file in self.scripts_elsewhere)],
            "style-src": ["'self'", f"'nonce-{nonce}'", *(file.url for file in self.styles_elsewhere)],
            "font-src": ["'self'", "data:"],
            "img-src": ["'self'", "data:"],
            "connect-src": ["'self'"],
            "base-uri": ["'none'"],
            "form-action": ["'none'"],
            "frame-ancestors": ["'none'"],
        }
        return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


def graphiql(dist: Path = HERE / "dist") -> GraphiQL:
    """The page with the assets that were built into `dist`, or, without them, with the CDN's."""
    boot = HERE / "boot"
    if (dist / "graphiql.js").is_file():
        assets = read([*dist.iterdir(), boot / "favicon.svg"])
        return GraphiQL(assets, "graphiql.css", "graphiql.js", (), (), examples())
    assets = read(file for file in boot.iterdir() if file.name != "bundled.js")
    return GraphiQL(assets, "holdfast.css", "fallback.js", (cdn.STYLE,), cdn.SCRIPTS, examples())


def examples() -> str:
    """The first tabs in the order of their story, as JSON: `[{"query": ..., "variables": ...}]`."""
    return json.dumps([_tab(document) for document in sorted((HERE / "examples").glob("*.graphql"))])


def _tab(document: Path) -> dict[str, str]:
    variables = document.with_suffix(".json")
    return {"query": document.read_text("utf-8"), "variables": variables.read_text("utf-8")}
