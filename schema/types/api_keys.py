"""Keys of integrators, as their organization's staff see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import strawberry

from domain import api_keys as domain
from domain.scopes import Scope
from schema.ids import encode
from schema.types.ids import optional_id
from schema.types.node import Node
from schema.types.refusals import IdempotencyMismatch, InvalidInput, NotFound

ApiKeyScope = Scope
strawberry.enum(
    ApiKeyScope,
    name="ApiKeyScope",
    description=(
        "What a key may be used for. Every key has CATALOGUE_READ; ..._WRITE brings ..._READ. No key touches accounts, "
        "sessions and keys."
    ),
)


@strawberry.type
class ApiKey(Node):
    """A program's key, without its secret. It acts as who made it, within its scopes and this organization."""

    name: str
    prefix: str = strawberry.field(description="The middle of the key, by which logs and people may call it.")
    scopes: list[ApiKeyScope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    revoked_at: datetime | None
    created_by: strawberry.ID = strawberry.field(description="The id of the User as whom it acts.")

    @classmethod
    def of(cls, value: domain.ApiKey) -> Self:
        """From the trade's value."""
        return cls(
            id=strawberry.ID(encode("ApiKey", value.id)),
            name=value.name,
            prefix=value.prefix,
            scopes=list(value.scopes),
            created_at=value.created_at,
            expires_at=value.expires_at,
            last_used_at=value.last_used_at,
            revoked_at=value.revoked_at,
            created_by=strawberry.ID(encode("User", value.account_id)),
        )


@strawberry.type
class ApiKeyCreated:
    """A new key."""

    api_key: ApiKey
    key: str | None = strawberry.field(
        description="Send it as `Authorization: Bearer ...`. Shown once: null where the same request was sent before."
    )

    @classmethod
    def of(cls, value: domain.CreatedKey) -> Self:
        """From the trade's value."""
        return cls(api_key=ApiKey.of(value.key), key=value.text)


@strawberry.input
class CreateApiKeyInput:
    """A key to be made, by staff of the organization."""

    organization_id: strawberry.ID
    name: str = strawberry.field(description="What uses it, for people.")
    scopes: list[ApiKeyScope]
    expires_at: datetime | None = strawberry.field(default=None, description="Never, if it is not said.")
    idempotency_key: str | None = None

    def value(self) -> domain.KeyWish:
        """As the trade's value."""
        organization_id = optional_id(self.organization_id, "Organization", ("organizationId",))
        return domain.KeyWish(organization_id, self.name, self.scopes, self.expires_at)


@strawberry.input
class RevokeApiKeyInput:
    """A key to be ended."""

    id: strawberry.ID
    idempotency_key: str | None = None


CreateApiKeyResult = Annotated[
    ApiKeyCreated | InvalidInput | NotFound | IdempotencyMismatch, strawberry.union("CreateApiKeyResult")
]
RevokeApiKeyResult = Annotated[
    ApiKey | InvalidInput | NotFound | IdempotencyMismatch, strawberry.union("RevokeApiKeyResult")
]
