"""People, and how they sign in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from domain import access
from domain import accounts as domain
from schema.batches import batched
from schema.context import Context
from schema.ids import encode
from schema.types.node import Node
from schema.types.organizations import Organization
from schema.types.refusals import CredentialsRefused, InvalidInput

strawberry.enum(
    access.Role,
    description=(
        "What a person may do in one organization. Customers need no membership; "
        "guests carry a reservation's token."
    ),
)


@strawberry.type
class Membership:
    """What a person is in one organization."""

    organization: Organization
    role: access.Role

    @classmethod
    def of(cls, value: access.Membership) -> Self:
        """From the trade's value."""
        return cls(organization=Organization.of(value.organization), role=value.role)


@strawberry.type
class User(Node):
    """A person with an account. Nobody sees another's."""

    email: str
    name: str | None
    phone: str | None
    created_at: datetime
    user_id: strawberry.Private[UUID]

    @batched
    @staticmethod
    async def memberships(users: Sequence[User], context: Context) -> list[list[Membership]]:
        """What this person is in which organization, by its name."""
        return [
            [Membership.of(one) for one in await context.accounts.memberships(context.viewer, user.user_id)]
            for user in users
        ]

    @classmethod
    def of(cls, value: domain.User) -> Self:
        """From the trade's value, for this user's own eyes."""
        return cls(
            id=strawberry.ID(encode("User", value.id)),
            email=value.email,
            name=value.name,
            phone=value.phone,
            created_at=value.created_at,
            user_id=value.id,
        )


@strawberry.type
class Session:
    """Keep both tokens where other origins cannot read them, and out of URLs."""

    access_token: str = strawberry.field(description="A JWT (RS256); send it as `Authorization: Bearer ...`.")
    access_token_expires_at: datetime
    refresh_token: str = strawberry.field(description="For refreshSession, once; the answer has the next.")
    user: User

    @classmethod
    def of(cls, value: domain.Session) -> Self:
        """From the trade's value."""
        return cls(
            access_token=value.access_token,
            access_token_expires_at=value.access_token_expires_at,
            refresh_token=value.refresh_token,
            user=User.of(value.user),
        )


@strawberry.type
class LoggedOut:
    """Sessions are over."""

    sessions_ended: int


@strawberry.input
class RegisterInput:
    """A new account."""

    email: str
    password: str = strawberry.field(description="12 characters or more; a few words make a good one.")
    name: str | None = None
    phone: str | None = None

    def value(self) -> domain.Registration:
        """As the trade's value."""
        return domain.Registration(self.email, self.password, self.name, self.phone)


@strawberry.input
class LoginInput:
    """Who signs in."""

    email: str
    password: str


@strawberry.input
class RefreshInput:
    """A session to go on with."""

    refresh_token: str


@strawberry.input
class LogoutInput:
    """What to end: the refresh token's session, else the access token's; or all of the account."""

    refresh_token: str | None = None
    everywhere: bool = False


@strawberry.input
class ChangePasswordInput:
    """Ends every session of the account; the answer is a new one."""

    current_password: str
    new_password: str


RegisterResult = Annotated[Session | CredentialsRefused | InvalidInput, strawberry.union("RegisterResult")]
LoginResult = Annotated[Session | CredentialsRefused | InvalidInput, strawberry.union("LoginResult")]
LogoutResult = Annotated[LoggedOut | CredentialsRefused, strawberry.union("LogoutResult")]
