"""Where a job can be held at the demo portal: pages whose answers do not come for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.acceptance.applicants import Applicant
from tests.acceptance.office import Day
from tests.processes import eventually

LONG = 240.0
"""Seconds: a worker that is to be held there is hired ``patient``."""

Trouble = Mapping[str, object]


@dataclass(frozen=True)
class Hold:
    """A place on the way: the status there, and the trouble that keeps a job there."""

    status: str
    troubles: Sequence[Trouble] = ()
    signs: bool = True

    async def take(self, day: Day, name: str, **more: Any) -> Applicant:
        """Somebody starts a job, which is held here when this returns. One at a time."""
        for each in self.troubles:
            await day.portal.do("trouble", **each)
        applicant = await day.apply(name, **{"signs": self.signs, **more})
        await applicant.reaches(self.status)
        if self.status == "QR_WAITING":
            await applicant.until(lambda: applicant.codes)

        async def came() -> bool:
            return not await day.portal.troubles()

        await eventually(came)
        return applicant


def slow(page: str, *, before: int = 0, after: bool = False, seconds: float = LONG) -> Sequence[Trouble]:
    """A page whose answer does not come, after ``before`` others; with ``after`` what was asked for is done."""
    return [trouble(page, "slow", after=after, seconds=each) for each in (*[0.0] * before, seconds)]


def trouble(page: str, kind: str, *, after: bool = False, seconds: float = 0) -> Trouble:
    """Trouble with the next answer of a page."""
    return {"page": page, "kind": kind, "after": after, "seconds": seconds}


BEFORE: Mapping[str, Hold] = {
    "the front page": Hold("NAVIGATING", slow("front"), signs=False),
    "the login": Hold("LOGIN", slow("login"), signs=False),
    "the first code": Hold("BANKID", slow("code"), signs=False),
    "the person": Hold("QR_WAITING", signs=False),
    "the list of bookings": Hold("AUTHENTICATED", slow("bookings")),
    "what can be chosen": Hold("CONFIGURING", slow("times", before=1)),
    "the times": Hold("SEARCHING", slow("times", before=2)),
    "keeping a time": Hold("BOOKING", slow("keep", after=True)),
}
"""Where a job can be held before the fence."""

BEHIND: Mapping[str, Hold] = {
    "the answer to the click": Hold("BOOKING", slow("book", after=True)),
    "the list after the click": Hold("BOOKING", slow("bookings", before=1)),
    "the list once more": Hold(
        "RECONCILING",
        [trouble("book", "undone", after=True), *slow("bookings", before=1)],
    ),
}
"""And behind it; all of these clicks were booked."""
