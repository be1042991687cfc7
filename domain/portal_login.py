"""Signing in at a portal: its codes go to the person, and who signed in is compared with whom the job is for."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from domain.errors import PolicyViolation, Unavailable
from domain.jobs import AutomationFailure, AutomationStatus
from domain.portals import CapturedCode, CodeExpired, LoginRefused, Person, VisitFailed
from domain.runs import JourneyEnded, Walk

LEAVING = 5.0
"""Seconds that signing a stranger out may take; their browser is closed afterwards anyway."""

OPENS_AN_APP = re.compile(r"(bankid:|https:)[!-~]{1,2000}", re.IGNORECASE)
"""What a client may follow of a portal's links: another, such as javascript:, would run in the client's own page."""

SCAN = "Scan the code with the app that you identify yourself with."
NOT_HANDED_OVER = (
    "A code is there, but it cannot be handed over at the moment; trying again with the next one."
)
NOBODY = "It is not known for whom this job is, so nobody can sign in for it."
STRANGER = "Somebody else signed in than the person whom this job is for. They were signed out again."


async def sign_in(walk: Walk, expected: str | None) -> None:
    """Bring the person in, from wherever the visit is. ``expected`` is their name; without one nobody gets in.

    Raises JourneyEnded, and what a visit raises.
    """
    visit, name = walk.visit, folded(expected or "")
    if not name:
        raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, NOBODY)
    await walk.say(AutomationStatus.NAVIGATING, "Opening the portal.")
    await walk.ask(visit.arrive)
    person = await _identified(walk)
    try:
        if folded(person.name) != name:
            raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, STRANGER)
        await walk.run.identify(person)
    except (JourneyEnded, PolicyViolation) as refusal:
        with suppress(VisitFailed, TimeoutError):
            async with asyncio.timeout(LEAVING):
                await visit.sign_out()
        raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, str(refusal)) from None
    await walk.say(AutomationStatus.AUTHENTICATED, "You are signed in.")


async def _identified(walk: Walk) -> Person:
    """Who signed in; an order that ran out is followed by another, for a while."""
    visit = walk.visit
    try:
        async with asyncio.timeout(walk.patience.login) as limit:
            for _ in range(walk.patience.orders):
                await walk.say(AutomationStatus.LOGIN, "Opening the portal's login.")
                await walk.ask(visit.open_login)
                await walk.say(AutomationStatus.BANKID, "Starting the identity check.")
                await walk.ask(visit.begin_identity_check)
                await walk.say(AutomationStatus.QR_WAITING, SCAN)
                with suppress(CodeExpired):
                    return await _signed_in(walk)
    except LoginRefused:
        message = "The login was cancelled or refused. Start again when you are ready to sign in."
        raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, message) from None
    except TimeoutError:
        if not limit.expired():
            raise
    message = "Nobody scanned a code in time. Start again when you are ready to sign in."
    raise JourneyEnded(AutomationFailure.QR_TIMEOUT, message)


async def _signed_in(walk: Walk) -> Person:
    """Show codes until the person has signed in."""
    async with walk.visit.codes() as codes:
        showing = asyncio.create_task(_hand_over(walk, codes))
        signing_in = asyncio.create_task(walk.visit.signed_in())
        try:
            await asyncio.wait({showing, signing_in}, return_when=asyncio.FIRST_COMPLETED)
            if not signing_in.done():
                showing.result()
            return await signing_in
        finally:
            for task in (showing, signing_in):
                task.cancel()
            await asyncio.gather(showing, signing_in, return_exceptions=True)
            await walk.run.hide_code()


async def _hand_over(walk: Walk, codes: AsyncIterator[CapturedCode]) -> None:
    async for code in codes:
        try:
            await walk.run.show_code(_followable(code))
        except Unavailable:
            await walk.say(AutomationStatus.QR_WAITING, NOT_HANDED_OVER)
        else:
            await walk.say(AutomationStatus.QR_WAITING, SCAN)


def _followable(code: CapturedCode) -> CapturedCode:
    link = code.autostart_url
    return code if link is None or OPENS_AN_APP.fullmatch(link) else replace(code, autostart_url=None)


def folded(name: str) -> str:
    """A name without what people write differently: case, accents, spaces."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter)
    )
    return " ".join(plain.casefold().split())
