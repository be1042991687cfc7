"""Somebody's phone at the demo portal."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple, Self

import httpx2

CUSTOMER = "Demo customer"


class Told(NamedTuple):
    """The phone's answer: BankID's hint code (or ``invalidCode``, ``alreadyInProgress``, ``noOrder``), a code's age."""

    hint: str
    age: float | None = None


class Phone:
    """``async with Phone(url) as phone``. A person of a name of their own gets a number of their own."""

    def __init__(self, url: str, person: str = CUSTOMER) -> None:
        self.person = person
        self._client = httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=10)

    async def scan(self, text: str, person: str | None = None) -> Told:
        """Read a code, or follow a ``bankid:`` link: ``userSign`` if it is taken, ``startFailed`` if it is too old."""
        return await self._send("scan", person, text=text)

    async def confirm(self, person: str | None = None) -> Told:
        """Confirm what was scanned last."""
        return await self._send("confirm", person)

    async def cancel(self, person: str | None = None) -> Told:
        """Cancel what was scanned last."""
        return await self._send("cancel", person)

    async def _send(self, what: str, person: str | None, **more: str) -> Told:
        answer = await self._client.post(f"/phone/api/{what}", json={"person": person or self.person, **more})
        assert answer.status_code in (200, 409), answer.text
        told = answer.json()
        return Told(told["hint"], told.get("age"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
