"""A compiled operation gives what graphql-core gives, byte for byte, and reads a list in one go."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest
from graphql import GraphQLError, GraphQLSchema, is_object_type, parse, validate
from graphql.pyutils import Path
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.compiled import execution as compiled
from schema.compiled import kept
from schema.compiled.execution import CompiledExecution, Plans
from schema.compiled.plan import Plan, Uncompiled, _fetch
from schema.executor import Executor
from schema.root import schema
from tests.schema.selections import Documents
from tests.schema.stub import Context, Root, Spot, stub, thing


@pytest.fixture(autouse=True)
def left_behind() -> Iterator[None]:
    """Overlook the fields that graphql-core never awaits because their parent is null already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
        gc.collect()


pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SEEDS = st.integers(0, 2**32)


async def run(
    document: str,
    root: Root,
    variables: dict[str, Any] | None = None,
    plans: Plans | None = None,
    context: Context | None = None,
) -> str:
    """The whole response as a text; without ``plans`` graphql-core's own."""
    execution = CompiledExecution.build(
        stub._schema, parse(document), root, context or Context(), variables,
        is_awaitable=cast("Any", optimized_is_awaitable), plans=plans,
    )  # fmt: skip
    if isinstance(execution, list):
        return json.dumps([error.formatted for error in execution])
    result: Any = execution.execute_operation()
    if optimized_is_awaitable(result):
        result = await result
    return json.dumps(result.formatted)


def things(seed: int, faults: float = 0.04) -> Root:
    random = Random(seed)
    return Root([thing(random, faults=faults) for _ in range(3)])


@given(SEEDS, st.sampled_from((0.0, 0.01, 0.1)))
@tried(max_examples=60)
def test_any_document_over_any_data_gives_what_graphql_core_gives(seed: int, faults: float) -> None:
    random = Random(seed)
    documents = Documents(stub._schema, random)
    document = documents.query()
    if validate(stub._schema, parse(document)):
        return
    plans, root = Plans(), things(seed, faults)
    for _ in range(3):  # of one document's plans, one for each way in which @skip and @include turn out
        variables = documents.variables()
        ours = asyncio.run(run(document, root, variables, plans))
        assert ours == asyncio.run(run(document, root, variables))


def test_most_random_documents_are_valid_and_many_are_told_without_graphql_core() -> None:
    found = Counter[str]()
    for seed in range(100):
        document = Documents(stub._schema, Random(seed)).query()
        if not validate(stub._schema, parse(document)):
            plans = Plans()
            asyncio.run(run(document, things(seed, 0), {"yes": True}, plans))
            found["valid"] += 1
            found["compiled"] += any(plans._made.values())
    assert found["valid"] > 80
    assert found["compiled"] > 25


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse whatever is left to graphql-core."""

    def refuse(*_: object) -> None:
        raise AssertionError("left to graphql-core")

    monkeypatch.setattr(StrawberryGraphQLCoreExecutionContext, "execute_operation", refuse)


@pytest.mark.usefixtures("nothing_left")
async def test_data_without_faults_needs_no_graphql_core() -> None:
    document = """{ page { nodes { id name colour at price number ratio flag tags grid
      spot { label } spots { number } itself { label(prefix: "x") }
      friend { friend { id } } either { __typename ... on Thing { id } } eithers { ... on Other { number } }
      anyNode { id } } } }"""
    data = json.loads(await run(document, things(7, 0), plans=Plans()))["data"]
    assert len(data["page"]["nodes"]) == 3


@pytest.mark.parametrize("plans", [Plans(), None], ids=["compiled", "graphql-core"])
async def test_a_batch_is_asked_once_for_all_objects_of_a_place(plans: Plans | None) -> None:
    context = Context()
    root = things(7, 0)
    await run("{ page { nodes { label friend { id } } } }", root, plans=plans, context=context)
    assert context.asked == [("label", 3), ("friend", 3)]


async def test_nothing_is_asked_of_a_batch_for_an_empty_list() -> None:
    context = Context()
    await run("{ page { nodes { friend { id } } } }", Root([]), plans=Plans(), context=context)
    assert context.asked == []


@pytest.mark.usefixtures("nothing_left")
async def test_what_lasts_is_written_once_for_all_documents_that_ask_alike() -> None:
    first = "{ page { nodes { spot { label number } } } }"
    second = "query Other { page { nodes { spot { ... on Spot { label number } } spots { number } } } }"
    root = Root([thing(Random(7), faults=0)] * 3)
    one, two = [json.loads(await run(each, root, plans=Plans())) for each in (first, second)]
    assert one["data"]["page"]["nodes"][0]["spot"] == two["data"]["page"]["nodes"][0]["spot"]
    assert kept._rows_of.cache_info().hits > 0


@pytest.mark.usefixtures("nothing_left")
async def test_what_lasts_is_not_taken_for_what_stood_in_its_place() -> None:
    one = thing(Random(7), faults=0)
    for number in range(9):
        one.spots = [Spot(label=None, number=number) for _ in range(200)]
        told = json.loads(await run("{ thing { spots { label number } } }", Root([one]), plans=Plans()))
        assert told["data"]["thing"]["spots"] == [{"label": None, "number": number}] * 200


async def test_no_more_of_what_lasts_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_ROWS", 3)
    document = "{ page { nodes { spots { label number beside { number } } } } }"
    for seed in range(9):
        root = things(seed, 0)
        assert await run(document, root, plans=Plans()) == await run(document, root)


async def test_a_mutation_runs_once_whatever_goes_wrong_below_it() -> None:
    document = "mutation { change { ... on Thing { fails uneven cannotBeNull } } }"
    context, root = Context(), things(7, 0)
    ours = await run(document, root, plans=Plans(), context=context)
    assert context.asked == [("change", 1), ("changed", 1)]
    assert ours == await run(document, root)
    assert "cannot be null" in ours


@pytest.mark.parametrize(
    "document",
    [
        'mutation { a: change { __typename } b: change(name: "no") { ... on Refusal { why } } }',
        'mutation { change(name: "no") { __typename ... on Refusal { why } } }',
        "{ fails thing { id } cannotBeNull }",
        "{ fails a: fails refused { ... on Refusal { why } } }",
        "{ __typename a: __typename thing { __typename } }",
        "{ __schema { queryType { name } } thing { id } }",
        "{ thing { apart } things(first: 3) { apart } }",
        "query ($c: Colour) { things(colour: $c) { id } }",
    ],
)
async def test_what_is_left_to_graphql_core_comes_out_the_same(document: str) -> None:
    root = things(7, 0)
    ours, theirs = Context(), Context()
    told = await run(document, root, plans=Plans(), context=ours)
    assert told == await run(document, root, context=theirs)
    assert ours.asked == theirs.asked


async def test_no_more_plans_are_made_of_a_document_than_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_PLANS", 2)
    plans, root = Plans(), things(7, 0)
    document = "query ($a: Boolean!, $b: Boolean!) { thing { id @skip(if: $a) name @include(if: $b) } }"
    for number in range(4):
        variables = {"a": number % 2 == 0, "b": number > 1}
        assert await run(document, root, variables, plans) == await run(document, root, variables)
    assert len(plans._made) == 2


async def test_the_plans_of_all_documents_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    await run("{ thing { id } }", things(7, 0), plans=(first := Plans()))
    monkeypatch.setattr(compiled, "MOST_KEPT", 12)
    several = [Plans() for _ in range(3)]
    for plans in several:
        await run(
            "{ thing { id name a: __typename } }", things(7, 0), plans=plans
        )  # five, with the object's own
    assert [len(plans._made) for plans in (first, *several)] == [0, 0, 1, 1]
    await run("{ thing { id name a: __typename } }", things(7, 0), plans=several[1])
    await run("{ thing { id } }", things(7, 0), plans=first)
    assert [len(plans._made) for plans in (first, *several)] == [1, 0, 1, 0]


async def test_a_document_that_is_forgotten_is_not_compiled_again() -> None:
    plans, root = Plans(), things(7, 0)
    told = await run("{ thing { id } }", root, plans=plans)
    plans.forget()
    assert await run("{ thing { id } }", root, plans=plans) == told
    assert not plans._made


def test_a_small_document_makes_no_large_plan() -> None:
    executor = Executor(schema)
    names = " ".join(f"b{number}: __typename" for number in range(30))
    roots = " ".join(f'a{number}: node(id: "x"){{...F}}' for number in range(29))
    prepared = executor.prepare(f"{{{roots}}} fragment F on Node{{{names}}}")
    execution: Any = executor._build(prepared, None, cast("Any", Context()))
    with pytest.raises(Uncompiled):
        Plan(execution)


async def test_a_plan_keeps_nothing_of_who_first_asked() -> None:
    plans, context = Plans(), Context()
    await run(
        "query ($c: Colour) { things(colour: $c) { label } }", things(7, 0), {"c": "RED"}, plans, context
    )
    (plan,) = plans._made.values()
    assert plan is not None
    assert "_execution" not in vars(plan)


def test_every_field_of_the_schema_can_be_compiled() -> None:
    assert _left_to_graphql_core(schema._schema) == []


def _left_to_graphql_core(whole: GraphQLSchema) -> list[str]:
    roots = (whole.query_type, whole.mutation_type, whole.subscription_type)
    left = []
    for type_ in whole.type_map.values():
        if is_object_type(type_) and type_ not in roots and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                try:
                    _fetch(type_, name, field, [])
                except (Uncompiled, GraphQLError):
                    left.append(str(Path(None, name, type_.name).typename) + "." + name)
    return left
