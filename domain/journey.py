"""The journey of a job through a portal, in the order of its statuses, to whichever end.

What may not happen twice stands behind a *fence*: it is committed before the click that books, and from then on nobody
clicks again until the portal's own list was read. An attempt that begins behind a fence signs in and reads first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from domain.jobs import AutomationFailure, Outcome
from domain.portal_booking import PortalBooker, told
from domain.portal_login import sign_in
from domain.portals import CaptchaShown, LoggedOut, PortalChanged, PortalDown
from domain.runs import JourneyEnded, Walk


@dataclass(slots=True)
class Journey:
    """One walk, to the job's end. ``expected`` is the name of whom the job is for; nobody else signs in."""

    walk: Walk
    expected: str | None
    _booker: PortalBooker = field(init=False)
    _signed_in: bool = field(init=False, default=False)
    _has_none: bool = field(init=False, default=False)
    """Whether the portal's list has shown since the login that nothing is booked yet."""

    def __post_init__(self) -> None:
        self._booker = PortalBooker(self.walk)

    async def go(self) -> None:
        """Walk until the job is over, and write how it ended. Raises BrowserCrashed and LeaseLost: it is not over."""
        run = self.walk.run
        try:
            async with asyncio.timeout(max(0.0, run.left)) as limit:
                outcome = await self._to_a_booking()
        except JourneyEnded as end:
            await self._fail(end.failure, end.message)
        except PortalChanged as change:
            message = f"The portal shows something that this version does not know: {change}."
            await self._fail(AutomationFailure.PORTAL_CHANGED, message)
        except CaptchaShown:
            message = (
                f"The portal asks for a proof that a person is at work. Please go on yourself at {self._url}"
            )
            await self._fail(AutomationFailure.CAPTCHA, message)
        except TimeoutError:
            if not limit.expired():
                raise
            await self._time_out()
        else:
            await run.complete(outcome, f"Booked: {told(outcome.slot)}, number {outcome.booking_number}.")

    async def _to_a_booking(self) -> Outcome:
        """Go on after each interruption, from as far as it left us."""
        sessions = 0
        while True:
            try:
                if not self._signed_in:
                    await sign_in(self.walk, self.expected)
                    self._signed_in, self._has_none = True, False
                fence = self.walk.run.fence
                if fence is not None and (found := await self._booker.reconcile(fence)):
                    return found
                if fence is None and not self._has_none:
                    await self._booker.must_have_none()
                self._has_none = True
                return await self._booker.book()
            except LoggedOut:
                self._signed_in = False
                if (sessions := sessions + 1) == self.walk.patience.sessions:
                    message = "The portal signed you out again and again."
                    raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, message) from None
            except PortalDown:
                await self.walk.bear_silence()

    async def _time_out(self) -> None:
        if self.walk.silent:
            message = "The time for this job is over, and the portal does not answer."
            await self._fail(AutomationFailure.PORTAL_DOWN, message)
        elif self.walk.run.fence is not None:
            await self._fail(AutomationFailure.UNKNOWN_OUTCOME, "The time for this job is over.")
        else:
            await self.walk.run.time_out("The time for this job is over, and nothing was booked.")

    async def _fail(self, failure: AutomationFailure, message: str) -> None:
        """Behind the fence nobody knows what was booked, whatever else went wrong."""
        if self.walk.run.fence is not None:
            failure = AutomationFailure.UNKNOWN_OUTCOME
            message = (
                f"{message} Whether {told(self.walk.run.fence)} was booked is not known: look under your bookings at"
                f" {self._url} before you book again."
            )
        await self.walk.run.fail(failure, message)

    @property
    def _url(self) -> str:
        return self.walk.portal.url
