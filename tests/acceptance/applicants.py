"""People who have jobs at the demo portal: each watches theirs over a socket, and holds a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from schema.ids import decode
from tests.acceptance.cluster import value_of
from tests.automation.phone import Phone, Told
from tests.clients import Completed, GraphQLSocket, Json, Subscription

_JOB = "id status message failure attempt version result { bookingId booking { externalReference } }"
_REFUSED = "... on Refusal { code message }"
START = f"""mutation ($config: JSON!) {{ startAutomationJob(input: {{portalKey: "demo", config: $config}}) {{
  __typename ... on AutomationJob {{ {_JOB} }} {_REFUSED} }} }}"""
STOP = f"""mutation ($id: ID!) {{ stopAutomationJob(input: {{id: $id}}) {{
  __typename ... on AutomationJob {{ {_JOB} }} {_REFUSED} }} }}"""
WATCH = f"""subscription ($id: ID!) {{ automationJob(id: $id) {{
  __typename ... on AutomationJobChanged {{ job {{ {_JOB} }} }} }} }}"""
CODES = "subscription ($id: ID!) { qrCodes(jobId: $id) { frame text } }"
OVER = frozenset({"COMPLETED", "FAILED", "STOPPED", "TIMED_OUT"})


@dataclass
class Applicant:
    """Somebody with a job. While ``signs``, they scan each code that comes, and confirm what the phone takes."""

    socket: GraphQLSocket
    phone: Phone
    job: Json
    signs: bool
    told: list[Json] = field(default_factory=list)
    """The job at each of its steps that was heard of."""
    codes: list[Json] = field(default_factory=list)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return decode(self.job["id"], "AutomationJob")[1]

    @property
    def person(self) -> str:
        """Their number at the portal."""
        return f"D-{self.phone.person}"

    @property
    def status(self) -> str:
        return str(self.job["status"])

    @property
    def over(self) -> bool:
        return self.status in OVER

    async def until(self, met: Callable[[], object], seconds: float = 30) -> None:
        """Wait until something holds that depends on what is heard. Raises AssertionError with the job's last words."""
        try:
            async with asyncio.timeout(seconds):
                while not met():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"{self.phone.person}: {self.job}, {len(self.codes)} codes") from None

    async def reaches(self, *statuses: str, seconds: float = 30) -> None:
        """Wait until the job has one of these statuses; it may not be over before."""
        await self.until(lambda: self.status in statuses or self.over, seconds)
        assert self.status in statuses, self.job

    async def ends(self, seconds: float = 30) -> None:
        """Wait until it is over."""
        await self.reaches(*OVER, seconds=seconds)

    async def sign_in(self) -> None:
        """Scan the code that is shown, or the next, until the phone takes one, and confirm it."""
        self.signs = True
        if self.codes and (await self.scan()).hint == "userSign":
            await self.phone.confirm()

    async def scan(self) -> Told:
        """Scan the newest code."""
        return await self.phone.scan(self.codes[-1]["text"])

    async def stop(self) -> Json:
        """Ask for the job's end; the answer."""
        answer: Json = value_of(await self.socket.run(STOP, {"id": self.job["id"]}))
        assert answer["__typename"] == "AutomationJob", answer
        return answer

    async def watch(self) -> None:
        """Begin to follow the job, and its codes whenever there are to be any."""
        await self._read("job", WATCH, self._hear)
        await self._read("codes", CODES, self._see)

    async def leave(self) -> None:
        """Follow nothing any more."""
        for reading in self._reading.values():
            reading.cancel()
        for failure in await asyncio.gather(*self._reading.values(), return_exceptions=True):
            if isinstance(failure, Exception):
                raise failure

    async def _read(self, name: str, document: str, take: Callable[[Json], object]) -> None:
        subscription = await self.socket.subscribe(document, {"id": self.job["id"]})
        self._reading[name] = asyncio.create_task(self._take_all(subscription, take), name=name)

    async def _take_all(self, subscription: Subscription, take: Callable[[Json], object]) -> None:
        while True:
            try:
                taken = take(value_of(await subscription.next(600)))
            except Completed:
                return
            if asyncio.iscoroutine(taken):
                await taken

    async def _hear(self, message: Json) -> None:
        self.job = message["job"]
        self.told.append(self.job)
        self._heard.set()
        if self.status == "QR_WAITING" and self._reading["codes"].done():
            await self._read("codes", CODES, self._see)

    async def _see(self, code: Json) -> None:
        self.codes.append(code)
        self._heard.set()
        if self.signs:
            await self.sign_in()


@asynccontextmanager
async def applying(
    url: str, portal: str, token: str, name: str, *, signs: bool = True, **config: object
) -> AsyncIterator[Applicant]:
    """Somebody starts a job that is for them alone, and follows it."""
    wish = {"person": name, "places": ["Uppsala", "Gävle", "Örebro", "Västerås"], **config}
    async with await GraphQLSocket.connect(url, token) as socket, Phone(portal, name) as phone:
        job = value_of(await socket.run(START, {"config": wish}))
        assert job["__typename"] == "AutomationJob", job
        applicant = Applicant(socket, phone, job, signs)
        await applicant.watch()
        try:
            yield applicant
        finally:
            await applicant.leave()
