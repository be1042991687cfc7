"""What operations cost is known before they run, told with their results, and limited."""

from __future__ import annotations

import time
import timeit
from typing import Any

import pytest
from graphql import (
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from schema import cost
from schema.documents import DocumentLimits, DocumentRejected
from schema.executor import Executor
from schema.root import schema
from tests.schema.test_size import APOLLO, RELAY

EXECUTOR = Executor(schema)
SEARCH = "schedules(first: %s, search: {}) {nodes {id price {amount}}}"
EACH = 1 + 1 + 1 + 1  # a schedule, its id, its price, the amount


def price(document: str, variables: dict[str, Any] | None = None) -> int:
    return EXECUTOR.prepare(document, variables=variables).cost


def dear(document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    with pytest.raises(DocumentRejected) as caught:
        EXECUTOR.prepare(document, variables=variables)
    return dict(caught.value.errors[0])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{server{version now}}", 11 + 2),
        ("{a: server{version} b: server{version}}", 2 * 12),
        ("{server{version} server{version now}}", 11 + 2),
        ("{...A} fragment A on Query{server{...B ...B}} fragment B on ServerInfo{version}", 11 + 1),
        ("{%s}" % (SEARCH % 10), 11 + 1 + 10 * EACH),
        ("{%s}" % (SEARCH % 0), 11 + 1),
        ("{%s}" % (SEARCH % 1_000_000_000), 11 + 1 + 100 * EACH),
        ("{%s}" % (SEARCH % -5), 11 + 1),
        ('{schedule(id: "x"){seats{status}}}', 11 + 1 + 100 * 2),
        ('{schedule(id: "x"){seatString}}', 11 + 1),
        ('{nodes(ids: ["a", "b", "c"]){id}}', 11 + 3 * 2),
        ('{node(id: "x"){id ... on Offering{name} ... on Schedule{version seatString}}}', 11 + 1 + 2),
        ("{__schema{types{name}}}", 1_010),
        ('mutation{login(input: {email: "a", password: "b"}){... on Refusal{code message}}}', 5_010 + 2),
    ],
)
def test_a_cost_counts_what_may_be_told(document: str, expected: int) -> None:
    assert price(document) == expected


@pytest.mark.parametrize(
    ("variables", "members"),
    [
        ({"n": 7}, 7),
        ({"n": 0}, 0),
        ({"n": -1}, 0),
        ({"n": 10**9}, 100),
        ({"n": 100.0}, 100),
        ({"n": 1e300}, 100),
        ({}, 20),
        (None, 20),
        ({"n": "x"}, 20),
    ],
)
def test_a_cost_counts_with_the_variables_there_are(variables: dict[str, Any] | None, members: int) -> None:
    document = "query($n: Int! = 20){%s}" % (SEARCH % "$n")
    assert price(document, variables) == 11 + 1 + members * EACH


def test_ids_in_a_variable_count_one_by_one() -> None:
    assert price("query($ids: [ID!]!){nodes(ids: $ids){id}}", {"ids": ["a", "b"]}) == 11 + 2 * 2
    assert price("query($ids: [ID!]!){nodes(ids: $ids){id}}", {}) == 11 + 100 * 2


def test_a_fragment_that_would_be_there_a_million_times_is_priced_once() -> None:
    doubled = " ".join(f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1}}}" for n in range(20))
    begun = time.process_time()
    assert price("{...F0} " + doubled + " fragment F20 on Query{server{version}}") == 11 + 1
    assert time.process_time() - begun < 2  # without the guard it would be years


def test_pages_within_pages_multiply() -> None:
    polynomial = cost._times({("a",): 2, (): 1}, {("b",): 3, (): 5})
    assert polynomial == {("a", "b"): 6, ("a",): 10, ("b",): 3, (): 5}


@pytest.mark.feature("S1.31")
def test_a_cost_may_be_as_high_as_the_limit_and_no_higher() -> None:
    document = "{server{version}}"
    assert Executor(schema, DocumentLimits(cost=12)).prepare(document).cost == 12
    with pytest.raises(DocumentRejected) as caught:
        Executor(schema, DocumentLimits(cost=11)).prepare(document)
    (error,) = caught.value.errors
    assert error["extensions"] == {"code": "TOO_COMPLEX", "cost": 12, "limit": 11}
    assert error["message"].startswith(
        "This operation would cost 12, and 11 is the most: ask for fewer things"
    )


def test_sixty_lists_of_seat_maps_are_too_dear() -> None:
    seats = "schedules(first: 100, search: {}){nodes{seats{status}}}"
    assert (
        dear("{" + " ".join(f"a{n}: {seats}" for n in range(30)) + "}")["extensions"]["code"] == "TOO_COMPLEX"
    )
    assert (
        dear("{" + " ".join(f"a{n}: {seats}" for n in range(60)) + "}")["extensions"]["code"] == "TOO_COMPLEX"
    )
    assert price("{" + seats + "}") < DocumentLimits().cost


def test_what_clients_send_is_not_too_dear() -> None:
    assert price(RELAY, {"first": 50}) < DocumentLimits().cost
    assert price(APOLLO) < 100
    assert price(get_introspection_query()) < 2_000


def test_every_list_of_objects_has_a_size() -> None:
    unsized, known = [], set()
    for type_ in schema._schema.type_map.values():
        for name, there in getattr(type_, "fields", {}).items():
            known.add(f"{type_.name}.{name}")
            is_list = is_list_type(get_nullable_type(there.type)) and is_composite_type(
                get_named_type(there.type)
            )
            paged = type_.name.endswith("Connection") or not cost.SIZED_BY.isdisjoint(
                getattr(there, "args", ())
            )
            if is_list and not paged and not type_.name.startswith("__"):
                unsized.append(f"{type_.name}.{name}")
    assert sorted(unsized) == sorted(cost.SIZES)
    assert cost.WEIGHTS.keys() - {"Query.__schema", "Query.__type"} <= known


def test_to_price_an_operation_again_costs_a_microsecond() -> None:
    document = "query($n: Int!){%s}" % (SEARCH % "$n")
    _, _, known = EXECUTOR._documents.get(document).asked(None)
    spent = min(timeit.repeat(lambda: known.of({"n": 10}), number=2_000, repeat=5))
    assert spent / 2_000 < 5e-6
