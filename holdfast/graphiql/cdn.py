"""The libraries of the page from a CDN, for a checkout where nobody ran npm.

The hashes are those of the files inside the npm packages (Subresource Integrity): a browser refuses anything
else that the CDN may serve. They move together with package.json; a test compares both.
"""

from __future__ import annotations

from typing import NamedTuple


class CdnFile(NamedTuple):
    """A file of an npm package, as the CDN serves it, and the hash a browser must find."""

    url: str
    integrity: str


_NPM = "https://cdn.jsdelivr.net/npm"

STYLE = CdnFile(
    f"{_NPM}/graphiql@4.1.2/graphiql.min.css",
    "sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr",
)
SCRIPTS = (
    CdnFile(
        f"{_NPM}/react@18.3.1/umd/react.production.min.js",
        "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    ),
    CdnFile(
        f"{_NPM}/react-dom@18.3.1/umd/react-dom.production.min.js",
        "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    ),
    CdnFile(
        f"{_NPM}/graphiql@4.1.2/graphiql.min.js",
        "sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B",
    ),
    CdnFile(
        f"{_NPM}/graphql-ws@6.4.2/umd/graphql-ws.min.js",
        "sha384-mxvR4Mzbsb6QVx/9xI2gtQikQA6m8zMDBFnu3l//4/ROsWt7y2sUGWd+/tYQqDm7",
    ),
)
