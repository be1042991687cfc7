"""Login by an animated code, as BankID does it.

The code's text is ``bankid.<qrStartToken>.<seconds>.<hex HMAC-SHA256(qrStartSecret, seconds)>``, where ``seconds``
counts from the order's beginning. The secret never leaves the portal: a code can be captured, never predicted.
https://developers.bankid.com/getting-started/qr-code
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from secrets import token_hex
from uuid import uuid4

from automation.demo_portal.people import Person
from automation.demo_portal.scenario import Scenario

OLDEST = 2.0
"""Seconds: a phone refuses a code that is older."""

AUTOSTART = "bankid:///?autostarttoken="


class Hint(StrEnum):
    """Where an order stands: BankID's own words, and ``complete``."""

    OUTSTANDING = "outstandingTransaction"
    USER_SIGN = "userSign"
    USER_CANCEL = "userCancel"
    EXPIRED = "expiredTransaction"
    START_FAILED = "startFailed"
    COMPLETE = "complete"


class ScanRefused(Exception):
    """The phone's refusal; ``hint`` says which, ``age`` how many seconds old the code was, if it was ours."""

    def __init__(self, hint: str, age: float | None = None) -> None:
        super().__init__(hint)
        self.hint = hint
        self.age = age


@dataclass(slots=True)
class Order:
    """One order: its code changes every second until it is scanned or ``life`` is over."""

    began: datetime
    life: timedelta
    sign_life: timedelta
    start_token: str
    start_secret: str
    autostart_token: str
    person: Person | None = None
    scanned_at: datetime | None = None
    ended: Hint | None = None
    too_old: bool = False
    """The last scan came too late."""

    def hint(self, now: datetime) -> Hint:
        """Where it stands."""
        if self.ended is not None:
            return self.ended
        if now >= self.ends_at():
            return Hint.EXPIRED
        if self.scanned_at is not None:
            return Hint.USER_SIGN
        return Hint.START_FAILED if self.too_old else Hint.OUTSTANDING

    def ends_at(self) -> datetime:
        """When it expires unless somebody does something."""
        if self.scanned_at is not None:
            return self.scanned_at + self.sign_life
        return self.began + self.life

    def second(self, now: datetime) -> int:
        """Whole seconds since it began."""
        return int((now - self.began).total_seconds())

    def text(self, second: int) -> str:
        """The code of one second."""
        return f"bankid.{self.start_token}.{second}.{self._seal(second)}"

    def scan(self, second: str, seal: str, now: datetime) -> float:
        """Take a code that a phone has read; its age in seconds.

        Raises:
            ScanRefused: it is not one of this order's, older than two seconds, or the order is not waiting for it.

        """
        if not (second.isascii() and second.isdigit() and hmac.compare_digest(seal, self._seal(int(second)))):
            raise ScanRefused("invalidCode")
        age = (now - self.began).total_seconds() - int(second)
        if self.scanned_at is not None or self.ended is not None:
            raise ScanRefused("alreadyInProgress", age)
        if self.hint(now) is Hint.EXPIRED:
            raise ScanRefused(Hint.EXPIRED, age)
        if age > OLDEST:
            self.too_old = True
            raise ScanRefused(Hint.START_FAILED, age)
        return age

    def _seal(self, second: int) -> str:
        return hmac.new(self.start_secret.encode(), str(second).encode(), hashlib.sha256).hexdigest()


@dataclass
class Login:
    """A login page's orders, one after the other, under the scenario of each moment."""

    scenario: Callable[[], Scenario]
    id: str = field(default_factory=token_hex)
    orders: list[Order] = field(default_factory=list)

    def order(self, now: datetime) -> Order:
        """The order of this moment. One that ran out unscanned has a successor, until there were enough."""
        if not self.orders:
            self._start(now)
        order = self.orders[-1]
        unscanned = order.scanned_at is None and order.ended is None
        if unscanned and order.hint(now) is Hint.EXPIRED and len(self.orders) < self.scenario().orders:
            self._start(now)
        return self.orders[-1]

    def _start(self, now: datetime) -> None:
        scenario = self.scenario()
        self.orders.append(
            Order(
                now,
                timedelta(seconds=scenario.order_seconds),
                timedelta(seconds=scenario.sign_seconds),
                start_token=str(uuid4()),
                start_secret=token_hex(32),
                autostart_token=str(uuid4()),
            )
        )
