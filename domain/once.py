"""A request that is sent again has one effect: idempotency keys (the contract's own rule, kept 24 h a caller)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import datetime
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

from domain import errors
from domain.errors import IdempotencyMismatch, Interrupted, InvalidInput, Refusal
from domain.guests import Guests
from domain.idempotency import UsedKey
from domain.money import Money
from domain.ports import Begin, Transaction
from domain.seats import Seat, SeatState, SeatStatus
from domain.viewer import Viewer

MAX_KEY = 255


class Identified(Protocol):
    """A result that can be found again by its id."""

    @property
    def id(self) -> UUID:
        """The id."""


Result = TypeVar("Result", bound=Identified)
Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")
Work = Callable[[Transaction], Awaitable[Result]]
Recall = Callable[[Transaction, UUID], Awaitable[Result]]


def uninterrupted(attempt: Callable[Asked, Awaitable[Answer]]) -> Callable[Asked, Awaitable[Answer]]:
    """Have a second attempt made where the database left the first before it kept anything of it.

    A process that stood still for a while, or a database that was restarted, is then nobody's failure.
    """

    @wraps(attempt)
    async def attempts(*asked: Asked.args, **more: Asked.kwargs) -> Answer:
        try:
            return await attempt(*asked, **more)
        except Interrupted:
            return await attempt(*asked, **more)

    return attempts


@dataclass(frozen=True, slots=True)
class Once:
    """Runs a use case in one transaction, and with a key only once."""

    begin: Begin
    guests: Guests

    @uninterrupted
    async def run(
        self,
        viewer: Viewer,
        operation: str,
        request: object,
        key: str | None,
        work: Work[Result],
        recall: Recall[Result],
    ) -> Result:
        """Run ``work``, or, if the caller used ``key`` before, find its result again by ``recall``.

        A refusal is an outcome like any other, unless it is passing: the same key gives it again. What was
        interrupted is begun anew, once. Raises IdempotencyMismatch for a key used with another request, InvalidInput
        for one not of 1..255 characters, and whatever ``work`` refuses with.
        """
        if key is None:
            async with self.begin(viewer) as tx:
                return await work(tx)
        key, scope, print_ = checked_key(key), self.guests.holder(viewer), fingerprint(request)
        try:
            async with self.begin(viewer) as tx:
                used = await tx.keys.claim(scope, key)
                if used is not None:
                    return await recall(tx, earlier(used, operation, print_))
                result = await work(tx)
                tx.keys.settle(scope, key, UsedKey(operation, print_, {"id": str(result.id)}))
                return result
        except IdempotencyMismatch:
            raise
        except Refusal as refusal:
            if refusal.passing:
                raise
            async with self.begin(viewer) as tx:
                used = await tx.keys.claim(scope, key)
                if used is not None:
                    return await recall(tx, earlier(used, operation, print_))
                tx.keys.settle(scope, key, UsedKey(operation, print_, {"refusal": freeze(refusal)}))
            raise


def checked_key(key: str) -> str:
    """The key. Raises InvalidInput unless it has 1 to 255 characters."""
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidInput(f"An idempotency key has 1 to {MAX_KEY} characters.", ("idempotencyKey",))
    return key


def earlier(used: UsedKey, operation: str, fingerprint: bytes) -> UUID:
    """The id of what the key led to before. Raises the refusal it led to, and IdempotencyMismatch."""
    if (used.operation, used.fingerprint) != (operation, fingerprint):
        raise IdempotencyMismatch(
            "This idempotency key was used with another input; send a new key.", ("idempotencyKey",)
        )
    refusal = used.outcome.get("refusal")
    if isinstance(refusal, Mapping):
        raise thaw(refusal)
    return UUID(str(used.outcome["id"]))


def fingerprint(request: object) -> bytes:
    """The SHA-256 of a request's values (32 bytes), equal for equal requests."""
    return hashlib.sha256(_AS_JSON(request).encode()).digest()


def _plain(value: object) -> object:
    """What is no JSON as what is: the fields of a dataclass, the text of anything else."""
    return (
        {each.name: getattr(value, each.name) for each in fields(value)}
        if is_dataclass(value)
        else str(value)
    )


_AS_JSON = json.JSONEncoder(sort_keys=True, default=_plain).encode


def freeze(refusal: Refusal) -> dict[str, object]:
    """A refusal as JSON values, for ``thaw``."""
    frozen: dict[str, object] = {"type": type(refusal).__name__}
    for name, value in vars(refusal).items():
        if name in ("unavailable", "alternatives"):
            frozen[name] = [_freeze_state(state) for state in value]
        else:
            frozen[name] = value.isoformat() if isinstance(value, datetime) else value
    return frozen


def thaw(frozen: Mapping[str, object]) -> Refusal:
    """The refusal that was frozen."""
    fields = {name: _thaw_value(name, value) for name, value in frozen.items() if name != "type"}
    refusal: Refusal = getattr(errors, str(frozen["type"]))(**fields)
    return refusal


def _thaw_value(name: str, value: object) -> object:
    if name in ("unavailable", "alternatives") and isinstance(value, list):
        return [_thaw_state(state) for state in value]
    if name in ("expired_at", "retry_at") and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def _freeze_state(state: SeatState) -> dict[str, object]:
    return {
        "seat": asdict(state.seat),
        "status": state.status.value,
        "price": [str(state.price.amount), state.price.currency],
        "held_until": state.held_until.isoformat() if state.held_until else None,
        "mine": state.mine,
    }


def _thaw_state(frozen: Mapping[str, object]) -> SeatState:
    from decimal import Decimal

    seat, price, until = frozen["seat"], frozen["price"], frozen["held_until"]
    assert isinstance(seat, dict) and isinstance(price, list)  # noqa: PT018, S101 - what _freeze_state wrote
    return SeatState(
        seat=Seat(**seat),
        status=SeatStatus(str(frozen["status"])),
        price=Money(Decimal(price[0]), price[1]),
        held_until=datetime.fromisoformat(str(until)) if until else None,
        mine=bool(frozen["mine"]),
    )
