"""Runs a document against the schema: graphql-core's execution, with the class that Strawberry gives it.

Strawberry's ``Schema.execute`` would parse and validate at each request and build an extension runner around
it; resolvers, ``Info``, scalars, field extensions and exception handlers live inside the schema and are the
same here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

import strawberry
from graphql import DocumentNode, GraphQLError, OperationType
from graphql.execution import (
    ExecutionResult,
    create_source_event_stream,
    execute_subscription_event,
)
from graphql.execution import Executor as Execution
from strawberry.execution import optimized_is_awaitable

from domain.viewer import Viewer
from schema.compiled.execution import CompiledExecution, Plans
from schema.documents import Document, DocumentLimits, DocumentRejected, Documents
from schema.errors import WireError, document_errors, execution_errors, too_complex
from schema.scopes import beyond
from schema.sharing import Shared, channel_of

Result: TypeAlias = dict[str, Any]
"""``{"data": ..., "errors": [...]}``; without ``data``, nothing was run or a stream broke."""

Variables: TypeAlias = dict[str, Any] | None


class OperationContext(Protocol):
    """What the executor itself reads of an operation's context."""

    @property
    def viewer(self) -> Viewer:
        """Who asks; its ``request_id`` is told with an unexpected failure."""

    place: Any
    """Where a subscription goes on, as the place of a ``Shared`` said; None where it begins as its caller asks."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that may run, which of its operations was asked for, and whether it must not stand in a URL.

    ``label`` is what figures and logs call it: one of a bounded set of names, whatever clients send. ``cost`` is
    estimated (see ``schema.cost``), and not above ``most``.
    """

    document: Document
    operation_name: str | None
    kind: OperationType
    private: bool = False
    label: str = ""
    cost: int = 0
    most: int = 0
    plans: Plans | None = None
    """What was compiled of the document; without it, graphql-core executes."""

    @property
    def tree(self) -> DocumentNode:
        """The document's parts."""
        return self.document.tree

    @property
    def extensions(self) -> dict[str, Any]:
        """What is told with its result."""
        return {"cost": {"estimate": self.cost, "limit": self.most}}


class Executor:
    """Prepares documents and runs them.

    ``suggestions`` adds "Did you mean ..." to errors, which tells names of a schema that may be secret.
    Raises ValueError for a schema whose extensions or operation directives would silently not run.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: DocumentLimits | None = None,
        *,
        suggestions: bool = False,
    ) -> None:
        if schema.extensions or schema.directives:
            message = "Schema extensions and operation directives are not run by this executor."
            raise ValueError(message)
        self._schema = schema._schema
        self._execution = CompiledExecution
        self._suggestions = suggestions
        limits = limits or DocumentLimits()
        self._most = limits.cost
        self._documents = Documents(self._schema, limits, suggestions)

    def prepare(
        self,
        document: str,
        operation_name: str | None = None,
        *,
        variables: Variables = None,
        allow_introspection: bool = True,
    ) -> Prepared:
        """Parse, validate, pick the operation and estimate its cost; what was validated once is remembered.

        Raises DocumentRejected.
        """
        known = self._documents.get(document)
        if known.introspection and not allow_introspection:
            raise DocumentRejected(document_errors(known.introspection, "GRAPHQL_VALIDATION_FAILED"))
        kind, label, price = known.asked(operation_name)
        cost, most = price.of(variables), self._most
        if cost > most:
            raise DocumentRejected([too_complex(_TOO_DEAR.format(cost, most), cost=cost, limit=most)])
        # What is sent only once would pay for a plan that nobody uses: a hundred times what running it costs.
        plans = known.plans if known.again or kind is OperationType.SUBSCRIPTION else None
        return Prepared(known, operation_name, kind, known.private, label, cost, most, plans)

    def trust(self, document: str) -> None:
        """Validate a document that is known beforehand, and keep it for good. Raises DocumentRejected."""
        self._documents.trust(document)

    async def execute(self, prepared: Prepared, variables: Variables, context: OperationContext) -> Result:
        """Run a query or a mutation. Never raises; unexpected failures are masked and logged."""
        execution = self._build(prepared, variables, context)
        if isinstance(execution, list):
            return {"errors": execution}
        result = execution.execute_operation()
        if isawaitable(result):
            result = await result
        # The schema has no @defer or @stream, so there is never more than one result.
        return _told(cast("ExecutionResult", result), context)

    async def subscribe(
        self, prepared: Prepared, variables: Variables, context: OperationContext
    ) -> AsyncGenerator[Result, None]:
        """Run a subscription for one watcher alone: ``follow``, with what is shared unwrapped."""
        async with aclosing(self.follow(prepared, variables, context)) as results:
            async for result in results:
                if not isinstance(result, Shared):
                    yield result
                elif result.told is not None:
                    yield result.told

    async def follow(
        self, prepared: Prepared, variables: Variables, context: OperationContext
    ) -> AsyncGenerator[Result | Shared[Result], None]:
        """Run a subscription: a result an event, the next event asked for only when the last was taken.

        A result that everybody of its channel gets alike is a ``Shared``. When the stream cannot start or breaks, the
        last result has errors and no ``data``.
        """
        execution = self._build(prepared, variables, context)
        if isinstance(execution, list):
            yield {"errors": execution}
            return
        source = create_source_event_stream(execution)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            yield {"errors": execution_errors(source.errors or (), context.viewer.request_id)}
            return
        async with aclosing(cast("AsyncGenerator[Any, None]", source)) as events:
            try:
                async for event in events:
                    if not isinstance(event, Shared):
                        yield await _of_event(execution, event, context)
                        continue
                    channel = channel_of(prepared.tree, prepared.operation_name, variables, event.channel)
                    told = None if event.told is None else await _of_event(execution, event.told, context)
                    yield Shared(channel, event.place, told)
            except Exception as failure:
                broken = GraphQLError(str(failure), original_error=failure)
                yield {"errors": execution_errors([broken], context.viewer.request_id)}

    def _build(
        self, prepared: Prepared, variables: Variables, context: OperationContext
    ) -> Execution[Any] | list[WireError]:
        """What runs the operation, or why it does not run: a key that does not cover it, variables that do not fit."""
        grant = context.viewer.grant
        if grant and (
            errors := beyond(prepared.document.demands(self._schema, prepared.operation_name), grant)
        ):
            return [*errors]
        execution = self._execution.build(
            self._schema,
            prepared.tree,
            context_value=context,
            raw_variable_values=variables,
            operation_name=prepared.operation_name,
            is_awaitable=cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable),
            hide_suggestions=not self._suggestions,
            plans=prepared.plans,
        )
        return document_errors(execution, "BAD_USER_INPUT") if isinstance(execution, list) else execution


async def _of_event(execution: Execution[Any], event: Any, context: OperationContext) -> Result:
    result = execute_subscription_event(execution.build_per_event_executor(event))
    return _told(await result if isawaitable(result) else result, context)


def _told(result: ExecutionResult, context: OperationContext) -> Result:
    if not result.errors:
        return {"data": result.data}
    return {"data": result.data, "errors": execution_errors(result.errors, context.viewer.request_id)}


_TOO_DEAR = (
    "This operation would cost {}, and {} is the most: ask for fewer things at a time (a smaller `first`),"
    " or for less of each (`seatString` in place of `seats`)."
)
