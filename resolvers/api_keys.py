"""Keys of integrators: made, listed and revoked by their organization's staff."""

from __future__ import annotations

from uuid import UUID

from strawberry import ID

from schema.context import Info
from schema.types.api_keys import (
    ApiKey,
    ApiKeyCreated,
    CreateApiKeyInput,
    CreateApiKeyResult,
    RevokeApiKeyInput,
    RevokeApiKeyResult,
)
from schema.types.ids import known_id, optional_id
from schema.types.paging import Connection, First, Keyset, checked_first

API_KEYS = Keyset("apiKeys", (UUID,))


async def api_keys(
    info: Info, organization_id: ID, first: First, after: str | None = None
) -> Connection[ApiKey]:
    """An organization's keys, revoked ones too, the newest first; for its staff."""
    page = await info.context.services.api_keys.page(
        info.context.viewer,
        optional_id(organization_id, "Organization", ("organizationId",)),
        checked_first(first),
        API_KEYS.read(after),
    )
    return API_KEYS.page(page, after, ApiKey.of)


async def create_api_key(info: Info, input: CreateApiKeyInput) -> CreateApiKeyResult:
    """Make a key for a program of an integrator."""
    keys = info.context.services.api_keys
    return ApiKeyCreated.of(await keys.create(info.context.viewer, input.value(), input.idempotency_key))


async def revoke_api_key(info: Info, input: RevokeApiKeyInput) -> RevokeApiKeyResult:
    """End a key at once; what it has open is closed."""
    keys = info.context.services.api_keys
    found = known_id(input.id, "ApiKey")
    return ApiKey.of(await keys.revoke(info.context.viewer, found, input.idempotency_key))
