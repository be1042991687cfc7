"""The demo portal by itself: the code's scheme and age, what happens there without anybody, and the oracle."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import psutil
import pytest
from PIL import Image

from automation.capture.qr_image import text_of
from automation.demo_portal.code_events import drawn
from automation.demo_portal.diary import Happening
from automation.demo_portal.orders import Hint, Order, ScanRefused
from automation.demo_portal.people import PEOPLE, person_of
from automation.demo_portal.portal import Portal, Session
from automation.demo_portal.scenario import Scenario, ScenarioRefused, scenario_of
from automation.demo_portal.times import PLACES, Taken
from holdfast.demo_portal import beside
from holdfast.settings import Settings, load_settings
from tests.automation.phone import Phone
from tests.demo_portal import DemoPortal, Running, running_portal
from tests.processes import CONSOLE_SCRIPT

ADA, BO = person_of("Ada Ahlgren"), person_of("Bo Bergqvist")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 7, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def portal(clock: Clock) -> Portal:
    return Portal(clock=clock)


def began(portal: Portal) -> tuple[Session, Order]:
    """A login, and its first order."""
    session = portal.begin_login()
    assert session.login is not None
    return session, session.login.order(portal.clock())


def refused(portal: Portal, text: str) -> str:
    with pytest.raises(ScanRefused) as refusal:
        portal.scan(text, ADA)
    return refusal.value.hint


# The code


def test_a_code_is_the_orders_token_the_second_and_the_seconds_seal(portal: Portal, clock: Clock) -> None:
    _, order = began(portal)
    clock.pass_by(7.9)
    second = order.second(clock())
    seal = hmac.new(order.start_secret.encode(), b"7", hashlib.sha256).hexdigest()
    assert order.text(second) == f"bankid.{order.start_token}.7.{seal}"


@pytest.mark.parametrize(("age", "taken"), [(0, True), (0.999, True), (2, True), (2.001, False), (20, False)])
def test_the_phone_takes_a_code_for_two_seconds_after_its_own(
    portal: Portal, clock: Clock, age: float, taken: bool
) -> None:
    _, order = began(portal)
    clock.pass_by(5)
    text = order.text(5)
    clock.pass_by(age)
    if taken:
        assert portal.scan(text, ADA).hint(clock()) is Hint.USER_SIGN
    else:
        assert refused(portal, text) == "startFailed"
        assert order.hint(clock()) is Hint.START_FAILED
        portal.scan(order.text(order.second(clock())), ADA)  # the one that is shown now
    assert portal.diary.entries[0]["age"] == pytest.approx(age)


def test_a_code_that_nobody_was_shown_is_no_code(portal: Portal, clock: Clock) -> None:
    _, order = began(portal)
    real = order.text(0)
    for text in (
        "",
        "bankid",
        "bankid.x.0.y",
        real[:-1],
        real.replace(".0.", ".1."),
        real.upper(),
        f"{real}.0",
    ):
        assert refused(portal, text) == "invalidCode"


def test_an_order_lives_thirty_seconds_and_then_the_page_starts_another(portal: Portal, clock: Clock) -> None:
    session, first = began(portal)
    assert session.login is not None
    clock.pass_by(29.9)
    assert session.login.order(clock()) is first
    clock.pass_by(0.1)
    second = session.login.order(clock())
    assert second is not first
    assert second.start_token != first.start_token
    assert second.second(clock()) == 0
    assert refused(portal, first.text(29)) == "expiredTransaction"


def test_a_page_starts_so_many_orders_and_no_more(clock: Clock) -> None:
    portal = Portal(clock=clock, scenario=Scenario(orders=3))
    session, _ = began(portal)
    assert session.login is not None
    for _ in range(5):
        clock.pass_by(30)
        last = session.login.order(clock())
    assert len(session.login.orders) == 3
    assert last.hint(clock()) is Hint.EXPIRED


def test_a_scanned_order_waits_for_its_person_and_for_nobody_else(portal: Portal, clock: Clock) -> None:
    session, order = began(portal)
    portal.scan(order.text(0), ADA)
    assert refused(portal, order.text(0)) == "alreadyInProgress"
    clock.pass_by(100)
    assert not portal.confirm(BO)
    assert portal.finish_login(session) is None
    assert portal.confirm(ADA)
    signed_in = portal.finish_login(session)
    assert signed_in is not None
    assert signed_in.person == ADA
    assert signed_in.token != session.token
    assert portal.session(session.token) is None


def test_who_cancels_is_not_signed_in(portal: Portal, clock: Clock) -> None:
    session, order = began(portal)
    portal.scan(order.text(0), ADA)
    assert portal.cancel(ADA)
    assert order.hint(clock()) is Hint.USER_CANCEL
    assert portal.finish_login(session) is None
    assert not portal.confirm(ADA)


def test_a_session_slides(portal: Portal, clock: Clock) -> None:
    token = portal.enter(ADA).token
    for _ in range(3):
        clock.pass_by(1799)
        assert portal.session(token) is not None
    clock.pass_by(1800)
    assert portal.session(token) is None


def test_what_is_drawn_reads_as_the_code() -> None:
    code = drawn("bankid.67df3917-fa0d-44e5-b327-edcc928297f8.0." + "0" * 64)
    size = int(str(code["size"]))
    dark = str(code["modules"])
    image = Image.frombytes("L", (size, size), bytes(0 if each == "1" else 255 for each in dark))
    png = io.BytesIO()
    image.resize((size * 4, size * 4), Image.Resampling.NEAREST).save(png, "PNG")
    assert text_of(png.getvalue()) == "bankid.67df3917-fa0d-44e5-b327-edcc928297f8.0." + "0" * 64


def test_the_demo_portal_and_its_adapter_know_nothing_of_each_other() -> None:
    house = Path(__file__).parents[2]
    ours = re.compile(
        r"^(?:from|import) (?:holdfast|domain|db|schema|resolvers|automation\.(?!demo_portal))", re.M
    )
    for source in (house / "automation/demo_portal").glob("*.py"):
        assert not ours.search(source.read_text()), source.name
    for source in (house / "automation/portals").glob("*.py"):
        assert "demo_portal." not in source.read_text(), source.name


# Times, and other customers


def story(seed: int) -> tuple[list[str], list[object]]:
    """What was free and what happened in ten minutes, of a portal that somebody looks at now and then."""
    clock = Clock()
    portal = Portal(seed, clock=clock)
    free = []
    for seconds in (0, 60, 1, 239, 300):
        clock.pass_by(seconds)
        free.append(",".join(time.id for time in portal.times.free("Driving test", PLACES)))
    return free, list(portal.diary.entries)


def test_a_seed_tells_the_same_story_and_another_one_another() -> None:
    free, happened = story(1)
    assert story(1) == (free, happened)
    assert story(2) != (free, happened)
    assert len(set(free)) == 4  # it is not the same when one looks a second later, as a rule
    assert {entry["what"] for entry in happened if isinstance(entry, dict)} == {"appeared", "rival-took"}


def test_a_place_that_was_booked_out_is_the_first_to_have_times_again(portal: Portal, clock: Clock) -> None:
    portal.scenario = Scenario(new_times=1, rivals=0.4)
    for time in portal.times.free("Driving test", ["Uppsala"]):
        portal.times.take(time)
    assert portal.times.free("Driving test", ["Uppsala"]) == []
    clock.pass_by(5)
    assert len(portal.times.free("Driving test", ["Uppsala"])) == 1


def test_other_customers_leave_a_place_its_last_times(portal: Portal, clock: Clock) -> None:
    portal.scenario = Scenario(new_times=0, rivals=1)
    clock.pass_by(5 * 32)
    assert len(portal.times.free("Driving test", PLACES)) == len(PLACES) * 2


def test_what_one_keeps_another_cannot_and_gets_when_its_time_is_over(portal: Portal, clock: Clock) -> None:
    portal.scenario = Scenario(new_times=0, rivals=0)
    ada, bo = portal.enter(ADA), portal.enter(BO)
    time = portal.times.free("Driving test", ["Uppsala"])[0]
    portal.keep(ada, ADA, time.id, "B")
    assert time not in portal.times.free("Driving test", PLACES)
    with pytest.raises(Taken):
        portal.keep(bo, BO, time.id, "B")
    clock.pass_by(600)
    with pytest.raises(Taken):
        portal.book(portal.enter(ADA), ADA)
    portal.keep(bo, BO, time.id, "B")
    assert portal.book(bo, BO).time == time
    assert portal.diary.booked == {BO.number: 1}
    clicks = [entry["person"] for entry in portal.diary.entries if entry["what"] == Happening.CLICKED.value]
    assert clicks == [ADA.number, BO.number]


def test_who_chooses_another_time_lets_the_first_go(portal: Portal) -> None:
    portal.scenario = Scenario(new_times=0, rivals=0)
    ada = portal.enter(ADA)
    one, two, *_ = portal.times.free("Driving test", ["Uppsala"])
    portal.keep(ada, ADA, one.id, "B")
    portal.keep(ada, ADA, two.id, "B")
    assert one in portal.times.free("Driving test", ["Uppsala"])
    portal.end(ada)
    assert two in portal.times.free("Driving test", ["Uppsala"])


# Choices


def test_choices_are_read_from_words_and_wrong_ones_named() -> None:
    scenario = scenario_of(["code=svg", "order_seconds=2.5", "orders=3", "maintenance=true"])
    assert (scenario.code, scenario.order_seconds, scenario.orders, scenario.maintenance) == (
        "svg",
        2.5,
        3,
        True,
    )
    for wrong in ("code", "code=hologram", "orders=many", "maintenance=perhaps", "weather=fine"):
        with pytest.raises(ScenarioRefused, match=f"^{wrong.split('=')[0]} "):
            scenario_of([wrong])


# The process


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_portal("--seed", "7", "--scenario", "order_seconds=2", "--scenario", "rivals=0") as running:
        yield running


@asynccontextmanager
async def order_page(url: str) -> AsyncIterator[tuple[httpx2.AsyncClient, AsyncIterator[dict[str, object]]]]:
    """A login without a browser: the client, and what its page hears."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10, follow_redirects=True) as client:
        page = await client.post("/login", data={"device": "another"})
        events = re.search(r'data-events="([^"]+)"', page.text)
        assert events is not None
        async with client.stream("GET", events[1]) as stream:

            async def heard() -> AsyncIterator[dict[str, object]]:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))

            yield client, heard()


async def test_a_page_hears_a_code_each_second_and_every_change_of_its_order(running: Running) -> None:
    async with Phone(running.url) as phone, order_page(running.url) as (client, heard), asyncio.timeout(15):
        codes = [await anext(heard) for _ in range(3)]
        links = {str(code["autostart"]) for code in codes}
        assert len({str(code["modules"]) for code in codes}) == 3
        assert len(links) == 2  # after two seconds another order
        assert (await phone.scan(str(codes[-1]["autostart"]))).hint == "userSign"
        scanned = await anext(heard)
        assert (scanned["hides"], scanned["over"], scanned.get("modules")) == (True, False, None)
        await phone.confirm()
        done = await anext(heard)
        assert (done["done"], done["over"]) == (True, True)
        assert "Demo customer" in (await client.get("/login/done")).text


async def test_the_control_is_there_for_who_has_its_token_alone(running: Running) -> None:
    async with httpx2.AsyncClient(base_url=running.url, trust_env=False) as client:
        for path in ("/control/log", "/control/booked", "/control/times"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/control/sign-in", json={"person": "Demo admin"})).status_code == 404
    async with DemoPortal(running) as demo:
        assert await demo.booked() == {}


async def test_a_phone_listens_to_no_form_of_another_site_and_the_portal_to_no_other_name(
    running: Running,
) -> None:
    async with httpx2.AsyncClient(base_url=running.url, trust_env=False) as client:
        form = await client.post(
            "/phone/api/confirm",
            content='{"person": "Demo customer"}',
            headers={"content-type": "text/plain"},
        )
        assert form.status_code == 415
        elsewhere = await client.get("/", headers={"host": "rebound.example"})
        assert elsewhere.status_code == 400


async def test_each_demo_account_has_a_person(running: Running) -> None:
    async with httpx2.AsyncClient(base_url=running.url, trust_env=False) as client:
        phone = (await client.get("/phone")).text
    for account in ("customer", "provider", "staff", "admin"):
        assert f"<option>Demo {account}</option>" in phone
    assert len({person.number for person in PEOPLE}) == len(PEOPLE)


def test_a_wrong_choice_is_refused_at_the_start() -> None:
    command = [*CONSOLE_SCRIPT, "portal", "--port", "0", "--scenario", "weather=fine"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "weather is no choice" in done.stderr


def test_a_portal_beside_a_server_ends_with_it_however_it_ends(running: Running) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        child = subprocess.Popen(
            [*CONSOLE_SCRIPT, "portal", f"--listening={listening.fileno()}"],
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    assert httpx2.get(url, trust_env=False, timeout=10).status_code == 200
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(5) == 0
    assert psutil.pid_exists(running.pid)


async def test_a_demo_has_a_portal_beside_it_and_other_servers_have_none(data_dir: Path) -> None:
    demo = Settings(data_dir=data_dir)
    async with beside(demo) as settings, httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        url = settings.demo_portal_url
        assert url is not None
        assert (await client.get(url)).status_code == 200
        assert {url, url.replace("127.0.0.1", "localhost")} <= set(settings.allowed_origins)
        assert load_settings().demo_portal_url == url  # what a process that is started now would read
    assert load_settings().demo_portal_url is None
    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(url)
    elsewhere: Sequence[dict[str, object]] = (
        {"automation": False},
        {"portals": ()},
        {"database_url": "postgresql://db/holdfast"},
        {"demo_portal_url": url},
    )
    for other in elsewhere:
        of_others = demo.model_copy(update=other)
        async with beside(of_others) as settings:
            assert settings is of_others
