"""Documents are checked once, run as Strawberry would run them, and their faults told without secrets."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
import strawberry
from strawberry.extensions import SchemaExtension

from domain.viewer import Viewer
from schema import documents
from schema.documents import DocumentLimits, DocumentRejected
from schema.executor import Executor
from tests.holdfast.transport.toy import Context, House, Query, toy_schema

GUEST = Viewer("127.0.0.1", "request-1")


@pytest.fixture
def executor() -> Executor:
    return Executor(toy_schema())


async def run(executor: Executor, document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    return await executor.execute(executor.prepare(document), variables, Context(GUEST, House()))


def rejected(executor: Executor, document: str, name: str | None = None, **options: Any) -> dict[str, Any]:
    with pytest.raises(DocumentRejected) as caught:
        executor.prepare(document, name, **options)
    return caught.value.errors[0]


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("{hello}", None),
        ("query($n: String!){a: hello(name: $n) b: hello}", {"n": "x"}),
        ("{item{id item{id __typename}}}", None),
        ("{choose(choice: {left: 1})}", None),
        ("query($c: Choice!){choose(choice: $c)}", {"c": {"right": 2}}),
        ("{__schema{queryType{name}}}", None),
        ("query($s: Boolean!){hello @skip(if: $s) item{...F}} fragment F on Item{id}", {"s": True}),
    ],
)
async def test_an_operation_gives_what_strawberry_itself_gives(
    executor: Executor, document: str, variables: dict[str, Any] | None
) -> None:
    stock = await toy_schema().execute(document, variables, Context(GUEST, House()))
    assert stock.errors is None
    assert await run(executor, document, variables) == {"data": stock.data}


async def test_a_document_is_parsed_and_validated_once(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(executor, "{hello}")
    monkeypatch.setattr(documents, "parse", None)
    monkeypatch.setattr(documents, "validate", None)
    assert await run(executor, "{hello}") == {"data": {"hello": "hello world"}}


async def test_kept_documents_stay_within_their_bounds() -> None:
    executor = Executor(toy_schema(), DocumentLimits(kept=3, kept_characters=100))
    for number in range(50):
        executor.prepare(f"{{a{number}: hello}}")
    assert len(executor._documents._kept) == 3
    executor.prepare("{" + " " * 90 + "hello}")
    assert list(executor._documents._kept) == ["{" + " " * 90 + "hello}"]
    executor.prepare("{" + " " * 900 + "hello}")
    assert not executor._documents._kept
    assert executor._documents._characters == 0


async def test_the_least_recently_used_document_is_forgotten_first() -> None:
    executor = Executor(toy_schema(), DocumentLimits(kept=2))
    for document in ("{a: hello}", "{b: hello}", "{a: hello}", "{c: hello}"):
        executor.prepare(document)
    assert list(executor._documents._kept) == ["{a: hello}", "{c: hello}"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{\x00}", "GRAPHQL_PARSE_FAILED"),
        ("{" * 2_000, "GRAPHQL_PARSE_FAILED"),
        ("{hello(name: " + "[" * 2_000, "GRAPHQL_PARSE_FAILED"),
        ("#\n" * 4_000 + "{hello}", "GRAPHQL_PARSE_FAILED"),
        ("{" + "item{" * 210 + "id" + "}" * 211, "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
        ("{choose(choice: {left: 1, right: 2})}", "GRAPHQL_VALIDATION_FAILED"),
        ("{...A} fragment A on Query{...B} fragment B on Query{...A}", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment A on Query{hello}", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_bad_document_is_a_clean_error_soon(executor: Executor, document: str, code: str) -> None:
    begun = time.perf_counter()
    assert rejected(executor, document)["extensions"] == {"code": code}
    assert time.perf_counter() - begun < 1


def test_few_of_many_validation_errors_are_told() -> None:
    executor = Executor(toy_schema(), DocumentLimits(errors=3))
    with pytest.raises(DocumentRejected) as caught:
        executor.prepare("{" + " ".join(f"x{n}" for n in range(30)) + "}")
    assert len(caught.value.errors) == 4
    assert "error limit" in caught.value.errors[-1]["message"]


def test_names_are_suggested_only_when_asked_for() -> None:
    assert "Did you mean" not in rejected(Executor(toy_schema()), "{helo}")["message"]
    assert "Did you mean" in rejected(Executor(toy_schema(), suggestions=True), "{helo}")["message"]


@pytest.mark.parametrize("document", ["{__schema{queryType{name}}}", '{__type(name: "Item"){name}}'])
def test_the_schema_is_told_only_to_whom_it_may(executor: Executor, document: str) -> None:
    executor.prepare(document)
    assert rejected(executor, document, allow_introspection=False)["extensions"] == {
        "code": "GRAPHQL_VALIDATION_FAILED"
    }
    executor.prepare("{__typename item{__typename}}", allow_introspection=False)


def test_the_operation_is_the_named_one_or_the_only_one(executor: Executor) -> None:
    two = "query A{hello} mutation B{write}"
    assert executor.prepare(two, "B").kind.value == "mutation"
    assert rejected(executor, two)["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE"
    assert rejected(executor, two, "C")["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE"


async def test_wrong_variables_are_the_callers_input(executor: Executor) -> None:
    result = await run(executor, "query($n: String!){hello(name: $n)}", {"n": 1})
    assert "data" not in result
    assert result["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_a_null_where_a_default_was_is_the_callers_input(executor: Executor) -> None:
    result = await run(executor, "query($n: Int = 1){take(number: $n)}", {"n": None})
    assert result["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_denials_and_refusals_say_their_code(executor: Executor) -> None:
    result = await run(executor, "{denied refused}")
    denied, refused = result["errors"]
    assert result["data"] == {"denied": None, "refused": None}
    assert denied == {
        "message": "Not yours.",
        "locations": [{"line": 1, "column": 2}],
        "path": ["denied"],
        "extensions": {"code": "FORBIDDEN", "needs": "STAFF"},
    }
    assert (refused["message"], refused["extensions"]) == ("No such seat.", {"code": "NOT_FOUND"})


async def test_the_unexpected_is_masked_and_logged_with_the_request_id(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    result = await run(executor, "{boom}")
    assert result["data"] is None
    assert "secret" not in str(result)
    assert result["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "request-1"}
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.request_id == "request-1"  # type: ignore[attr-defined]
    assert "secret of the house" in caplog.text


def test_extensions_that_would_not_run_are_refused() -> None:
    class Extension(SchemaExtension):
        pass

    with pytest.raises(ValueError, match="not run"):
        Executor(strawberry.Schema(Query, extensions=[Extension]))


async def test_a_broken_stream_ends_with_a_masked_error(executor: Executor) -> None:
    prepared = executor.prepare("subscription{breaks}")
    results = [result async for result in executor.subscribe(prepared, None, Context(GUEST, House()))]
    assert results[0] == {"data": {"breaks": 0}}
    assert "data" not in results[1]
    assert results[1]["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert len(results) == 2


async def test_a_stream_that_may_not_start_says_why(executor: Executor) -> None:
    prepared = executor.prepare("subscription{forbidden}")
    [result] = [result async for result in executor.subscribe(prepared, None, Context(GUEST, House()))]
    assert "data" not in result
    assert result["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_what_is_sent_only_once_is_not_compiled() -> None:
    executor = Executor(toy_schema())
    assert executor.prepare("{hello}").plans is None
    assert executor.prepare("{hello}").plans is not None
    assert executor.prepare("subscription{ticks}").plans is not None
