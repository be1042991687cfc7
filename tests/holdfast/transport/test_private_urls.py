"""What must not stand in a URL."""

from __future__ import annotations

import pytest
from graphql import build_schema

from schema.documents import DocumentLimits, Documents

SCHEMA = build_schema("type Query { plain(id: ID): Int guarded(id: ID, token: String): Int }")


@pytest.mark.parametrize(
    ("document", "private"),
    [
        ("{ plain(id: 1) }", False),
        ("{ token: plain }", False),
        ("{ guarded(id: 1) }", False),
        ('{ guarded(token: "x") }', True),
        ("query ($t: String) { ...f } fragment f on Query { a: guarded(token: $t) }", True),
    ],
)
def test_a_query_that_takes_a_token_is_known_as_private(document: str, private: bool) -> None:
    assert Documents(SCHEMA, DocumentLimits(), suggestions=False).get(document).private is private
