"""Who is signed in, across processes: sessions that end, tokens that run out, keys that change."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt import PyJWKSet

from tests.acceptance import documents
from tests.acceptance.cluster import Cluster, field_of
from tests.clients import Completed, EventStream, GraphQLHttp, GraphQLSocket, Json, Subscription
from tests.keys import new_signing_key
from tests.processes import Holdfast

BEFORE_LONG = 1.0


async def watching_bookings(socket: GraphQLSocket) -> Subscription:
    watch = await socket.subscribe(documents.WATCH_BOOKINGS)
    assert (await watch.next())["data"]["bookings"]["__typename"] == "BookingSnapshot"
    return watch


@pytest.mark.feature("S2.3", "S2.34")
async def test_signing_out_through_one_server_ends_the_streams_at_the_other(cluster: Cluster) -> None:
    session = await cluster.sign_in("customer", cluster.a)
    token = session["accessToken"]
    async with (
        await GraphQLSocket.connect(cluster.b.url, token) as private,
        await GraphQLSocket.connect(cluster.b.url) as public,
        GraphQLHttp(cluster.b.url) as reader,
        GraphQLHttp(cluster.a.url) as elsewhere,
    ):
        await watching_bookings(private)
        departure = await cluster.departure()
        seats = await public.subscribe(documents.WATCH, {"target": {"scheduleId": departure["id"]}})
        await seats.next()
        async with reader.stream(documents.WATCH_BOOKINGS, token=token) as stream:
            await stream.next()
            variables = {"token": session["refreshToken"]}
            assert await field_of(elsewhere.run(documents.LOGOUT, variables)) == {"sessionsEnded": 1}
            async with asyncio.timeout(BEFORE_LONG):
                assert (await private.closed()).code == 4403
                assert await last_word(stream) == "UNAUTHENTICATED"
        answer = await reader.run(documents.VIEWER, token=token)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        await public.run(documents.SERVER)
        assert seats.frames.empty()


async def last_word(stream: EventStream) -> str:
    """The code of the error with which a stream ends."""
    code = ""
    while True:
        try:
            result = await stream.next()
        except Completed:
            return code
        code = result["errors"][0]["extensions"]["code"]


@pytest.mark.feature("S3.27", "S3.35")
async def test_a_socket_outlives_no_token_unless_it_is_given_a_fresh_one(cluster: Cluster) -> None:
    person = await cluster.person(life=timedelta(seconds=3))
    async with (
        await GraphQLSocket.connect(cluster.a.url, person.token) as forgetful,
        await GraphQLSocket.connect(cluster.b.url, person.token) as careful,
        GraphQLHttp(cluster.b.url) as reader,
        reader.stream(documents.WATCH_BOOKINGS, token=person.token) as stream,
    ):
        await watching_bookings(forgetful)
        await watching_bookings(careful)
        await stream.next()
        await careful.renew(cluster.token(person.user_id, person.session_id, timedelta(minutes=5)))
        assert (await forgetful.closed(3 + BEFORE_LONG)).code == 4403
        async with asyncio.timeout(BEFORE_LONG):
            assert await last_word(stream) == "UNAUTHENTICATED"
        assert (await field_of(careful.run(documents.VIEWER)))["email"].startswith(person.user_id.hex)
        answer = await reader.run(documents.VIEWER, token=person.token)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_another_users_token_does_not_keep_a_socket(cluster: Cluster) -> None:
    person, other = await cluster.person(), await cluster.person()
    async with await GraphQLSocket.connect(cluster.a.url, person.token) as socket:
        await watching_bookings(socket)
        await socket.send({"type": "ping", "payload": {"authorization": f"Bearer {other.token}"}})
        assert (await socket.closed()).code == 4403


@pytest.mark.feature("S2.5", "S2.6", "S2.26")
async def test_keys_rotate_and_nobody_is_signed_out(cluster: Cluster, fresh_folder: Path) -> None:
    """Keys kept in the data directory: two servers read them, one of which started before they changed."""

    def start() -> Holdfast:
        return cluster.start(jwt_private_key="", data_dir=fresh_folder)

    before = await asyncio.to_thread(start().ready)
    early = await cluster.sign_in("provider", before)
    with Holdfast("rotate-keys", fresh_folder, data_dir=fresh_folder) as rotating:
        assert await asyncio.to_thread(rotating.ended) == 0, rotating.said
    async with await GraphQLSocket.connect(before.url, early["accessToken"]) as socket:
        await watching_bookings(socket)
        after = await asyncio.to_thread(start().ready)
        late = await cluster.sign_in("provider", after)
        assert kid(late) != kid(early)
        for server in (before, after):
            async with GraphQLHttp(server.url) as http:
                for session in (early, late):
                    viewer = await field_of(http.run(documents.VIEWER, token=session["accessToken"]))
                    assert viewer["email"] == "provider@demo.example"
            keys = json.loads(server.get("/.well-known/jwks.json")[1])["keys"]
            assert {key["kid"] for key in keys} == {kid(early), kid(late)}
            assert all("d" not in key for key in keys)
            for session in (early, late):  # as somebody checks it who knows nothing but the keys
                key = PyJWKSet.from_dict({"keys": keys})[kid(session)]
                assert jwt.decode(session["accessToken"], key, algorithms=["RS256"])["iss"] == "holdfast"
        assert (await field_of(socket.run(documents.VIEWER)))["email"] == "provider@demo.example"


@pytest.mark.feature("S0.5", "S2.36", "S2.41", "S3.27")
async def test_a_signing_key_can_be_given_and_an_earlier_one_kept(
    cluster: Cluster, fresh_folder: Path
) -> None:
    earlier, old = fresh_folder / "earlier.pem", await cluster.sign_in("admin")
    earlier.write_text(cluster.signing_key)
    given: dict[str, Any] = {
        "jwt_private_key": new_signing_key(),
        "jwt_previous_keys": earlier,
    }
    with await asyncio.to_thread(cluster.start(**given, access_token_minutes=5).ready) as server:
        new = await cluster.sign_in("admin", server)
        assert kid(new) != kid(old)
        assert [life(old), life(new)] == [timedelta(minutes=30), timedelta(minutes=5)]
        async with GraphQLHttp(server.url) as there, GraphQLHttp(cluster.a.url) as here:
            for session in (old, new):
                viewer = await field_of(there.run(documents.VIEWER, token=session["accessToken"]))
                assert viewer["email"] == "admin@demo.example"
            stranger = await here.run(documents.VIEWER, token=new["accessToken"])
            assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def life(session: Json) -> timedelta:
    """How long a session's access token is good."""
    claims = jwt.decode(session["accessToken"], options={"verify_signature": False})
    return timedelta(seconds=claims["exp"] - claims["iat"])


def kid(session: Json) -> str:
    """Which key signed a session's access token."""
    return str(jwt.get_unverified_header(session["accessToken"])["kid"])
