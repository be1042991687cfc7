"""The older systems' contract: their front ends' requests, sockets and words, unchanged."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from domain.access import Role
from domain.api_keys import KeyWish
from domain.jobs import FINAL, Advance, AutomationStatus
from domain.scopes import Scope
from domain.viewer import Viewer
from holdfast.older import words
from holdfast.transport.http_protocol import ConnectionLimits, limited
from holdfast.transport.server import Server
from holdfast.transport.socket_protocol import SocketProtocol
from holdfast.web import make_web
from tests.graphql.automating import PNG, PORTAL_URL, SLOT, UNTIL_CODE, Automating, Running
from tests.servers import PostgresServer
from tests.world import World, new_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]
Answer = httpx2.Response

NESTED = {
    "job_id": "booking_20261119_101112",
    "config": {
        "license_type": "B",
        "exam": "Körprov",
        "locations": ["Uppsala", "Sollentuna"],
        "webhook_url": "http://receiver.example/hook",
    },
}
FLAT = {"user_id": "user-17", "license_type": "B", "exam_type": "Körprov", "locations": ["Uppsala"]}
MESSAGE_LIMIT = 4_096


@dataclass
class House:
    """A server on a loopback port, and somebody who may start jobs there."""

    url: str
    jobs: Automating
    http: httpx2.AsyncClient

    @property
    def world(self) -> World:
        return self.jobs.world

    def headers(self, viewer: Viewer | None = None) -> dict[str, str]:
        return {"authorization": f"Bearer {self.world.token(viewer or self.jobs.owner)}"}

    async def post(self, path: str, body: object, viewer: Viewer | None = None) -> Answer:
        return await self.http.post(f"/api/v1/booking/{path}", json=body, headers=self.headers(viewer))

    async def get(self, path: str, viewer: Viewer | None = None) -> Answer:
        return await self.http.get(f"/api/v1/booking/{path}", headers=self.headers(viewer))

    async def running(self, name: str) -> Running:
        """The job of the owner's with that id, taken by a worker."""
        services = self.world.app.services
        job = await services.owned.job_by_reference(self.jobs.owner, name)
        assert job is not None
        return Running(job, services.automation, services.live, self.jobs.worker)

    @asynccontextmanager
    async def socket(self, name: str, **options: Any) -> AsyncIterator[ClientConnection]:
        async with connect(
            f"{self.url.replace('http', 'ws')}/ws/{name}", proxy=None, **options
        ) as connection:
            yield connection

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[ClientConnection]:
        async with self.socket(name, additional_headers=self.headers()) as connection:
            yield connection


async def told(connection: ClientConnection, kind: str, **wanted: object) -> Json:
    """The next message of a kind that has these fields; those before it are passed over."""
    async with asyncio.timeout(10):
        while True:
            message: Json = json.loads(await connection.recv())
            if message["type"] == kind and wanted.items() <= message.items():
                return message


async def closed(connection: ClientConnection) -> int | None:
    """How the server closes it."""
    with suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            async for _ in connection:
                pass
    return connection.close_code


@asynccontextmanager
async def open_house(data_dir: Path, database_url: str, **settings: Any) -> AsyncIterator[House]:
    settings = {"demo_portal_url": PORTAL_URL, "socket_message_bytes": MESSAGE_LIMIT, **settings}
    async with new_world(data_dir, database_url, **settings) as world:
        web = make_web(world.app)
        config = uvicorn.Config(
            web.asgi,
            port=0,
            http=limited(ConnectionLimits(), web.transport.refused),
            ws=SocketProtocol,
            ws_max_size=MESSAGE_LIMIT,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        server = Server(config, web.transport.drain)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.wait({serving}, timeout=0.01)
            assert not serving.done(), serving
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:
                yield House(url, await Automating.of(world), http)
        finally:
            server.should_exit = True
            await serving
            await web.watch.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(run_dir: Path, postgres: PostgresServer) -> AsyncIterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="older-", dir=run_dir))
    folder.chmod(0o711)
    with postgres.database() as database_url:
        async with open_house(folder, database_url) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def house(shared: House) -> House:
    """One server a module; each test begins without jobs, with somebody new and a worker."""
    await shared.world.tables.execute("TRUNCATE automation_job, automation_worker, webhook_endpoint CASCADE")
    await shared.world.tables.execute("UPDATE portal SET enabled = true")
    return replace(shared, jobs=await Automating.of(shared.world))


# ---------------------------------------------------------------------------------------- the requests


@pytest.mark.feature("S0.1", "S1.1")
async def test_who_asks_whether_it_is_alive_is_told_so(house: House) -> None:
    assert (await house.http.get("/health")).json() == {"status": "healthy"}


@pytest.mark.feature("S0.2", "S0.7", "S0.12", "S1.3", "S0.10", "S0.11")
async def test_a_job_begins_under_the_id_that_its_caller_picked(house: House) -> None:
    answer = await house.post("start", NESTED)
    name = NESTED["job_id"]
    assert answer.status_code == 200
    assert answer.json() == {
        "job_id": name,
        "status": "starting",
        "message": answer.json()["message"],
        "webhook_configured": True,
        "websocket_url": f"/ws/{name}",
        "qr_polling_url": f"/api/v1/booking/{name}/qr",
    }
    job = (await house.running(str(name))).job
    assert (job.portal_key, job.reference, job.account_id) == ("demo", name, house.jobs.owner.user_id)
    assert job.config == {"licence": "B", "exam": "Driving test", "places": ["Uppsala", "Sollentuna"]}
    endpoint = await house.world.tables.fetchrow("SELECT url, older, job_id FROM webhook_endpoint")
    assert endpoint is not None
    assert (endpoint["url"], endpoint["older"], endpoint["job_id"]) == (
        "http://receiver.example/hook",
        True,
        job.id,
    )


@pytest.mark.feature("S1.3", "S1.4", "S1.7", "S1.27")
async def test_a_flat_start_names_for_whom_it_is_and_gets_an_id(house: House) -> None:
    answer = (await house.post("start", FLAT)).json()
    assert (answer["status"], answer["webhook_configured"]) == ("starting", False)
    status = (await house.get(f"status/{answer['job_id']}")).json()
    assert (status["user_id"], status["progress"], status["booking_result"]) == ("user-17", 0, None)
    other = (await house.post("start", FLAT | {"user_id": "user-18", "job_id": "mine"})).json()
    listed = (await house.get("status")).json()
    assert [job["job_id"] for job in listed["jobs"]] == ["mine", answer["job_id"]]
    assert other["job_id"] == "mine"


@pytest.mark.feature("S0.3", "S0.4", "S0.25", "S1.4", "S1.5")
async def test_status_and_code_are_got_by_asking_again(house: House) -> None:
    await house.post("start", NESTED)
    name = str(NESTED["job_id"])
    job = await house.running(name)
    assert (await house.get(f"{name}/qr")).status_code == 404
    await job.reach(*UNTIL_CODE)
    await job.show(3)
    code = await house.get(f"{name}/qr")
    image = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert code.json() | {"timestamp": ""} == {
        "type": "qr_update", "job_id": name, "image_data": image, "timestamp": "",
    }  # fmt: skip
    assert code.headers["cache-control"] == "no-store"
    by_our_id = (await house.get(f"status/{job.id}")).json()
    assert by_our_id == (await house.get(f"status/{name}")).json()
    assert (by_our_id["status"], by_our_id["message"]) == ("qr_waiting", "It is qr_waiting.")
    await job.hide()
    assert (await house.get(f"{name}/qr")).status_code == 404
    await job.reach(AutomationStatus.AUTHENTICATED, AutomationStatus.BOOKING)
    await job.complete()
    assert (await house.get(f"status/{name}")).json()["booking_result"] == {
        "booking_id": "DEMO-4711",
        "exam_date": SLOT.date.isoformat(),
        "exam_time": "09:30",
        "location": "Uppsala",
    }


@pytest.mark.feature("S1.6")
async def test_a_job_is_stopped_by_its_id(house: House) -> None:
    await house.post("start", NESTED)
    name = str(NESTED["job_id"])
    job = await house.running(name)
    await job.reach(*UNTIL_CODE)
    await job.advance(Advance(AutomationStatus.BOOKING, "Booking.", fence=SLOT))
    stopping = (await house.post("stop", {"job_id": name})).json()
    assert (stopping["job_id"], stopping["status"]) == (name, "stopping")
    await job.reach(AutomationStatus.STOPPED)
    assert (await house.post("stop", {"job_id": name})).json()["status"] == "stopped"
    assert (await house.post("start", NESTED)).json()["status"] == "starting"  # the id is free again


async def test_an_id_stands_for_one_job_that_is_not_over(house: House) -> None:
    assert (await house.post("start", FLAT | {"job_id": "one"})).status_code == 200
    again = await house.post("start", FLAT | {"job_id": "one", "user_id": "user-18"})
    assert (again.status_code, again.json()["field"]) == (409, "job_id")
    same_person = await house.post("start", FLAT | {"job_id": "two"})
    assert same_person.status_code == 409
    assert "field" not in same_person.json(), "of a portal they know nothing"


@pytest.mark.feature(
    "S1.14", "S1.15", "S1.16", "S1.17", "S1.18", "S1.19", "S1.20", "S1.21", "S1.22", "S1.23", "S1.24"
)  # fmt: skip
async def test_every_status_has_a_word_that_they_know() -> None:
    theirs = (
        "starting navigating login bankid qr_waiting authenticated configuring locations searching booking"
    )
    known = {words._OTHERWISE.get(status, status.value.lower()) for status in AutomationStatus}
    assert known == {*theirs.split(), "completed", "failed", "stopped", "timed_out"}
    assert {status.value.lower() for status in FINAL} < known


# --------------------------------------------------------------------------------------- what is refused


@pytest.mark.feature("S1.32", "S0.5")
async def test_what_cannot_be_read_is_refused_with_its_reason(house: House) -> None:
    headers = house.headers() | {"content-type": "application/json"}
    deep = b"[" * 100_000 + b"]" * 100_000
    for path in ("start", "stop"):
        for body, status in (
            (b"", 400), (b"{", 400), (b"[]", 400), (b'"x"', 400), (b"null", 400), (b"17", 400), (b"\xff\xfe", 400),
            (deep, 400), (b'{"job_id": ' + b"9" * 5_000 + b"}", 400), (b'{"job_id": "' + b"x" * 300_000 + b'"}', 413),
            (b'{"job_id": "a/b"}', 422), (b'{"job_id": "\\u0000"}', 422), (b'{"job_id": ["x"]}', 422),
        ):  # fmt: skip
            answer = await house.http.post(f"/api/v1/booking/{path}", content=body, headers=headers)
            assert answer.status_code == status, (path, body[:40], answer.text)
            assert set(answer.json()) <= {"detail", "code", "field"}
            assert len(answer.json()["detail"]) <= 300
    for change, field in (
        ({"config": []}, "config"),
        ({"license_type": "Z"}, "config.license_type"),
        ({"locations": "Uppsala"}, "config.locations"),
        ({"locations": ["x"] * 500}, "config.locations"),
        ({"locations": ["x"] * 5_000}, "config"),
        ({"user_id": {"x": 1}}, "user_id"),
        ({"user_id": "\0"}, "user_id"),
        ({"webhook_url": 17.5}, "webhook_url"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url"),
    ):
        answer = await house.post("start", FLAT | change)
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    text = await house.http.post("/api/v1/booking/start", content=b"{}", headers=house.headers())
    assert text.status_code == 415
    assert (await house.http.get("/api/v1/booking/start", headers=house.headers())).status_code == 405
    assert await house.world.tables.fetchval("SELECT count(*) FROM automation_job") == 0


async def test_what_is_no_id_leads_to_nothing(house: House) -> None:
    for name in ("x", "%00", "..", "%27%20OR%201=1", "a" * 5_000, str(uuid4()), "%C3%A5", "%FF"):
        for path in (f"status/{name}", f"{name}/qr"):
            answer = await house.get(path)
            assert answer.status_code == 404, (path, answer.text)


@pytest.mark.feature("S1.31")
async def test_requests_are_counted_as_elsewhere(data_dir: Path, database_url: str) -> None:
    async with open_house(data_dir, database_url, requests_per_minute=2) as house:
        answers = [await house.get("status") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.feature("S0.6")
async def test_without_a_worker_or_with_the_portal_off_the_caller_is_told_to_come_back(house: House) -> None:
    for change in ("DELETE FROM automation_worker", "UPDATE portal SET enabled = false"):
        await house.world.tables.execute(change)
        answer = await house.post("start", FLAT)
        assert (answer.status_code, answer.json()["code"]) == (503, "PORTAL_UNAVAILABLE")


# --------------------------------------------------------------------------------------------- who asks


async def paths(house: House, name: str) -> AsyncIterator[tuple[str, str, object]]:
    yield "GET", "status", None
    for path in (f"status/{name}", f"{name}/qr"):
        yield "GET", path, None
    yield "POST", "stop", {"job_id": name}
    yield "POST", "start", FLAT | {"user_id": "another"}


@pytest.mark.feature("S0.5", "S0.6", "S1.30")
async def test_nobody_else_learns_of_a_job_or_its_code(house: House) -> None:
    await house.post("start", NESTED)
    job = await house.running(str(NESTED["job_id"]))
    await job.reach(*UNTIL_CODE)
    await job.show(1)
    elsewhere = await house.world.member(await house.world.organization(), Role.ADMIN)
    for other in (await house.world.person("bertil"), elsewhere, await house.jobs.staff()):
        assert (await house.get("status", other)).json() == {"jobs": []}
        for name in (str(NESTED["job_id"]), str(job.id)):
            for answer in (
                await house.get(f"status/{name}", other),
                await house.get(f"{name}/qr", other),
                await house.post("stop", {"job_id": name}, other),
            ):
                assert (answer.status_code, answer.json()) == (
                    404,
                    {"detail": "No such job.", "code": "NOT_FOUND", "field": "job_id"},
                )
            async with house.socket(name, additional_headers=house.headers(other)) as connection:
                assert await closed(connection) == 4404
    assert (await house.get(f"{job.id}/qr")).status_code == 200


@pytest.mark.feature("S0.5", "S1.30")
async def test_who_shows_nothing_or_nothing_good_gets_nothing(house: House) -> None:
    ended = await house.world.person()
    assert ended.session_id is not None
    house.world.app.identity.ended.note(ended.session_id)
    for header in (None, "Bearer x", "Bearer hf_x", "Basic YTpi", house.headers(ended)["authorization"]):
        headers = {"authorization": header} if header else {}
        async for method, path, body in paths(house, "x"):
            url = f"/api/v1/booking/{path}?token={house.world.token(house.jobs.owner)}"
            answer = await house.http.request(method, url, json=body, headers=headers)
            assert answer.status_code == 401, (header, path)
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.feature("S0.5")
async def test_a_key_with_the_scope_does_what_a_token_does_and_no_other(house: House) -> None:
    organization = await house.world.organization()
    staff = await house.world.member(organization)
    keys = house.world.app.services.api_keys
    made = {
        scope: (await keys.create(staff, KeyWish(organization.id, "till", [scope]))).text for scope in Scope
    }
    for scope, key in made.items():
        headers = {"authorization": f"Bearer {key}"}
        answer = await house.http.get("/api/v1/booking/status", headers=headers)
        assert answer.status_code == (200 if scope is Scope.AUTOMATION else 403), scope
    async with house.socket("x") as connection:
        await connection.send(json.dumps({"type": "auth", "token": made[Scope.BOOKINGS_READ]}))
        assert await closed(connection) == 4403


# ------------------------------------------------------------------------------------------ the socket


@pytest.mark.feature("S0.13", "S1.8", "S1.25", "S1.28")
async def test_a_socket_tells_each_status_and_each_code_until_the_end(house: House) -> None:
    await house.post("start", NESTED)
    name = str(NESTED["job_id"])
    job = await house.running(name)
    async with house.watching(name) as connection:
        assert (await told(connection, "status_update"))["status"] == "starting"
        await job.reach(*UNTIL_CODE)
        waiting = await told(connection, "status_update", status="qr_waiting")
        assert (waiting["job_id"], waiting["progress"]) == (name, 25)
        for second in (1, 2):
            await job.show(second)
            code = await told(connection, "qr_update")
            assert set(code) == {"type", "job_id", "image_data", "timestamp"}
            assert code["image_data"].startswith("data:image/png;base64,")
        await job.hide()
        await job.reach(AutomationStatus.BOOKING)
        await job.complete()
        done = await told(connection, "status_update", status="completed")
        assert (done["progress"], done["booking_result"]["booking_id"]) == (100, "DEMO-4711")
        assert await closed(connection) == 1000
    async with house.watching(name) as late:
        assert (await told(late, "status_update"))["status"] == "completed"
        assert await closed(late) == 1000


@pytest.mark.feature("S1.8")
async def test_who_comes_late_is_shown_the_code_that_is_good_now(house: House) -> None:
    job = await house.jobs.waiting(reference="late")
    await job.show(7)
    async with house.socket("late") as connection:
        token = house.world.token(house.jobs.owner)
        await connection.send(json.dumps({"type": "auth", "token": token}))
        assert (await told(connection, "status_update"))["status"] == "qr_waiting"
        await told(connection, "qr_update")
        await connection.send("whatever an older page may say")
        await job.show(8)
        await told(connection, "qr_update")


@pytest.mark.feature("S0.6", "S1.30")
async def test_a_socket_that_says_nothing_good_first_is_closed(house: House) -> None:
    await house.jobs.waiting(reference="mine")
    for first, code in (
        ("{}", 4401), ("[]", 4401), ('"x"', 4401), ("null", 4401), ('{"type": "auth", "token": 1}', 4401),
        ('{"type": "auth"}', 4401), ("no json", 4400), ("[" * 3_000, 4400), ("", 4400), (b"\x00", 4400),
        ('{"type": "auth", "token": "x"}', 4403), ('{"type": "auth", "token": ""}', 4403),
    ):  # fmt: skip
        async with house.socket(f"mine?token={house.world.token(house.jobs.owner)}") as connection:
            await connection.send(first)
            assert await closed(connection) == code, first


async def test_a_page_from_elsewhere_opens_no_socket(house: House) -> None:
    with pytest.raises(InvalidStatus):
        async with house.socket("x", origin="https://evil.example"):
            raise AssertionError


@pytest.mark.feature("S0.6")
async def test_a_socket_ends_with_its_session_and_with_its_key(house: House) -> None:
    world = house.world
    organization = await world.organization()
    staff = await world.member(organization)
    keys = world.app.services.api_keys
    made = await keys.create(staff, KeyWish(organization.id, "till", [Scope.AUTOMATION]))
    await house.jobs.start(staff, reference="theirs")
    async with house.socket(
        "theirs", additional_headers={"authorization": f"Bearer {made.text}"}
    ) as with_key:
        await told(with_key, "status_update")
        await keys.revoke(staff, made.id)
        assert await closed(with_key) == 4403
    async with house.socket("theirs", additional_headers=house.headers(staff)) as with_token:
        await told(with_token, "status_update")
        assert staff.session_id is not None
        world.app.identity.ended.note(staff.session_id)
        assert await closed(with_token) == 4403


async def test_a_socket_that_shouts_is_closed(house: House) -> None:
    await house.jobs.start(reference="mine")
    for shouted in (["x"] * 300, ["x" * (MESSAGE_LIMIT + 1)]):
        async with house.watching("mine") as connection:
            await told(connection, "status_update")
            await _shout(connection, shouted)
            assert await closed(connection) in (1008, 1009)


async def _shout(connection: ClientConnection, messages: Iterable[str]) -> None:
    with suppress(ConnectionClosed):
        for message in messages:
            await connection.send(message)


async def test_sockets_of_one_account_are_bounded(data_dir: Path, database_url: str) -> None:
    async with open_house(data_dir, database_url, sockets_per_account=1) as house:
        await house.jobs.start(reference="mine")
        async with house.watching("mine") as first:
            await told(first, "status_update")
            async with house.watching("mine") as second:
                assert await closed(second) == 1008


async def test_a_server_that_stops_says_so_and_waits_for_no_socket(data_dir: Path, database_url: str) -> None:
    async with AsyncExitStack() as left_open:
        async with open_house(data_dir, database_url) as house:
            await house.jobs.start(reference="mine")
            connection = await left_open.enter_async_context(house.watching("mine"))
            await told(connection, "status_update")
        assert await closed(connection) in (1001, 1012)


async def test_what_nobody_expected_closes_the_socket_and_tells_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await house.jobs.start(reference="mine")
    monkeypatch.setattr(words, "status_update", lambda job: 1 / 0)
    async with house.watching("mine") as connection:
        assert await closed(connection) == 1011
        assert connection.close_reason == "Internal error"
    assert "an older socket failed" in caplog.text
