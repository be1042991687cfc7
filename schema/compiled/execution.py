"""The door: an execution that answers from a plan, and leaves to graphql-core whatever a plan cannot answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, ClassVar, cast

from graphql import ExecutionResult, GraphQLError, Visitor, visit
from graphql.execution import MiddlewareManager
from graphql.language import DirectiveNode, VariableNode
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.compiled.plan import Plan, Root, Uncompiled

MOST_PLANS = 16
"""Of one document; each operation in it has one for each way in which its @skip and @include turn out."""
MOST_KEPT = 50_000
"""Fields in the plans of all documents together; each takes one or two kilobytes."""


class Plans:
    """What was compiled of one document, which keeps it; the plans of the least recently run are given up first."""

    _kept: ClassVar[OrderedDict[Plans, int]] = OrderedDict()
    _fields: ClassVar[int] = 0

    def __init__(self) -> None:
        self._forgotten = False
        self._conditions: dict[str | None, tuple[str, ...]] = {}
        self._made: dict[tuple[Any, ...], Plan | None] = {}

    def of(self, execution: CompiledExecution) -> Plan | None:
        """The plan of an operation, made when it is first asked for; None for what is left to graphql-core."""
        name = execution.operation.name.value if execution.operation.name else None
        conditions = self._conditions.get(name)
        if conditions is None:
            conditions = self._conditions[name] = _conditions(execution)
        given = execution.variable_values.coerced
        key = (name, *[given.get(variable) for variable in conditions])
        if key not in self._made:
            if len(self._made) >= MOST_PLANS or self._forgotten:
                return None
            self._keep(key, execution)
        elif self in Plans._kept:
            Plans._kept.move_to_end(self)
        return self._made[key]

    def forget(self) -> None:
        """The document is forgotten: whoever runs it still is left to graphql-core."""
        self._forgotten = True
        self._give_up()

    def _keep(self, key: tuple[Any, ...], execution: CompiledExecution) -> None:
        try:
            plan = self._made[key] = Plan(execution)
        except (Uncompiled, GraphQLError, RecursionError):
            self._made[key] = None
            return
        Plans._kept[self] = Plans._kept.pop(self, 0) + plan.fields
        Plans._fields += plan.fields
        while Plans._fields > MOST_KEPT and len(Plans._kept) > 1:
            next(iter(Plans._kept))._give_up()

    def _give_up(self) -> None:
        self._made.clear()
        Plans._fields -= Plans._kept.pop(self, 0)


class CompiledExecution(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's execution, with a fast way to data without errors.

    ``plans`` are the document's; without them nothing is compiled. Each root resolver runs once. If anything below one
    is not as it should be, or a root resolver raises, graphql-core executes the operation in its own way, with what
    the root resolvers gave or raised: so errors, their order and the nulls they leave are graphql-core's own.
    """

    def __init__(self, *given: Any, plans: Plans | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self._plans = plans

    def execute_operation(self, serially: bool | None = None) -> Any:
        """The result, or an awaitable of it: of a query, a mutation, or one event of a subscription."""
        plan = self._plans.of(self) if self._plans is not None and self.abort_signal is None else None
        if plan is None:
            return super().execute_operation(serially)
        return self._compiled(plan, serially)

    async def _compiled(self, plan: Plan, serially: bool | None) -> ExecutionResult:
        replay = Replay()
        try:
            return ExecutionResult(await self._data(plan, replay), None)
        except Exception:  # whatever it is, graphql-core says what becomes of it
            self.middleware_manager = MiddlewareManager(replay)
            result = super().execute_operation(serially)
            return cast("ExecutionResult", await result if isawaitable(result) else result)

    async def _data(self, plan: Plan, replay: Replay) -> dict[str, Any]:
        running = [self._field(root, replay) for root in plan.roots]
        if len(running) == 1:
            found = [await running[0]]
        else:
            found = await asyncio.gather(*running, return_exceptions=True)
            for one in found:
                if isinstance(one, BaseException):
                    raise one
        data = dict(zip([root.key for root in plan.roots], found, strict=True))
        return (
            {key: data.get(key, plan.typename) for key in plan.keys} if len(data) < len(plan.keys) else data
        )

    async def _field(self, root: Root, replay: Replay) -> Any:
        (done,) = await root.finish.done([await replay.record(root, self)], self)
        return done


class Replay:
    """What the root resolvers gave, to be given again without running them; graphql-core's middleware."""

    def __init__(self) -> None:
        self._again: dict[str, Callable[[], Any]] = {}

    async def record(self, root: Root, execution: CompiledExecution) -> Any:
        """Run a root field's resolver."""
        given = root.arguments(execution)
        try:
            result = root.resolve(execution, given)
        except Exception as error:
            self._again[root.key] = _raising(error)
            raise
        if not execution.is_awaitable(result):
            self._again[root.key] = lambda: result
            return result
        try:
            value = await result
        except Exception as error:
            self._again[root.key] = _awaitable(_raising(error))
            raise
        self._again[root.key] = _awaitable(lambda: value)
        return value

    def resolve(self, resolver: Callable[..., Any], source: Any, info: Any, **arguments: Any) -> Any:
        """Stand before every resolver of the second run."""
        again = self._again.get(info.path.key) if info.path.prev is None else None
        return resolver(source, info, **arguments) if again is None else again()


def _raising(error: Exception) -> Callable[[], Any]:
    def again() -> Any:
        raise error

    return again


def _awaitable(again: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """As late as the resolver: graphql-core notes errors in the order in which they come."""

    async def later() -> Any:
        return again()

    return later


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


def _conditions(execution: CompiledExecution) -> tuple[str, ...]:
    """The variables on which the selections of a document depend."""
    found = _Conditions()
    for node in (execution.operation, *execution.fragment_definitions.values()):
        visit(node, found)
    return tuple(sorted(found.names))
