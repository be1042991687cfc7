"""The event stream of a code's page: each second's code as it becomes valid, and every change of its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import zxingcpp

from automation.demo_portal.orders import AUTOSTART, Hint, Login, Order
from automation.demo_portal.pages import MESSAGES
from automation.demo_portal.portal import WAITING, Portal
from automation.demo_portal.scenario import CodeLayout

OVER = {Hint.COMPLETE, Hint.USER_CANCEL, Hint.EXPIRED}


async def code_events(portal: Portal, login: Login) -> AsyncIterator[bytes]:
    """Messages for ``static/code.js``, until the login has ended."""
    last: bytes | None = None
    while True:
        now = portal.clock()
        order = login.order(now)
        hint, second = order.hint(now), order.second(now)
        message = _message(order, hint, 0 if portal.scenario.code is CodeLayout.FROZEN else second)
        if message != last:  # a timer may go off a moment too early
            yield (last := message)
        if hint in OVER:
            return
        until = order.ends_at()
        if hint in WAITING:
            until = min(until, order.began + timedelta(seconds=second + 1))
        await portal.change(max(0.001, (until - portal.clock()).total_seconds()))


def _message(order: Order, hint: Hint, second: int) -> bytes:
    told: dict[str, object] = {
        "message": MESSAGES[hint],
        "over": hint in OVER,
        "done": hint is Hint.COMPLETE,
        "hides": hint not in WAITING,
    }
    if hint in WAITING:
        told["autostart"] = f"{AUTOSTART}{order.autostart_token}&redirect=null"
        told |= drawn(order.text(second))
    return b"data: " + orjson.dumps(told) + b"\n\n"


def drawn(text: str) -> dict[str, object]:
    """A QR code as rows of modules, its quiet zone among them: "1" is dark."""
    picture: Any = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image()
    return {
        "size": picture.shape[0],
        "modules": "".join("0" if light else "1" for light in bytes(picture)),
    }
