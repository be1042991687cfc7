"""Accounts through GraphQL."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.access import Role
from domain.errors import Unauthenticated
from domain.viewer import Viewer
from schema.documents import DocumentLimits
from schema.executor import Executor
from schema.ids import decode
from schema.root import schema
from tests.world import World, new_world

EMAIL, PASSWORD = "anna@example.org", "slow trains at night"

SESSION = """
  __typename
  ... on Session { accessToken accessTokenExpiresAt refreshToken user { id email name phone memberships { role } } }
  ... on Refusal { code message path }
"""
REGISTER = f"mutation ($input: RegisterInput!) {{ register(input: $input) {{ {SESSION} }} }}"
LOGIN = f"mutation ($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}"
REFRESH = f"mutation ($input: RefreshInput!) {{ refreshSession(input: $input) {{ {SESSION} }} }}"
CHANGE = f"mutation ($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ {SESSION} }} }}"
LOGOUT = """
mutation ($input: LogoutInput!) {
  logout(input: $input) { __typename ... on LoggedOut { sessionsEnded } ... on Refusal { code message path } }
}
"""
VIEWER = "{ viewer { id email memberships { role organization { name } } } }"
NODE = "query ($id: ID!) { node(id: $id) { __typename id ... on User { email phone } } }"


async def register(world: World, email: str = EMAIL) -> Any:
    return await world.data(REGISTER, input={"email": email, "password": PASSWORD, "name": "Anna"})


async def signed_in(world: World, session: Any) -> Viewer:
    return await world.app.identity.authenticate(f"Bearer {session['accessToken']}", "192.0.2.1", "r")


@pytest.mark.feature("S2.1", "S4.1", "S4.3", "S3.1", "S3.35", "S4.30", "S2.36")
async def test_who_registers_has_a_session_and_is_the_viewer(world: World) -> None:
    session = await register(world)
    assert session["__typename"] == "Session"
    assert session["user"] == {
        "id": session["user"]["id"],
        "email": EMAIL,
        "name": "Anna",
        "phone": None,
        "memberships": [],
    }
    viewer = await signed_in(world, session)
    left = datetime.fromisoformat(session["accessTokenExpiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    assert decode(session["user"]["id"], "User")[1] == viewer.user_id
    assert await world.data(VIEWER, viewer) == {
        "id": session["user"]["id"],
        "email": EMAIL,
        "memberships": [],
    }
    assert await world.data(VIEWER) is None


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"email": EMAIL.upper(), "password": PASSWORD}, "EMAIL_TAKEN", ["email"]),
        ({"email": "bert@example.org", "password": "123"}, "WEAK_PASSWORD", ["password"]),
        ({"email": "bert", "password": PASSWORD}, "INVALID_INPUT", ["email"]),
    ],
)
async def test_a_sign_up_that_cannot_be_says_why(
    world: World, given: Any, code: str, path: list[str]
) -> None:
    await register(world)
    refused = await world.data(REGISTER, input=given)
    assert (refused["code"], refused["path"]) == (code, path)


async def test_an_unknown_address_and_a_wrong_password_read_the_same(world: World) -> None:
    await register(world)
    wrong = await world.data(LOGIN, input={"email": EMAIL, "password": "wrong"})
    unknown = await world.data(LOGIN, input={"email": "nobody@example.org", "password": PASSWORD})
    assert wrong == unknown
    assert (wrong["__typename"], wrong["code"]) == ("CredentialsRefused", "INVALID_CREDENTIALS")


@pytest.mark.feature("S3.51")
@pytest.mark.parametrize("email", [EMAIL, "nobody@example.org"])
async def test_three_hundred_aliases_in_one_document_are_three_hundred_tries(
    world: World, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(world)
    hasher, compared = world.app.identity.hasher, list[str]()
    verify = hasher.verify

    async def counted(password_hash: str | None, password: str) -> bool:
        compared.append(password)
        return await verify(password_hash, password)

    monkeypatch.setattr(hasher, "verify", counted)
    guesses = "\n".join(
        f'g{n}: login(input: {{email: "{email}", password: "guess {n}"}}) {{ ... on Refusal {{ code }} }}'
        for n in range(300)
    )
    # More than any server lets through: the throttle does not rely on that.
    world.executor = Executor(schema, DocumentLimits(tokens=10_000, root_fields=300, aliases=300, cost=10**9))
    result = await world.run(f"mutation {{ {guesses} }}")
    assert result["data"] is None
    assert _answers(result) == {"RATE_LIMITED": 1}
    # A field that may not be null ends its document; the tries of the next document still count.
    again = await world.run(LOGIN, input={"email": email, "password": PASSWORD})
    (error,) = again["errors"]
    assert compared == [f"guess {n}" for n in range(6)]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["extensions"]["retryAfter"] >= 1


def _answers(result: dict[str, Any]) -> Counter[str]:
    return Counter(error["extensions"]["code"] for error in result["errors"])


@pytest.mark.feature("S2.2", "S2.27")
async def test_a_refresh_gives_the_next_pair_and_an_old_token_ends_the_session(world: World) -> None:
    first = await register(world)
    second = await world.data(REFRESH, input={"refreshToken": first["refreshToken"]})
    third = await world.data(REFRESH, input={"refreshToken": second["refreshToken"]})
    assert third["user"] == first["user"]
    refused = await world.data(REFRESH, input={"refreshToken": first["refreshToken"]})
    assert refused["code"] == "INVALID_CREDENTIALS"
    with pytest.raises(Unauthenticated):
        await signed_in(world, third)


@pytest.mark.feature("S2.4")
async def test_a_new_password_ends_the_old_sessions_on_every_process(
    world: World, data_dir: Path, database_url: str
) -> None:
    session = await register(world)
    async with new_world(data_dir, database_url) as other:
        viewer = await signed_in(other, session)
        change = {"currentPassword": PASSWORD, "newPassword": "quick trains by day"}
        fresh = await other.data(CHANGE, viewer, input=change)
        assert fresh["__typename"] == "Session"
        await signed_in(world, fresh)
        with pytest.raises(Unauthenticated):
            await signed_in(other, session)
        late = await world.data(LOGIN, input={"email": EMAIL, "password": PASSWORD})
        assert late["code"] == "INVALID_CREDENTIALS"
    assert await world.code(CHANGE, input=change) == "UNAUTHENTICATED"


@pytest.mark.feature("S2.34", "S2.3")
async def test_logout_here_elsewhere_and_everywhere(world: World) -> None:
    sessions = [await register(world)] + [
        await world.data(LOGIN, input={"email": EMAIL, "password": PASSWORD}) for _ in range(3)
    ]
    viewer = await signed_in(world, sessions[0])
    assert await world.data(LOGOUT, viewer, input={}) == {"__typename": "LoggedOut", "sessionsEnded": 1}
    one = await world.data(LOGOUT, input={"refreshToken": sessions[1]["refreshToken"]})
    assert one["sessionsEnded"] == 1
    everywhere = await world.data(LOGOUT, await signed_in(world, sessions[2]), input={"everywhere": True})
    assert everywhere["sessionsEnded"] == 2
    for session in sessions:
        with pytest.raises(Unauthenticated):
            await signed_in(world, session)
    assert (await world.data(LOGOUT, input={"refreshToken": "x"}))["code"] == "INVALID_CREDENTIALS"
    assert await world.code(LOGOUT, input={}) == "UNAUTHENTICATED"


async def test_memberships_name_the_organization_and_the_role(world: World) -> None:
    organization = await world.organization()
    staff = await world.member(organization, Role.STAFF)
    viewer = await world.data(VIEWER, staff)
    assert viewer["memberships"] == [{"role": "STAFF", "organization": {"name": organization.name}}]


async def test_nobody_sees_another_user_not_even_the_staff_of_their_organization(world: World) -> None:
    organization = await world.organization()
    admin, staff = await world.member(organization, Role.ADMIN), await world.member(organization)
    own = await world.data(VIEWER, staff)
    assert (await world.data(NODE, staff, id=own["id"]))["email"] == own["email"]
    for stranger in (admin, await world.person(), world.guest()):
        assert await world.data(NODE, stranger, id=own["id"]) is None


@pytest.mark.feature("S3.26")
async def test_nothing_personal_and_no_secret_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    session = await register(world)
    await world.data(LOGIN, input={"email": EMAIL, "password": "wrong"})
    await world.data(REFRESH, input={"refreshToken": session["refreshToken"]})
    said = caplog.text + str(await world.tables.fetch("SELECT * FROM event"))
    for secret in (EMAIL, "Anna", PASSWORD, session["refreshToken"], session["accessToken"], "192.0.2.1"):
        assert secret not in said
