"""Finding a time at a portal and booking it once, whatever happens around the click that cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from zoneinfo import ZoneInfo

from domain.jobs import AutomationFailure, AutomationStatus, Outcome, Slot
from domain.portals import CaptchaShown, PortalBooking, PortalChanged, SlotTaken
from domain.runs import JourneyEnded, Walk

LOOKING = "Looking for times."
NOTHING_YET = "No time that fits is free yet; looking again and again."
TAKEN = "Somebody else was quicker with that time; looking for another."
KEPT_ANOTHER = "The portal kept another time than was asked for; looking again."
NOTHING_BOOKED = "The portal's own list shows that nothing was booked; looking for times again."


class PortalBooker:
    """Books one slot within one walk. All of it is for a person who is signed in."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._lost: set[Slot] = set()
        self._number: str | None = None
        self._next_look = 0.0

    async def must_have_none(self) -> None:
        """Raise JourneyEnded where the person has a reservation already: the portal bears one a person."""
        if self._upcoming(await self._list()):
            message = (
                "You have a booking at this portal already, and there can be one a person."
                f" Look at {self._walk.portal.url}"
            )
            raise JourneyEnded(AutomationFailure.LOGIN_REFUSED, message)

    async def book(self) -> Outcome:
        """Search until something is booked."""
        walk = self._walk
        await walk.say(AutomationStatus.CONFIGURING, "Choosing what is to be booked.")
        await walk.ask(partial(walk.visit.configure, walk.config))
        await walk.say(AutomationStatus.LOCATIONS, "Choosing the places.")
        await walk.ask(partial(walk.visit.choose_places, walk.config))
        message = LOOKING
        while True:
            wanted = await self._find(message)
            slot = next((each for each in wanted if each not in self._lost), wanted[0])
            outcome, message = await self._try(slot, wanted)
            if outcome is not None:
                return outcome

    async def reconcile(self, fence: Slot, *, answered: bool = False) -> Outcome | None:
        """Read from the portal's own list what became of the click; None if surely nothing, and the fence is lifted.

        ``answered`` says that the portal refused it: no request is on its way any more, but its list may lag.
        """
        walk = self._walk
        await walk.say(AutomationStatus.RECONCILING, "Reading from the portal's own list what was booked.")
        upcoming: Sequence[PortalBooking] = ()
        for pause in walk.patience.readings[: 2 if answered else None]:
            await walk.pause(pause)
            listed = await self._list()
            if found := next((each for each in listed if each.slot == fence), None):
                return Outcome(found.number, found.slot)
            upcoming = self._upcoming(listed)
        if upcoming or self._number is not None:
            message = "The portal's list and what it confirmed do not agree."
            raise JourneyEnded(AutomationFailure.UNKNOWN_OUTCOME, message)
        await walk.unfence(NOTHING_BOOKED)
        return None

    async def _find(self, message: str) -> Sequence[Slot]:
        """Slots that fit, best first; at least one."""
        walk = self._walk
        pace = walk.portal.politeness
        while True:
            await walk.say(AutomationStatus.SEARCHING, message)
            await walk.pause(max(0.0, self._next_look - monotonic()))
            wanted = await walk.ask(partial(walk.visit.search, walk.config))
            gap = walk.vary(pace.between_searches.total_seconds())
            self._next_look = monotonic() + max(gap, pace.least_between_searches.total_seconds())
            if wanted:
                return wanted
            message = NOTHING_YET

    async def _try(self, slot: Slot, wanted: Sequence[Slot]) -> tuple[Outcome | None, str]:
        """Book one of the slots that were found; what came of it, and what to say if that is nothing."""
        walk = self._walk
        await walk.say(AutomationStatus.BOOKING, f"Asking for {told(slot)}.")
        try:
            kept = await walk.ask(partial(walk.visit.choose, slot))
        except SlotTaken:
            self._lost.add(slot)
            return None, TAKEN
        if kept not in wanted:
            return None, KEPT_ANOTHER
        await walk.run.turn()
        await walk.fence(kept, f"Booking {told(kept)}.")
        outcome = await self._click(kept)
        if outcome is not None:
            return outcome, ""
        self._lost.add(kept)
        await walk.ask(partial(walk.visit.configure, walk.config))  # the list of bookings is another page
        await walk.ask(partial(walk.visit.choose_places, walk.config))
        return None, NOTHING_BOOKED

    async def _click(self, slot: Slot) -> Outcome | None:
        """Confirm, and believe only what the portal's own list says of it, too."""
        try:
            self._number = number = await self._walk.visit.confirm(slot)
        except SlotTaken:
            return await self.reconcile(slot, answered=True)
        except (PortalChanged, CaptchaShown):
            return await self.reconcile(slot)
        if any(each.number == number and each.slot == slot for each in await self._list()):
            return Outcome(number, slot)
        return await self.reconcile(slot)

    async def _list(self) -> Sequence[PortalBooking]:
        return await self._walk.ask(self._walk.visit.my_bookings)

    def _upcoming(self, listed: Sequence[PortalBooking]) -> Sequence[PortalBooking]:
        today = datetime.now(ZoneInfo(self._walk.portal.time_zone)).date()
        return [each for each in listed if each.slot.date >= today]


def told(slot: Slot) -> str:
    """A slot for people: ``2027-03-12 08:15, Uppsala``."""
    return f"{slot.date.isoformat()} {slot.time:%H:%M}, {slot.location}"
