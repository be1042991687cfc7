"""The journey over a portal that does as it is told: each way it can go, and each end it can have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta

import pytest

from domain.errors import PolicyViolation, Unavailable
from domain.jobs import AutomationFailure, AutomationStatus, LeaseLost, Outcome, Slot
from domain.journey import Journey
from domain.portal_login import NOT_HANDED_OVER, SCAN, folded
from domain.portals import (
    BrowserCrashed,
    CaptchaShown,
    CapturedCode,
    CodeExpired,
    LoggedOut,
    LoginRefused,
    Person,
    Politeness,
    PortalBooking,
    PortalChanged,
    PortalDown,
    SlotTaken,
)
from domain.runs import Patience, Walk
from tests.domain.scripted_visit import (
    FARSTA,
    KISTA,
    UPPSALA,
    After,
    Ledger,
    ScriptedPortal,
    ScriptedVisit,
)

S, F = AutomationStatus, AutomationFailure
HAPPY = [
    S.NAVIGATING,
    S.LOGIN,
    S.BANKID,
    S.QR_WAITING,
    S.AUTHENTICATED,
    S.CONFIGURING,
    S.LOCATIONS,
    S.SEARCHING,
    S.BOOKING,
    S.COMPLETED,
]


@dataclass
class WrittenRun:
    """A run that writes down what it is told."""

    fence: Slot | None = None
    left: float = 60.0
    told: list[tuple[AutomationStatus, str]] = field(default_factory=list)
    codes: list[CapturedCode] = field(default_factory=list)
    hidden: int = 0
    answers: list[bool] = field(default_factory=list)
    turns: int = 0
    deaf: int = 0
    """How many codes cannot be handed over."""
    unwelcome: PolicyViolation | None = None
    outcome: Outcome | None = None
    failure: AutomationFailure | None = None
    peace: timedelta = timedelta(0)

    async def step(self, status: AutomationStatus, message: str) -> None:
        self.told.append((status, message))

    async def show_code(self, code: CapturedCode) -> None:
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("Redis is away.")
        self.codes.append(code)

    async def hide_code(self) -> None:
        self.hidden += 1

    async def turn(self) -> None:
        self.turns += 1

    async def portal_answers(self, answers: bool) -> timedelta:
        self.answers.append(answers)
        return self.peace

    async def identify(self, person: Person) -> None:
        if self.unwelcome is not None:
            raise self.unwelcome

    async def raise_fence(self, slot: Slot, message: str) -> None:
        self.fence = slot
        await self.step(S.BOOKING, message)

    async def lift_fence(self, message: str) -> None:
        self.fence = None
        await self.step(S.SEARCHING, message)

    async def complete(self, outcome: Outcome, message: str) -> None:
        self.outcome = outcome
        await self.step(S.COMPLETED, message)

    async def fail(self, failure: AutomationFailure, message: str) -> None:
        self.failure = failure
        await self.step(S.FAILED, message)

    async def time_out(self, message: str) -> None:
        await self.step(S.TIMED_OUT, message)

    @property
    def statuses(self) -> Sequence[AutomationStatus]:
        """Each status as it was entered."""
        entered: list[AutomationStatus] = []
        for status, _ in self.told:
            if entered[-1:] != [status]:
                entered.append(status)
        return entered

    @property
    def words(self) -> str:
        """The last message."""
        return self.told[-1][1]


@dataclass
class Story:
    """A journey and all that it touches; its pauses take no time, and are written down."""

    visit: ScriptedVisit
    run: WrittenRun = field(default_factory=WrittenRun)
    portal: ScriptedPortal = field(default_factory=ScriptedPortal)
    patience: Patience = field(default_factory=Patience)
    pauses: list[float] = field(default_factory=list)
    expected: str | None = "Ada Lindström"

    async def go(self) -> WrittenRun:
        walk = Walk(
            self.visit,
            self.run,
            self.portal,
            {},
            self.patience,
            self._pause,
            lambda least, most: (least + most) / 2,
        )
        await Journey(walk, self.expected).go()
        return self.run

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


def story(**script: Sequence[object]) -> Story:
    return Story(ScriptedVisit(Ledger(), **script))


def booked(told: Story) -> list[Slot]:
    return [each.slot for each in told.visit.ledger.booked]


@pytest.mark.feature("S1.15", "S1.16", "S1.17", "S1.18", "S1.19", "S1.20", "S1.21", "S1.22", "S1.23", "S1.24")
async def test_a_journey_without_surprises_goes_through_the_statuses_in_their_order() -> None:
    told = story()
    run = await told.go()
    assert run.statuses == HAPPY
    assert run.outcome == Outcome("N1", UPPSALA)
    assert booked(told) == [UPPSALA]
    assert run.hidden == 1
    assert [code.text for code in run.codes] == [code.text for code in told.visit.shown]
    assert run.words == "Booked: 2031-03-12 08:15, Uppsala, number N1."


async def test_each_step_waits_for_its_turn_at_the_portal_and_the_click_directly_follows_its_fence() -> None:
    told = story()
    run = await told.go()
    requests = [step for step in told.visit.taken if step not in ("code", "signed_in")]
    assert run.turns == len(requests)


async def test_pauses_between_searches_are_those_of_the_portal() -> None:
    told = story(search=[[], [], []])
    told.portal = ScriptedPortal(Politeness(timedelta(seconds=30), timedelta(seconds=10)))
    await told.go()
    between = [pause for pause in told.pauses if pause]
    assert len(between) == 3
    assert all(29.5 < pause <= 30 for pause in between)


async def test_no_pause_between_searches_is_below_the_portals_floor() -> None:
    told = story(search=[[], []])
    told.portal = ScriptedPortal(Politeness(timedelta(seconds=1), timedelta(seconds=10)))
    await told.go()
    assert all(9.5 < pause <= 10 for pause in told.pauses if pause)


async def test_while_nothing_fits_the_search_goes_on_and_says_so_once() -> None:
    told = story(search=[[], [], []])
    run = await told.go()
    assert run.statuses == HAPPY
    assert len([message for status, message in run.told if status == S.SEARCHING]) == 2


async def test_a_slot_that_somebody_else_takes_sends_the_job_back_to_searching_for_another_first() -> None:
    told = story(choose=[SlotTaken()])
    run = await told.go()
    assert run.statuses == [*HAPPY[:-1], S.SEARCHING, S.BOOKING, S.COMPLETED]
    assert booked(told) == [KISTA]


async def test_a_slot_that_was_lost_and_is_the_only_one_is_asked_for_again() -> None:
    told = story(choose=[SlotTaken()])
    told.visit.free = [UPPSALA]
    await told.go()
    assert booked(told) == [UPPSALA]


async def test_another_slot_that_the_portal_kept_is_booked_only_if_it_was_among_those_that_fit() -> None:
    told = story(choose=[FARSTA, KISTA])
    run = await told.go()
    assert booked(told) == [KISTA]
    assert run.outcome == Outcome("N1", KISTA)
    assert told.visit.taken.count("search") == 2


async def test_a_slot_taken_at_the_very_click_is_looked_for_in_the_portals_list_before_another_is_booked() -> (
    None
):
    told = story(confirm=[SlotTaken()])
    run = await told.go()
    assert run.statuses[8:] == [S.BOOKING, S.RECONCILING, S.SEARCHING, S.BOOKING, S.COMPLETED]
    assert booked(told) == [KISTA]
    assert told.visit.taken.count("my_bookings") == 4


async def test_a_slot_that_is_told_to_be_taken_and_was_taken_by_us_is_not_booked_again() -> None:
    told = story(confirm=[After(SlotTaken())])
    run = await told.go()
    assert run.outcome == Outcome("N1", UPPSALA)
    assert booked(told) == [UPPSALA]


@pytest.mark.parametrize("lost", [PortalDown("503"), LoggedOut(), PortalChanged("odd"), CaptchaShown()])
async def test_an_answer_that_was_lost_after_a_click_that_landed_is_found_in_the_portals_list(
    lost: Exception,
) -> None:
    told = story(confirm=[After(lost)])
    run = await told.go()
    assert run.outcome == Outcome("N1", UPPSALA)
    assert S.RECONCILING in run.statuses
    assert booked(told) == [UPPSALA]


@pytest.mark.parametrize("lost", [PortalDown("503"), LoggedOut(), PortalChanged("odd")])
async def test_a_click_that_never_landed_is_made_again_only_after_the_list_was_empty_for_half_a_minute(
    lost: Exception,
) -> None:
    told = story(confirm=[lost])
    run = await told.go()
    assert run.outcome is not None
    assert len(booked(told)) == 1
    assert sum(told.pauses) >= 30
    assert told.visit.taken.count("my_bookings") >= 6


async def test_a_click_that_lands_late_is_still_found() -> None:
    told = story(confirm=[PortalDown("time-out")])

    async def late() -> list[PortalBooking]:
        told.visit.ledger.book(UPPSALA)
        return []

    told.visit.script["my_bookings"] = [None, [], [], late]
    run = await told.go()
    assert run.outcome == Outcome("N1", UPPSALA)
    assert booked(told) == [UPPSALA]


async def test_a_number_that_the_portals_list_does_not_show_is_no_completed_job() -> None:
    told = story(confirm=["N77"])
    run = await told.go()
    assert run.failure is F.UNKNOWN_OUTCOME
    assert run.outcome is None
    assert "2031-03-12 08:15, Uppsala" in run.words
    assert told.visit.taken.count("confirm") == 1


async def test_a_number_that_stands_for_another_time_is_no_completed_job() -> None:
    told = story()

    async def elsewhere() -> str:
        return told.visit.ledger.book(FARSTA)

    told.visit.script["confirm"] = [elsewhere]
    run = await told.go()
    assert run.failure is F.UNKNOWN_OUTCOME
    assert told.visit.taken.count("confirm") == 1


@pytest.mark.parametrize("lost", [PortalDown("503"), LoggedOut()])
async def test_whether_somebody_has_a_booking_is_asked_again_where_the_answer_was_lost(
    lost: Exception,
) -> None:
    told = story(my_bookings=[lost])
    told.visit.ledger.book(FARSTA)
    run = await told.go()
    assert run.failure is F.LOGIN_REFUSED
    assert "confirm" not in told.visit.taken


async def test_behind_a_fence_an_attempt_signs_in_and_reads_before_anything_else() -> None:
    told = story()
    told.run.fence = UPPSALA
    told.visit.ledger.book(UPPSALA)
    run = await told.go()
    assert run.statuses == [*HAPPY[:5], S.RECONCILING, S.COMPLETED]
    assert run.outcome == Outcome("N1", UPPSALA)
    assert "confirm" not in told.visit.taken


async def test_behind_a_fence_whose_click_never_happened_an_attempt_goes_on_searching() -> None:
    told = story()
    told.run.fence = UPPSALA
    run = await told.go()
    assert run.statuses[5:7] == [S.RECONCILING, S.SEARCHING]
    assert len(booked(told)) == 1


async def test_behind_a_fence_a_booking_at_another_time_leaves_the_outcome_unknown() -> None:
    told = story()
    told.run.fence = UPPSALA
    told.visit.ledger.book(FARSTA)
    run = await told.go()
    assert run.failure is F.UNKNOWN_OUTCOME
    assert "confirm" not in told.visit.taken


@pytest.mark.parametrize(
    "script",
    [
        {"signed_in": [LoginRefused()]},
        {"signed_in": [CodeExpired()] * 10},
        {"signed_in": [Person("Grace Hopper")]},
        {"my_bookings": [PortalChanged("odd")]},
        {"my_bookings": [CaptchaShown()]},
    ],
)
async def test_behind_a_fence_whatever_goes_wrong_leaves_the_outcome_unknown(
    script: dict[str, list[object]],
) -> None:
    told = story(**script)
    told.run.fence = UPPSALA
    run = await told.go()
    assert run.failure is F.UNKNOWN_OUTCOME
    assert "before you book again" in run.words
    assert "confirm" not in told.visit.taken


async def test_behind_a_fence_the_deadline_leaves_the_outcome_unknown() -> None:
    told = story(my_bookings=[_never])
    told.run.fence, told.run.left = UPPSALA, 0.05
    assert (await told.go()).failure is F.UNKNOWN_OUTCOME


async def test_a_deadline_in_the_middle_of_the_click_leaves_the_outcome_unknown() -> None:
    told = story(confirm=[_never])
    told.run.left = 0.05
    assert (await told.go()).failure is F.UNKNOWN_OUTCOME


@pytest.mark.parametrize("step", ["arrive", "signed_in", "configure", "search"])
async def test_before_the_fence_the_deadline_ends_a_job_as_timed_out(step: str) -> None:
    told = story(**{step: [_never]})
    told.run.left = 0.05
    run = await told.go()
    assert run.statuses[-1] is S.TIMED_OUT
    assert run.failure is None


async def test_a_code_that_expired_is_followed_by_a_new_order() -> None:
    told = story(signed_in=[CodeExpired(), CodeExpired()])
    run = await told.go()
    assert run.statuses == [*HAPPY[:4], *HAPPY[1:4], *HAPPY[1:]]
    assert run.hidden == 3


async def test_when_ten_orders_ran_out_unscanned_the_job_fails() -> None:
    told = story(signed_in=[CodeExpired()] * 10)
    run = await told.go()
    assert run.failure is F.QR_TIMEOUT
    assert told.visit.taken.count("begin_identity_check") == 10


async def test_a_person_who_does_not_come_is_not_waited_for_until_the_deadline() -> None:
    told = story(signed_in=[_never])
    told.patience = Patience(login=0.05)
    assert (await told.go()).failure is F.QR_TIMEOUT


async def test_a_person_who_cancels_ends_the_job() -> None:
    run = await story(signed_in=[LoginRefused("userCancel")]).go()
    assert run.failure is F.LOGIN_REFUSED
    assert run.hidden == 1


async def test_a_code_that_cannot_be_handed_over_is_told_and_the_next_one_is_tried() -> None:
    told = story()
    told.run.deaf = 2
    run = await told.go()
    waiting = [message for status, message in run.told if status is S.QR_WAITING]
    assert waiting == [SCAN, NOT_HANDED_OVER, SCAN]
    assert len(run.codes) == 1
    assert run.outcome is not None


async def test_codes_that_break_off_end_the_wait_for_the_person() -> None:
    told = story(code=[None, PortalDown("503")])
    run = await told.go()
    assert run.answers == [True, False, True]
    assert run.outcome is not None


async def test_a_link_that_opens_no_app_is_not_handed_on_with_a_code() -> None:
    told = story()
    links = [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.bankid.com/?a=b",
        "bankid:///?a=b",
        "bankid:\n",
    ]
    first = told.visit.shown[0]
    told.visit.shown = [replace(first, text=link, autostart_url=link) for link in links]
    run = await told.go()
    handed_on = {code.text: code.autostart_url for code in run.codes}
    assert handed_on == {link: link if link in links[2:4] else None for link in links}


async def test_somebody_else_who_signs_in_is_signed_out_and_named_nowhere() -> None:
    told = story(signed_in=[Person("Grace Hopper", "19061209-0000")])
    run = await told.go()
    assert run.failure is F.LOGIN_REFUSED
    assert told.visit.taken[-1] == "sign_out"
    assert S.AUTHENTICATED not in run.statuses
    assert not {"Grace", "Hopper", "1906", "Ada"} & set(run.words.replace(".", " ").split())


async def test_a_stranger_who_cannot_be_signed_out_is_refused_all_the_same() -> None:
    told = story(signed_in=[Person("Grace Hopper")], sign_out=[PortalDown("503")])
    assert (await told.go()).failure is F.LOGIN_REFUSED


@pytest.mark.parametrize("name", ["ADA LINDSTRÖM", "Ada  Lindstrom ", "ada lindstro\u0308m"])
async def test_a_name_may_be_written_in_several_ways(name: str) -> None:
    told = story(signed_in=[Person(name)])
    assert (await told.go()).outcome is not None
    assert folded(name) == "ada lindstrom"


@pytest.mark.parametrize("expected", [None, "", " ", "\u0301"])
async def test_nobody_signs_in_where_nobody_said_for_whom_the_job_is(expected: str | None) -> None:
    told = story(signed_in=[Person(expected or "")])
    told.expected = expected
    run = await told.go()
    assert run.failure is F.LOGIN_REFUSED
    assert told.visit.taken == []


async def test_a_person_with_another_job_at_the_portal_is_told_so_and_signed_out() -> None:
    told = story()
    told.run.unwelcome = PolicyViolation("You have another job at this portal.")
    run = await told.go()
    assert (run.failure, run.words) == (F.LOGIN_REFUSED, "You have another job at this portal.")
    assert told.visit.taken[-1] == "sign_out"


async def test_a_person_with_a_booking_to_come_gets_no_second_one() -> None:
    told = story()
    told.visit.ledger.book(FARSTA)
    run = await told.go()
    assert run.failure is F.LOGIN_REFUSED
    assert "search" not in told.visit.taken


async def test_a_booking_of_former_times_is_in_nobodys_way() -> None:
    told = story()
    told.visit.ledger.book(Slot(date(2020, 1, 7), time(9, 0), "Uppsala"))
    assert (await told.go()).outcome is not None


@pytest.mark.parametrize("step", ["configure", "choose_places", "search", "choose", "my_bookings"])
async def test_a_session_that_ends_in_the_middle_leads_back_to_the_login(step: str) -> None:
    told = story(**{step: [LoggedOut()]})
    run = await told.go()
    assert run.outcome == Outcome("N1", UPPSALA)
    assert told.visit.taken.count("signed_in") == 2
    assert run.hidden == 2


async def test_a_portal_that_signs_everybody_out_again_and_again_is_left() -> None:
    run = await story(configure=[LoggedOut()] * 5).go()
    assert run.failure is F.LOGIN_REFUSED


@pytest.mark.parametrize("step", ["arrive", "open_login", "signed_in", "configure", "search", "choose"])
async def test_a_portal_that_is_down_is_tried_again_politely(step: str) -> None:
    told = story(**{step: [PortalDown("503")] * 3})
    run = await told.go()
    assert run.outcome == Outcome("N1", UPPSALA)
    assert run.answers.count(False) == 3
    assert run.answers[-1]
    assert any("does not answer" in message for _, message in run.told)


async def test_a_portal_that_stays_down_is_asked_less_and_less_often() -> None:
    told = story(arrive=[PortalDown("503")] * 8)
    await told.go()
    assert told.pauses[:8] == [2, 4, 8, 16, 32, 64, 120, 120]


async def test_a_deadline_that_finds_the_portal_down_says_so() -> None:
    told = story(arrive=[PortalDown("503"), _never])
    told.run.left = 0.05
    run = await told.go()
    assert run.failure is F.PORTAL_DOWN
    assert "does not answer" in run.words


async def test_a_deadline_after_the_portal_came_back_is_no_fault_of_its() -> None:
    told = story(search=[PortalDown("503"), [], _never])
    told.run.left = 0.05
    assert (await told.go()).statuses[-1] is S.TIMED_OUT


async def test_a_portal_whose_circuit_is_open_is_left_in_peace_for_as_long() -> None:
    told = story(arrive=[PortalDown("503")])
    told.run.peace = timedelta(minutes=5)
    await told.go()
    assert told.pauses[0] == 300


@pytest.mark.parametrize("step", ["arrive", "begin_identity_check", "configure", "search", "choose"])
async def test_a_page_that_is_not_known_ends_the_job(step: str) -> None:
    run = await story(**{step: [PortalChanged("no button to go on")]}).go()
    assert run.failure is F.PORTAL_CHANGED
    assert "no button to go on" in run.words


@pytest.mark.parametrize("step", ["arrive", "open_login", "search", "choose"])
async def test_a_captcha_ends_in_a_request_to_the_person(step: str) -> None:
    run = await story(**{step: [CaptchaShown()]}).go()
    assert run.failure is F.CAPTCHA
    assert "https://portal.example" in run.words


@pytest.mark.parametrize("step", ["arrive", "code", "signed_in", "search", "confirm", "my_bookings"])
async def test_a_browser_that_crashed_ends_the_attempt_and_not_the_job(step: str) -> None:
    told = story(**{step: [BrowserCrashed()]})
    with pytest.raises(BrowserCrashed):
        await told.go()
    assert not {S.FAILED, S.COMPLETED} & set(told.run.statuses)


async def test_a_run_that_lost_its_lease_goes_no_step_further() -> None:
    told = story()

    async def lost(slot: Slot, message: str) -> None:
        raise LeaseLost

    told.run.raise_fence = lost  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        await told.go()
    assert "confirm" not in told.visit.taken


async def _never() -> None:
    await asyncio.Event().wait()
