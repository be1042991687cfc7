"""The words of graphql-transport-ws: its close codes and the parts of its messages."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from holdfast.transport.request import Malformed
from schema.errors import WireError

SUBPROTOCOL = "graphql-transport-ws"


class CloseCode(IntEnum):
    """Why a socket is closed: RFC 6455, 7.4.1, and PROTOCOL.md for 44xx."""

    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    BROKEN = 1011
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITIALISATIONS = 4429


class Closing(Exception):
    """The socket must close; ``reason`` is cut to the 123 bytes a close frame carries."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:123].decode(errors="ignore")


def payload_of(message: dict[str, Any]) -> dict[str, Any]:
    """The payload, {} if there is none. Raises Malformed."""
    payload = message.get("payload")
    if payload is None:
        return {}
    if isinstance(payload, dict):
        return payload
    refusal = '"payload" must be an object.'
    raise Malformed(refusal)


def authorization_of(payload: dict[str, Any]) -> str | None:
    """The Authorization value in a payload. Raises Malformed."""
    value = payload.get("authorization")
    if value is None or isinstance(value, str):
        return value
    refusal = '"authorization" must be a string.'
    raise Malformed(refusal)


def id_of(message: dict[str, Any]) -> str:
    """The operation that the message is about. Raises Malformed."""
    value = message.get("id")
    if isinstance(value, str) and value:
        return value
    refusal = '"id" must be a string that is not empty.'
    raise Malformed(refusal)


def failed(id: str, errors: list[WireError]) -> dict[str, Any]:
    """The message that ends an operation with errors."""
    return {"id": id, "type": "error", "payload": errors}


def too_many_operations(limit: int) -> WireError:
    """What one operation above the limit is told."""
    message = f"At most {limit} operations at a time on one socket; complete one or open another socket."
    return {"message": message, "extensions": {"code": "TOO_MANY_OPERATIONS", "limit": limit}}


def too_many_subscriptions(limit: int) -> WireError:
    """What one subscription above the limit is told."""
    message = f"At most {limit} subscriptions at a time for one caller, of which a long one is several: complete one."
    return {"message": message, "extensions": {"code": "TOO_MANY_SUBSCRIPTIONS", "limit": limit}}
