"""What figures and logs call an operation: a name out of a bounded set, whatever clients send."""

from __future__ import annotations

import pytest

from schema.documents import DocumentRejected
from schema.executor import Executor
from schema.root import schema


@pytest.fixture(scope="module")
def executor() -> Executor:
    return Executor(schema)


@pytest.mark.parametrize(
    "document",
    [
        "query FreeName { server { version } }",
        "{ renamed: server { now } __typename }",
        "query ($on: Boolean = true) { ... @include(if: $on) { server { version } } }",
        "query { ...Outer } fragment Outer on Query { ...Inner } fragment Inner on Query { server { version } }",
    ],
)
def test_a_free_document_is_called_by_its_first_field(executor: Executor, document: str) -> None:
    assert executor.prepare(document).label == "server"


def test_each_operation_of_a_document_has_its_own_label(executor: Executor) -> None:
    document = "query A { server { version } } query B { viewer { __typename } }"
    assert executor.prepare(document, "A").label == "server"
    assert executor.prepare(document, "B").label == "viewer"


def test_a_trusted_document_is_called_by_its_own_name(executor: Executor) -> None:
    document = "query WhatIsIt { server { now } }"
    assert executor.prepare(document).label == "server"
    executor.trust(document)
    assert executor.prepare(document).label == "WhatIsIt"
    assert executor.prepare(document, "WhatIsIt").label == "WhatIsIt"


def test_a_trusted_document_without_a_name_is_called_by_its_first_field(executor: Executor) -> None:
    executor.trust("{ again: server { version } }")
    assert executor.prepare("{ again: server { version } }").label == "server"


def test_an_invalid_document_cannot_be_trusted(executor: Executor) -> None:
    with pytest.raises(DocumentRejected, match="Cannot query field 'nonsense'"):
        executor.trust("query Wrong { nonsense }")
