"""The event stream of a code's page: each second's code as it becomes valid, and every change of its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import zxingcpp

from automation.demo_portal.orders import AUTOSTART, Hint, Login
from automation.demo_portal.pages import MESSAGES
from automation.demo_portal.portal import WAITING, Portal
from automation.demo_portal.scenario import CodeLayout

FAILED = {Hint.USER_CANCEL, Hint.EXPIRED}
LONGEST = 10.0
"""Seconds between two messages at the most."""


async def code_events(portal: Portal, login: Login) -> AsyncIterator[bytes]:
    """Messages for ``static/code.js``, until the login has ended."""
    while True:
        now = portal.clock()
        order = login.order(now)
        hint, second = order.hint(now), order.second(now)
        shown = hint in WAITING
        told: dict[str, object] = {
            "message": MESSAGES[hint],
            "over": hint is Hint.COMPLETE or hint in FAILED,
            "done": hint is Hint.COMPLETE,
            "hides": not shown,
            "autostart": f"{AUTOSTART}{order.autostart_token}&redirect=null" if shown else None,
        }
        if shown:
            frozen = portal.scenario.code is CodeLayout.FROZEN
            told |= drawn(order.text(0 if frozen else second))
        yield b"data: " + orjson.dumps(told) + b"\n\n"
        if told["over"]:
            return
        next_at = order.began + timedelta(seconds=second + 1)
        left = (next_at - portal.clock()).total_seconds() if shown else LONGEST
        await portal.change(max(0.0, min(left, _until_expiry(portal, login))))


def drawn(text: str) -> dict[str, object]:
    """A QR code as rows of modules, its quiet zone among them: "1" is dark."""
    picture: Any = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image()
    return {
        "size": picture.shape[0],
        "modules": "".join("0" if light else "1" for light in bytes(picture)),
    }


def _until_expiry(portal: Portal, login: Login) -> float:
    order, now = login.orders[-1], portal.clock()
    if order.scanned_at is not None:
        return (order.scanned_at + order.sign_life - now).total_seconds()
    return (order.began + order.life - now).total_seconds()
