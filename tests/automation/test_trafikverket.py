"""The adapter for Trafikverket: its terms and floors, and its pages on a replica of our own, in a real Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from automation.portals import portals, visit_of
from automation.portals.trafikverket import LICENCES, TrafikverketPortal, slot_in, slot_on_line
from domain.errors import InvalidInput
from domain.jobs import AutomationFailure, Outcome, Slot
from domain.journey import Journey
from domain.portals import (
    CaptchaShown,
    CapturedCode,
    CodeExpired,
    LoggedOut,
    LoginRefused,
    Person,
    PortalChanged,
    PortalDown,
    SlotTaken,
    Visit,
)
from domain.runs import Patience, Walk
from holdfast.settings import Settings
from tests.automation.trafikverket_replica import Line, Replica, replica
from tests.chromium import chromium
from tests.domain.test_journey import WrittenRun

pytestmark = pytest.mark.feature("S0.8")

CONFIG = {"licence": "B", "exam": "Körprov", "vehicle": "Automatbil", "places": ["Uppsala", "Gävle"]}
SOON = {"day": "2027-03-12", "clock": "08:15", "place": "Uppsala"}
LATER = {"day": "2027-03-14", "clock": "13.45", "place": "Gävle"}
SOON_SLOT = Slot(date(2027, 3, 12), time(8, 15), "Uppsala")
LATER_SLOT = Slot(date(2027, 3, 14), time(13, 45), "Gävle")


# ------------------------------------------------------------------------------------------------- terms


def test_it_is_off_unless_its_operator_switches_it_on() -> None:
    assert "trafikverket" not in Settings().portals
    assert list(portals(Settings().portals)) == []
    assert list(portals(["trafikverket"])) == ["trafikverket"]


def test_nothing_makes_it_hurry() -> None:
    pace = TrafikverketPortal().politeness
    assert pace.between_searches == timedelta(seconds=30)
    assert pace.least_between_searches >= timedelta(seconds=10)
    assert pace.between_requests >= timedelta(seconds=3)
    assert not [name for name in Settings.model_fields if "pause" in name or "search" in name]


def test_its_browser_reaches_its_own_origin_alone() -> None:
    assert TrafikverketPortal().origins == ("https://fp.trafikverket.se",)


@pytest.mark.feature("S0.10", "S0.11", "S0.15", "S1.27")
def test_its_config_is_checked_and_the_older_names_are_understood() -> None:
    portal = TrafikverketPortal()
    older = {"license_type": "B", "exam_type": "Körprov", "locations": ["Uppsala"]}
    assert portal.checked(older) == {"licence": "B", "exam": "Körprov", "places": ["Uppsala"]}
    assert set(LICENCES) == {"B", "A", "A1", "A2"}
    for wrong, path in (
        ({}, ["config"]),
        ({"places": []}, ["config", "places"]),
        ({"places": ["a", "b", "c", "d", "e"]}, ["config", "places"]),
        ({"places": [" "]}, ["config", "places", "0"]),
        ({"places": ["Uppsala"], "licence": "Z"}, ["config", "licence"]),
        ({"places": ["Uppsala"], "personnummer": "19900101-2384"}, ["config"]),
        ({"places": ["Uppsala"], "from": "2027-03-02", "to": "2027-03-01"}, ["config", "to"]),
        ({"places": ["Uppsala"], "earliest": "25:00"}, ["config", "earliest"]),
    ):
        with pytest.raises(InvalidInput) as refusal:
            portal.checked(wrong)
        assert list(refusal.value.path or ()) == path


def test_nobody_signs_in_for_whom_no_name_is_known() -> None:
    portal = TrafikverketPortal()
    assert portal.expected_name({"person": "Astrid Exempel"}, "Somebody Else") == "Astrid Exempel"
    assert portal.expected_name({}, "Astrid Exempel") == "Astrid Exempel"
    assert portal.expected_name({}, None) is None


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("fre 2027-03-12 kl. 08:15\nUppsala", SOON_SLOT),
        ("2027-03-12 08.15 UPPSALA, Boländerna", SOON_SLOT),
        ("2027-03-12 08:15 Uppsala-Boländerna", None),
        ("2027-03-12 08:15 Gävle", None),
        ("2027-03-12 08:15 Uppsala 2027-03-13 09:00", None),
        ("2027-13-12 08:15 Uppsala", None),
        ("08:15 Uppsala", None),
    ],
)
def test_a_time_is_one_time_at_one_of_the_places_or_none(text: str, slot: Slot | None) -> None:
    assert slot_in(text, ["Uppsala"]) == slot


def test_a_line_of_bookings_tells_its_place_itself() -> None:
    assert slot_on_line("Körprov B\t2027-03-12 08:15\tUppsala\tBokningsnummer: 4711") == SOON_SLOT
    assert slot_on_line("Körprov B 2027-03-12 08:15, Uppsala, Boländerna") == SOON_SLOT
    assert slot_on_line("Körprov B 2027-03-12") is None


# ------------------------------------------------------------------------------------------------- pages


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@asynccontextmanager
async def visiting(browser: Browser, site: Replica) -> AsyncIterator[Visit]:
    context = await browser.new_context(locale="sv-SE")
    try:
        yield visit_of("trafikverket")(await context.new_page(), TrafikverketPortal(site.url))
    finally:
        await context.close()


async def signed_in(visit: Visit, site: Replica) -> Person:
    await visit.arrive()
    await visit.open_login()
    await visit.begin_identity_check()
    site.login = "signed"
    return await visit.signed_in()


async def at_times(visit: Visit, site: Replica, **more: Any) -> dict[str, Any]:
    await signed_in(visit, site)
    config = {**CONFIG, **more}
    await visit.configure(config)
    await visit.choose_places(config)
    return config


browsers = pytest.mark.asyncio(loop_scope="module")


@browsers
@pytest.mark.browser
@pytest.mark.feature("S0.9", "S0.10", "S0.11", "S1.26")
async def test_a_time_is_booked_and_stands_in_the_persons_own_list(browser: Browser) -> None:
    async with replica(LATER, SOON) as site, visiting(browser, site) as visit:
        await visit.arrive()
        await visit.open_login()
        await visit.begin_identity_check()
        async with visit.codes() as codes, asyncio.timeout(10):
            seen = [(await anext(codes)).text for _ in range(3)]
        assert len(set(seen)) == 3
        assert all(text.startswith("bankid.") for text in seen)
        site.login = "signed"
        assert await visit.signed_in() == Person("Astrid Exempel")
        await visit.configure(CONFIG)
        await visit.choose_places(CONFIG)
        assert await visit.search(CONFIG) == [SOON_SLOT, LATER_SLOT]
        assert list(await visit.my_bookings()) == []
        await visit.configure(CONFIG)
        await visit.choose_places(CONFIG)
        assert (await visit.search(CONFIG))[0] == SOON_SLOT
        assert await visit.choose(SOON_SLOT) == SOON_SLOT
        number = await visit.confirm(SOON_SLOT)
        assert number == "FP2027-4711"
        (booking,) = await visit.my_bookings()
        assert (booking.number, booking.slot) == (number, SOON_SLOT)
        asked = dict(site.asked)
        assert asked["occasion-bundles"] == {
            "exam": "Körprov",
            "vehicle": "Automatbil",
            "places": CONFIG["places"],
        }
        assert asked["confirm"] == {"again": site.phone}
        await visit.sign_out()
        assert not site.inside


@browsers
@pytest.mark.browser
async def test_only_times_that_fit_are_told_and_none_is_no_failure(browser: Browser) -> None:
    async with replica(SOON, LATER) as site, visiting(browser, site) as visit:
        config = await at_times(visit, site, **{"from": "2027-03-13"})
        assert await visit.search(config) == [LATER_SLOT]
        assert await visit.search({**config, "latest": "12:00"}) == []
        site.times = []
        assert await visit.search(config) == []


@browsers
@pytest.mark.browser
async def test_an_empty_answer_is_not_believed_where_another_time_is_kept(browser: Browser) -> None:
    async with replica(SOON, LATER, keeps=[LATER]) as site, visiting(browser, site) as visit:
        config = await at_times(visit, site)
        await visit.search(config)
        assert await visit.choose(SOON_SLOT) == LATER_SLOT
        with pytest.raises(SlotTaken):
            await visit.confirm(SOON_SLOT)
        assert [path for path, _ in site.asked].count("create-reservation") == 1
        assert site.booked == []


@browsers
@pytest.mark.browser
async def test_who_is_slower_is_told_before_and_after_the_click(browser: Browser) -> None:
    async with replica(SOON, taken=True) as site, visiting(browser, site) as visit:
        config = await at_times(visit, site)
        await visit.search(config)
        with pytest.raises(SlotTaken):
            await visit.choose(LATER_SLOT)
        with pytest.raises(SlotTaken):
            await visit.choose(SOON_SLOT)
        site.taken, site.lapsed = False, True
        await visit.search(config)
        await visit.choose(SOON_SLOT)
        with pytest.raises(SlotTaken):
            await visit.confirm(SOON_SLOT)


@browsers
@pytest.mark.browser
async def test_a_session_that_is_over_is_told_by_an_envelope_and_by_the_front_page(browser: Browser) -> None:
    async with replica(SOON) as site, visiting(browser, site) as visit:
        config = await at_times(visit, site)
        await visit.search(config)
        site.inside = False
        with pytest.raises(LoggedOut):
            await visit.choose(SOON_SLOT)
        with pytest.raises(LoggedOut):
            await visit.my_bookings()
        site.login = "waiting"
        assert (await signed_in(visit, site)).name == "Astrid Exempel"
        await visit.configure(config)
        site.inside = False
        with suppress(LoggedOut):  # the form asks by itself as soon as the places are chosen
            await visit.choose_places(config)
        with pytest.raises(LoggedOut):
            await visit.search(config)


@browsers
@pytest.mark.browser
@pytest.mark.parametrize(
    ("said", "failure"),
    [("Identifieringen avbröts.", LoginRefused), ("Det tog för lång tid.", CodeExpired)],
)
async def test_a_login_that_is_not_finished_says_why(
    browser: Browser, said: str, failure: type[Exception]
) -> None:
    async with replica() as site, visiting(browser, site) as visit:
        await visit.arrive()
        await visit.open_login()
        await visit.begin_identity_check()
        site.login = said
        with pytest.raises(failure):
            await visit.signed_in()


@browsers
@pytest.mark.browser
@pytest.mark.parametrize(
    ("notice", "failure"),
    [
        ('<iframe title="reCAPTCHA" srcdoc="x"></iframe>', CaptchaShown),
        ("<p>Bekräfta att du inte är en robot</p>", CaptchaShown),
        ("<h1>Du står i kö</h1>", CaptchaShown),
        ("<h1>Tjänsten är tillfälligt stängd</h1>", PortalDown),
        ("<h1>Välkommen till något annat</h1>", PortalChanged),
    ],
)
async def test_a_captcha_and_a_queue_are_the_persons_own_to_pass(
    browser: Browser, notice: str, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.portals.outcomes.KNOWN", 1.0)
    async with replica(notice=notice) as site, visiting(browser, site) as visit:
        with pytest.raises(failure):
            await visit.arrive()
        assert [path for path, _ in site.asked] == ["start"]


@browsers
@pytest.mark.browser
async def test_what_is_the_persons_to_give_is_not_made_up(browser: Browser) -> None:
    async with replica(SOON, phone="") as site, visiting(browser, site) as visit:
        config = await at_times(visit, site)
        await visit.search(config)
        await visit.choose(SOON_SLOT)
        with pytest.raises(PortalChanged, match="phone number"):
            await visit.confirm(SOON_SLOT)
        assert site.booked == []
    away: Line = {"day": "x", "clock": "y", "place": "Uppsala"}
    async with replica(away) as site, visiting(browser, site) as visit:
        config = await at_times(visit, site)
        with pytest.raises(PortalChanged):
            await visit.search(config)


# ------------------------------------------------------------------------------------------- the journey


@dataclass
class Watched(WrittenRun):
    """A run whose person signs in as soon as they are shown a code."""

    site: Replica = field(default_factory=Replica)

    async def show_code(self, code: CapturedCode) -> None:
        await super().show_code(code)
        self.site.login = "signed"


async def journey(visit: Visit, site: Replica, expected: str) -> Watched:
    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)

    run, portal = Watched(site=site), TrafikverketPortal(site.url)
    config = portal.checked(CONFIG)
    walk = Walk(visit, run, portal, config, Patience(), pause, lambda least, most: (least + most) / 2)
    await Journey(walk, portal.expected_name(config, expected)).go()
    return run


@browsers
@pytest.mark.browser
@pytest.mark.feature("S0.8")
async def test_a_journey_books_once_for_the_person_who_signs_in(browser: Browser) -> None:
    async with replica(LATER, SOON) as site, visiting(browser, site) as visit:
        run = await journey(visit, site, "astrid exempel")
        assert (run.outcome, run.failure) == (Outcome("FP2027-4711", SOON_SLOT), None), run.words
        assert len(site.booked) == 1
    async with replica(SOON) as site, visiting(browser, site) as visit:
        run = await journey(visit, site, "")
        assert (run.outcome, run.failure) == (None, AutomationFailure.LOGIN_REFUSED)
        assert not site.inside
        assert "occasion-bundles" not in dict(site.asked)


@browsers
@pytest.mark.browser
async def test_a_journey_goes_on_looking_where_another_time_is_kept(browser: Browser) -> None:
    elsewhere = SOON | {"place": "Gävle", "clock": "09:00"}
    async with replica(SOON, keeps=[elsewhere, elsewhere]) as site, visiting(browser, site) as visit:
        run = await journey(visit, site, "Astrid Exempel")
        assert [path for path, _ in site.asked].count("create-reservation") == 3
        assert (run.outcome, len(site.booked)) == (Outcome("FP2027-4711", SOON_SLOT), 1)
