"""Who may do what in an organization. Customers need no membership; who has none learns nothing of others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from domain.catalogue import Organization
from domain.errors import Forbidden, HoldfastError, Unauthenticated
from domain.viewer import Viewer

if TYPE_CHECKING:
    from domain.ports import Transaction


class Role(StrEnum):
    """What a person is in one organization."""

    PROVIDER = "PROVIDER"
    STAFF = "STAFF"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's role in an organization."""

    organization: Organization
    role: Role


MANAGING = frozenset({Role.STAFF, Role.ADMIN})
"""The roles that run the catalogue and see everything sold in their organization."""


def may_manage(role: Role | None) -> bool:
    """Whether this role changes the catalogue, blocks seats and ends reservations. None is no member."""
    return role in MANAGING


def may_see_bookings(role: Role | None, user_id: UUID | None, provider_id: UUID | None) -> bool:
    """Whether this role sees what is sold on a resource: a provider where ``provider_id`` is their own."""
    return may_manage(role) or (role is Role.PROVIDER and user_id is not None and user_id == provider_id)


def signed_in_user(viewer: Viewer) -> UUID:
    """The id of the caller's account. Raises Unauthenticated for a guest."""
    if viewer.user_id is None:
        raise Unauthenticated("Sign in first: send an access token as `Authorization: Bearer <token>`.")
    return viewer.user_id


async def role_of(tx: Transaction, viewer: Viewer, organization_id: UUID) -> Role | None:
    """The caller's role in an organization, None for guests and for those who are no members.

    A key has no role outside its own organization.
    """
    if viewer.user_id is None or (viewer.grant and viewer.grant.organization_id != organization_id):
        return None
    return await tx.accounts.role(viewer.user_id, organization_id)


async def require_role(
    tx: Transaction, viewer: Viewer, organization_id: UUID, roles: Collection[Role]
) -> Role:
    """The caller's role, one of ``roles``. Raises Unauthenticated for a guest, Forbidden for anybody else."""
    signed_in_user(viewer)
    role = await role_of(tx, viewer, organization_id)
    if role is None or role not in roles:
        raise Forbidden("Your account may not do this in this organization.")
    return role


async def is_staff(tx: Transaction, viewer: Viewer, organization_id: UUID) -> bool:
    """Whether the caller is staff or admin of the organization."""
    return may_manage(await role_of(tx, viewer, organization_id))


async def must_be_staff(
    tx: Transaction, viewer: Viewer, organization_id: UUID, otherwise: HoldfastError | None = None
) -> None:
    """Raise ``otherwise``, to hide that there is something, else a Denial, for who is not staff or admin."""
    if otherwise is None:
        await require_role(tx, viewer, organization_id, MANAGING)
    elif not await is_staff(tx, viewer, organization_id):
        raise otherwise
