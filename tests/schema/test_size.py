"""Documents that ask for too much are told so before anything costs much; those that clients send are let through."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from graphql import GraphQLSchema, get_introspection_query

from schema.documents import DocumentLimits, DocumentRejected, Documents
from schema.errors import WireError
from schema.root import schema
from tests.holdfast.transport.toy import toy_schema

ROOT = Path(__file__).parents[2]
SCHEMA = schema._schema
TOY = toy_schema()._schema


def documents(limits: DocumentLimits | None = None, of: GraphQLSchema = TOY) -> Documents:
    return Documents(of, limits or DocumentLimits(), suggestions=False)


def code(text: str, limits: DocumentLimits | None = None) -> str:
    """The code that the document is refused with, or ""."""
    try:
        documents(limits).get(text)
    except DocumentRejected as rejected:
        return str(rejected.errors[0]["extensions"]["code"])
    return ""


def item(depth: int) -> str:
    return "{" + "item{" * (depth - 1) + "id" + "}" * depth


def aliased(count: int) -> str:
    return "{item{" + " ".join(f"a{number}: id" for number in range(count)) + "}}"


def directed(count: int) -> str:
    return (
        "query($a: Boolean! = true){item{" + " ".join(f"a{n}: id @skip(if: $a)" for n in range(count)) + "}}"
    )


def rooted(count: int) -> str:
    return "{...F} fragment F on Query{" + " ".join(f"a{number}: hello" for number in range(count)) + "}"


def operations(count: int) -> str:
    return " ".join(f"query Q{number}{{hello}}" for number in range(count))


def fragments(count: int) -> str:
    defined = " ".join(f"fragment F{n} on Item{{...F{n + 1}}}" for n in range(count - 1))
    return f"{{item{{...F0}}}} {defined} fragment F{count - 1} on Item{{id}}"


def spreads(count: int) -> str:
    return "{" + "...F " * (count - 1) + "...G} fragment F on Query{hello} fragment G on Query{hello}"


def selections(count: int) -> str:
    """Six at two places, the fragment's one at both, and others to make ``count``."""
    return (
        "{a: item{item{...F}} b: item{item{...F}}" + " __typename" * (count - 8) + "} fragment F on Item{id}"
    )


def repeated(pairs: int) -> str:
    """So many pairs in one group, for a triangular number."""
    count = next(n for n in range(100) if n * (n - 1) // 2 == pairs)
    return "{item{" + "id " * count + "}}"


def nested(depth: int) -> str:
    return "{hello(name: " + "[" * depth + "]" * depth + ")}"


def digits(count: int) -> str:
    return "{take(number: " + "1" * count + ")}"


def named(length: int) -> str:
    return "query " + "q" * length + "{hello}"


EDGES: list[tuple[str, int, Callable[[int], str]]] = [
    ("characters", 40, "{hello}".ljust),
    ("tokens", 5, lambda n: "{" + "hello " * (n - 2) + "}"),
    ("depth", 7, item),
    ("root_fields", 6, rooted),
    ("aliases", 9, aliased),
    ("directives", 9, directed),
    ("operations", 4, operations),
    ("fragments", 5, fragments),
    ("spreads", 5, spreads),
    ("selections", 12, selections),
    ("repeats", 6, repeated),
    ("nesting", 4, nested),
    ("digits", 8, digits),
    ("name", 12, named),
]


@pytest.mark.feature("S1.31")
@pytest.mark.parametrize(("limit", "most", "document"), EDGES, ids=[edge[0] for edge in EDGES])
def test_every_limit_holds_at_its_edge(limit: str, most: int, document: Callable[[int], str]) -> None:
    over = 10 if limit == "repeats" else most + 1  # four fields of one name are six pairs, five are ten
    limits = DocumentLimits(**{limit: most})
    assert code(document(most), limits) != "TOO_COMPLEX"
    with pytest.raises(DocumentRejected) as caught:
        documents(limits).get(document(over))
    (error,) = caught.value.errors
    assert error["extensions"] == {"code": "TOO_COMPLEX", "limit": most}
    assert error["message"].startswith(f"More than {most} ")
    assert ": " in error["message"]


RELAY = """
query DeparturesQuery($first: Int!, $after: String, $search: ScheduleSearch!) {
  ...Departures_page
}
fragment Departures_page on Query {
  schedules(first: $first, after: $after, search: $search) {
    edges { cursor node { id __typename ...Departure_schedule } }
    pageInfo { endCursor hasNextPage hasPreviousPage startCursor }
  }
}
fragment Departure_schedule on Schedule {
  id version seatString status price { amount currency }
  during { start end timeZone localStart localEnd duration }
  counts { total available held booked blocked }
  offering { id name origin destination organization { id name } ...Offering_terms }
  resource { id name layout { id rows columns seats { label index row column category accessible } } }
}
fragment Offering_terms on Offering { id reservationTtl maxSeatsPerReservation price { amount currency } }
"""

APOLLO = """
mutation Reserve($input: ReserveInput!) {
  reserve(input: $input) {
    __typename
    ... on Reservation { __typename id token expiresAt serverNow seats { __typename seat { __typename label } } }
    ... on SeatsUnavailable { __typename message unavailable { __typename seat { __typename label } status } }
    ... on ReservationLimitReached { __typename message limit retryAt }
    ... on Refusal { __typename code message path }
  }
}
"""


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(),
        get_introspection_query(
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
        ),
        RELAY,
        APOLLO,
        *((path.read_text()) for path in sorted((ROOT / "holdfast/graphiql/examples").glob("*.graphql"))),
        "\n".join(
            path.read_text() for path in sorted((ROOT / "holdfast/graphiql/examples").glob("*.graphql"))
        ),
    ],
)
def test_what_clients_send_passes(text: str) -> None:
    documents(of=SCHEMA).get(text)


def chain(count: int) -> str:
    """A fragment that would be there two to the power of ``count`` times."""
    doubled = " ".join(
        f"fragment F{n} on Item{{a: item{{...F{n + 1}}} b: item{{...F{n + 1}}}}}" for n in range(count)
    )
    return f"{{item{{...F0}}}} {doubled} fragment F{count} on Item{{id}}"


HOSTILE = {
    "braces without end": "{" * 200_000,
    "brackets without end": "{hello(name: " + "[" * 60_000,
    "names without end": "{" + "hello " * 10_000 + "}",
    "comments without end": "#\n" * 20_000 + "{hello}",
    "one long text": '{nothing(name: """' + "\n" * 60_000 + '""")}',
    "fields within fields": "{" + "item{" * 150 + "id" + "}" * 151,
    "a thousand root fields": "{" + " ".join(f"a{n}: hello" for n in range(700)) + "}",
    "one field a thousand times": "{item{" + "id " * 2_900 + "}}",
    "fragments, each of all": "{item{"
    + " ".join(f"...F{n}" for n in range(300))
    + "}}"
    + " ".join(f"fragment F{n} on Item{{id}}" for n in range(300)),
    "fragments, each twice in the next": chain(60),
    "fragments, each twice in the next, few": chain(12),
    "fragments in a circle": "{...A} fragment A on Query{...B} fragment B on Query{...A}",
    "a fragment within itself": "{item{...A}} fragment A on Item{item{...A} b: item{...A}}",
    "a fragment that nobody asked for": "{hello} fragment A on Item{" + "id " * 900 + "}",
    "five thousand digits": "{take(number: " + "9" * 5_000 + ")}",
    "a long argument again and again": "{"
    + " ".join('hello(name: "' + "x" * 1_000 + '")' for _ in range(40))
    + "}",
    "lists within lists": "{hello(name: " + "[" * 900 + "]" * 900 + ")}",
    "objects within objects": "{choose(choice: " + "{left: " * 300 + "1" + "}" * 300 + ")}",
    "arguments that are not there": "{hello(" + " ".join(f"a{n}: 1" for n in range(700)) + ")}",
    "directives": "{hello " + "@skip(if: false)" * 450 + "}",
    "variables": "query(" + " ".join(f"$a{n}: Int" for n in range(900)) + "){hello}",
    "operations": " ".join(f"query A{n}{{hello}}" for n in range(700)),
    "types": " ".join(f"type T{n}{{a: Int}}" for n in range(300)),
    "one long name": "{" + "x" * 60_000 + "}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_document_is_refused_soon_and_again_at_once(text: str) -> None:
    first = again = 1.0
    errors: list[WireError] = []
    for _ in range(3):  # the collector of garbage may fall into one
        known = documents()
        cost, errors = refused(known, text)
        first = min(first, cost)
        again = min(again, refused(known, text)[0])
    assert first < 0.05
    assert again < 0.001
    assert all(len(error["message"]) < 400 for error in errors)
    assert "4300" not in str(errors)


def refused(known: Documents, text: str) -> tuple[float, list[WireError]]:
    """The seconds of CPU that it took, and what was said."""
    begun = time.process_time()
    with pytest.raises(DocumentRejected) as caught:
        known.get(text)
    return time.process_time() - begun, caught.value.errors


def test_what_is_remembered_of_rejected_documents_is_bounded() -> None:
    known = documents(DocumentLimits(rejected=3))
    for number in range(10):
        with pytest.raises(DocumentRejected):
            known.get(f"{{nothing{number}}}")
    assert len(known._rejected) == 3
    assert all(len(key) == 16 for key in known._rejected)


def test_a_rejected_document_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = documents()
    with pytest.raises(DocumentRejected) as first:
        known.get("{nothing}")
    monkeypatch.setattr("schema.documents.parse", None)
    with pytest.raises(DocumentRejected) as second:
        known.get("{nothing}")
    assert second.value.errors == first.value.errors


def test_fragments_in_a_circle_are_called_so_even_where_fields_lie_between() -> None:
    text = "{item{...A}} fragment A on Item{item{...B}} fragment B on Item{item{...A}}"
    _, (error,) = refused(documents(), text)
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert error["message"] == "Fragments lead in a circle: A, B."


def test_an_error_does_not_quote_at_length() -> None:
    _, (error,) = refused(documents(), '{take(number: "' + "x" * 50_000 + '")}')
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert len(error["message"]) < 400


def test_the_page_for_clients_names_the_limits() -> None:
    limits = DocumentLimits()
    page = " ".join((ROOT / "docs/clients.md").read_text().split())
    for figure in (
        f"{limits.characters:,} characters, {limits.tokens:,} tokens, {limits.depth} levels of fields",
        f"{limits.root_fields} fields at the root of an operation, {limits.aliases} aliases",
        f"{limits.directives} directives, {limits.operations} operations, {limits.fragments} fragments",
        f"{limits.spreads} spreads of them",
        f"{limits.selections:,} fields with each fragment where it is spread",
        f"nested {limits.nesting} deep, numbers of {limits.digits} digits, names of {limits.name} characters",
        f'"limit": {limits.cost}',
    ):
        assert figure in page
