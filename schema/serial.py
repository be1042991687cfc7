"""The mutations of one document run one after the other (GraphQL, 6.2.2), and each tells what it left behind."""

from __future__ import annotations

from typing import Any

from strawberry.extensions.field_extension import AsyncExtensionResolver, FieldExtension

from schema.context import Info


class Anew(FieldExtension):
    """Forgets what an earlier mutation of the document has loaded: this one is about to change it."""

    async def resolve_async(
        self,
        next_: AsyncExtensionResolver,
        source: Any,
        info: Info,
        **arguments: Any,
    ) -> Any:
        """Run the mutation."""
        info.context.forget()
        return await next_(source, info, **arguments)
