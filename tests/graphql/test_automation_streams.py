"""Streams of a job: how it gets on, the codes its owner scans, the page; each for whom it is meant, and as long."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from db.statements import Counting
from domain.errors import Unavailable
from domain.ids import new_id
from domain.jobs import AutomationFailure, AutomationStatus
from schema.ids import encode
from schema.types.events import stream_cursor
from tests.graphql.automating import UNTIL_CODE, Automating, animated
from tests.world import Watch

Json = dict[str, Any]

JOB = """
subscription ($id: ID!, $after: Cursor) {
  automationJob(id: $id, after: $after) {
    __typename ... on StreamMessage { cursor at } ... on Resync { reason }
    ... on AutomationJobChanged { job { id status message progress version failure attempt qrCode { frame } } }
  }
}
"""
CODES = "subscription ($id: ID!) { qrCodes(jobId: $id) { jobId frame text imageDataUrl shownAt expiresAt } }"
SCREEN = """
subscription ($id: ID!, $perSecond: Float! = 5) {
  automationScreen(jobId: $id, perSecond: $perSecond) { jobId frame imageDataUrl takenAt }
}
"""
LOGOUT = "mutation ($input: LogoutInput!) { logout(input: $input) { __typename } }"
S = AutomationStatus


async def over(watch: Watch) -> None:
    """Assert that nothing more comes, and that the stream has ended as it should."""
    with pytest.raises(StopAsyncIteration):
        await watch.next()


# ------------------------------------------------------------------ how it gets on


@pytest.mark.feature("S0.13", "S1.8", "S1.25")
async def test_a_job_is_told_as_it_is_and_then_at_each_step(automating: Automating) -> None:
    job = await automating.start()
    async with automating.world.watching(JOB, automating.owner, id=job.gid) as watch:
        first = await watch.next()
        assert first["__typename"] == "AutomationJobChanged"
        assert (first["job"]["status"], first["job"]["progress"]) == ("QUEUED", 0)
        told = []
        for status in (*UNTIL_CODE, S.AUTHENTICATED):
            await job.reach(status)
            told.append((await watch.next())["job"])
        assert [each["status"] for each in told] == [
            "STARTING", "NAVIGATING", "LOGIN", "BANKID", "QR_WAITING", "AUTHENTICATED",
        ]  # fmt: skip
        assert [each["version"] for each in told] == list(range(2, 8))
        assert sorted(each["progress"] for each in told) == [each["progress"] for each in told]
        assert all(each["message"] for each in told)


@pytest.mark.feature("S1.24")
async def test_a_job_is_taken_up_again_behind_the_last_message(automating: Automating) -> None:
    job, world = await automating.start(), automating.world
    async with world.watching(JOB, automating.owner, id=job.gid) as watch:
        cursor = (await watch.next())["cursor"]
    await job.reach(S.STARTING, S.NAVIGATING)
    async with world.watching(JOB, automating.owner, id=job.gid, after=cursor) as watch:
        missed = await watch.next()  # what waited together is told once, as it is now
        assert missed["job"]["status"] == "NAVIGATING"
        await job.fail(AutomationFailure.PORTAL_DOWN)
        last = (await watch.next())["job"]
        assert (last["status"], last["failure"]) == ("FAILED", "PORTAL_DOWN")
        assert last["version"] == missed["job"]["version"] + 1


async def test_a_cursor_of_another_log_is_told_to_begin_anew(automating: Automating) -> None:
    job = await automating.start()
    after = stream_cursor(UUID(int=7), job.id, 1)
    async with automating.world.watching(JOB, automating.owner, id=job.gid, after=after) as watch:
        assert (await watch.next())["__typename"] == "Resync"
        assert (await watch.next())["job"]["status"] == "QUEUED"


# ------------------------------------------------------------------ codes


@pytest.mark.feature("S0.4", "S0.9", "S1.28")
async def test_the_owner_gets_the_newest_code_and_then_each_as_it_appears(automating: Automating) -> None:
    job = await automating.waiting()
    for second in range(3):
        await job.show(second)
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        first = await watch.next()
        assert first["text"] == animated(2)
        assert first["jobId"] == job.gid
        await job.show(3)
        second = await watch.next()
        assert (second["text"], second["frame"]) == (animated(3), first["frame"] + 1)
        assert second["imageDataUrl"].startswith("data:image/png;base64,")


async def test_who_asks_before_there_is_a_code_waits_for_it(automating: Automating) -> None:
    job = await automating.start()
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        first = asyncio.ensure_future(watch.next())
        await job.reach(*UNTIL_CODE)
        await job.show(0)
        assert (await first)["text"] == animated(0)


async def test_codes_end_when_the_person_has_signed_in(automating: Automating) -> None:
    for status in (S.AUTHENTICATED, S.FAILED, S.STOPPED, S.TIMED_OUT):
        job = await automating.waiting(subject=status.value)
        await job.show(0)
        async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
            await watch.next()
            await job.hide()
            await job.reach(status)
            await over(watch)
        await job.show(1)  # the page may show one more
        async with automating.world.watching(CODES, automating.owner, id=job.gid) as late:
            await over(late)


async def test_codes_go_on_where_another_worker_begins_again(automating: Automating) -> None:
    for between in (S.STARTING, S.RECONCILING):
        job = await automating.waiting(subject=between.value)
        await job.show(0)
        async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
            assert (await watch.next())["frame"] == 1
            await job.hide()
            await job.reach(between, S.QR_WAITING)
            await job.show(1)
            again = await watch.next()
            assert (again["text"], again["frame"]) == (animated(1), 2)


async def test_a_slow_reader_of_codes_gets_the_newest(automating: Automating) -> None:
    job = await automating.waiting()
    await job.show(0)
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        await watch.next()
        for second in range(1, 30):
            await job.show(second)
        told = [(await watch.next())["text"]]
        if told[0] != animated(29):  # it may have been on its way when the others came
            told.append((await watch.next())["text"])
        assert told[-1] == animated(29)
        assert len(told) <= 2


async def test_codes_come_without_a_statement_each(automating: Automating) -> None:
    job = await automating.waiting()
    await job.show(0)
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        await watch.next()
        await automating.settled()
        before = Counting.statements
        for second in range(1, 21):
            await job.show(second)
            await watch.next()
        assert Counting.statements - before <= 2  # the feed looks now and then by itself


async def test_codes_end_with_the_session_of_who_watches(automating: Automating) -> None:
    """The transport closes the socket too; this is the second lock, which needs no socket."""
    job = await automating.waiting()
    await job.show(0)
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        await watch.next()
        assert automating.owner.session_id is not None
        automating.world.app.identity.ended.note(automating.owner.session_id)
        await job.show(1)
        assert await watch.code() == "UNAUTHENTICATED"


async def test_several_who_own_the_job_see_every_code_each(automating: Automating) -> None:
    job = await automating.waiting()
    async with AsyncExitStack() as stack:
        watches = [
            await stack.enter_async_context(automating.world.watching(CODES, automating.owner, id=job.gid))
            for _ in range(3)
        ]
        waiting = [asyncio.ensure_future(watch.next()) for watch in watches]
        await automating.settled()
        await job.show(7)
        assert {(await each)["text"] for each in waiting} == {animated(7)}


# ------------------------------------------------------------------ the page


@pytest.mark.feature("S0.14", "S1.37")
async def test_the_owner_sees_the_page_with_the_code_and_staff_without(automating: Automating) -> None:
    job, staff = await automating.waiting(), await automating.staff()
    async with (
        automating.world.watching(SCREEN, automating.owner, id=job.gid) as own,
        automating.world.watching(SCREEN, staff, id=job.gid) as masked,
    ):
        pictures = asyncio.ensure_future(own.next()), asyncio.ensure_future(masked.next())
        await automating.watched(job, by_staff=True)
        await job.picture(own=b"with code", masked=b"masked")
        mine, theirs = await asyncio.gather(*pictures)
        assert mine["imageDataUrl"] == "data:image/jpeg;base64,d2l0aCBjb2Rl"
        assert theirs["imageDataUrl"] == "data:image/jpeg;base64,bWFza2Vk"
        assert mine["jobId"] == theirs["jobId"] == job.gid


async def test_the_page_is_shown_until_the_job_is_over(automating: Automating) -> None:
    job = await automating.waiting()
    async with automating.world.watching(SCREEN, automating.owner, id=job.gid) as watch:
        coming = asyncio.ensure_future(watch.next())
        await automating.watched(job)
        await job.reach(S.SEARCHING)
        await job.picture(own=b"1", masked=b"1")
        await coming
        await job.reach(S.STOPPED)
        await over(watch)


async def test_a_page_is_shown_neither_too_often_nor_hardly_ever(automating: Automating) -> None:
    job = await automating.waiting()
    for often in (0.19, 5.01, -1, 0):
        async with automating.world.watching(SCREEN, automating.owner, id=job.gid, perSecond=often) as watch:
            assert await watch.code() == "BAD_USER_INPUT"


async def test_staff_who_lose_their_role_see_no_further_picture(automating: Automating) -> None:
    job, staff = await automating.waiting(), await automating.staff()
    await automating.settled()  # the job's own steps are not what tells that something has changed
    async with automating.world.watching(SCREEN, staff, id=job.gid) as watch:
        coming = asyncio.ensure_future(watch.next())
        await automating.watched(job, by_staff=True, by_owner=False)
        await job.picture(own=b"1", masked=b"1")
        await coming
        await job.picture(own=b"2", masked=b"2")
        await watch.next()  # by now the stream has looked at the job for the last time by itself
        await automating.world.tables.execute("DELETE FROM membership WHERE account_id = $1", staff.user_id)
        await job.picture(own=b"3", masked=b"3")
        assert await watch.code() == "FORBIDDEN"


# ------------------------------------------------------------------ for whom


async def test_nobody_but_the_owner_learns_of_a_code_a_page_or_a_job(automating: Automating) -> None:
    job = await automating.waiting()
    await job.show(0)
    nothing = encode("AutomationJob", new_id())
    for who, viewer in (await automating.others()).items():
        for document in (CODES, SCREEN, JOB):
            told = []
            for id_ in (job.gid, nothing, "x", ""):
                async with automating.world.watching(document, viewer, id=id_) as watch:
                    told.append(await refusal(watch))
            assert all(error == told[0] for error in told), (who, told)
            assert told[0]["extensions"]["code"] == "NOT_FOUND"


async def test_staff_see_the_job_and_its_page_and_learn_of_no_code(automating: Automating) -> None:
    job, staff = await automating.waiting(), await automating.staff()
    await job.show(0)
    async with automating.world.watching(CODES, staff, id=job.gid) as codes:
        assert await codes.code() == "NOT_FOUND"
    async with automating.world.watching(JOB, staff, id=job.gid) as watch:
        told = (await watch.next())["job"]
        assert (told["status"], told["qrCode"]) == ("QR_WAITING", None)


async def refusal(watch: Watch) -> Json:
    """The whole error of a stream that does not begin, but for where in the document it stands."""
    async with asyncio.timeout(10):
        result = await anext(watch.results)
    assert set(result) == {"errors"}
    (error,) = result["errors"]
    return {key: value for key, value in error.items() if key != "locations"}


async def test_a_broker_that_is_away_is_said_and_not_waited_for(
    automating: Automating, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await automating.waiting()

    def away(_: object) -> object:
        raise Unavailable("Codes cannot be handed on now.")

    monkeypatch.setattr(type(automating.world.app.services.live), "codes", lambda self, id_: away(id_))
    async with automating.world.watching(CODES, automating.owner, id=job.gid) as watch:
        assert await watch.code() == "UNAVAILABLE"
