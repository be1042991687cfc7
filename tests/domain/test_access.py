from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast
from uuid import UUID, uuid4

import pytest

from domain.access import MANAGING, Role, is_staff, may_manage, may_see_bookings, must_be_staff, require_role
from domain.errors import Forbidden, NotFound, Unauthenticated
from domain.ports import Transaction
from domain.viewer import Viewer

PERSON, ORGANIZATION = uuid4(), uuid4()
GUEST = Viewer("192.0.2.1", "r")
SIGNED_IN = Viewer("192.0.2.1", "r", user_id=PERSON)


@dataclass
class Members:
    """Stands for a transaction whose accounts know these roles."""

    roles: dict[tuple[UUID, UUID], Role] = field(default_factory=dict)

    @property
    def accounts(self) -> Members:
        return self

    async def role(self, account_id: UUID, organization_id: UUID) -> Role | None:
        return self.roles.get((account_id, organization_id))


def members(role: Role | None) -> Transaction:
    return cast("Transaction", Members({(PERSON, ORGANIZATION): role} if role else {}))


@pytest.mark.parametrize(
    ("role", "manages"), [(Role.ADMIN, True), (Role.STAFF, True), (Role.PROVIDER, False), (None, False)]
)
async def test_staff_and_admins_manage_and_nobody_else(role: Role | None, manages: bool) -> None:
    assert may_manage(role) is manages
    assert await is_staff(members(role), SIGNED_IN, ORGANIZATION) is manages
    assert not await is_staff(members(role), SIGNED_IN, uuid4())
    assert not await is_staff(members(role), GUEST, ORGANIZATION)


def test_a_provider_sees_the_bookings_of_their_own_resources_only() -> None:
    assert may_see_bookings(Role.PROVIDER, PERSON, PERSON)
    assert not may_see_bookings(Role.PROVIDER, PERSON, uuid4())
    assert not may_see_bookings(Role.PROVIDER, PERSON, None)
    assert not may_see_bookings(Role.PROVIDER, None, None)
    assert not may_see_bookings(None, PERSON, PERSON)
    assert may_see_bookings(Role.STAFF, PERSON, None)


async def test_a_guest_is_told_to_sign_in_and_a_member_without_the_role_that_they_may_not() -> None:
    with pytest.raises(Unauthenticated, match="Sign in"):
        await require_role(members(Role.ADMIN), GUEST, ORGANIZATION, MANAGING)
    with pytest.raises(Forbidden):
        await require_role(members(Role.PROVIDER), SIGNED_IN, ORGANIZATION, MANAGING)
    with pytest.raises(Forbidden):
        await require_role(members(Role.ADMIN), SIGNED_IN, uuid4(), MANAGING)
    assert await require_role(members(Role.STAFF), SIGNED_IN, ORGANIZATION, MANAGING) is Role.STAFF


async def test_what_must_not_be_known_of_is_not_found_whoever_asks() -> None:
    hidden = NotFound("No such thing.")
    for viewer in (GUEST, SIGNED_IN):
        with pytest.raises(NotFound):
            await must_be_staff(members(Role.PROVIDER), viewer, ORGANIZATION, otherwise=hidden)
    await must_be_staff(members(Role.ADMIN), SIGNED_IN, ORGANIZATION, otherwise=hidden)
