"""What a top-level error looks like on the wire.

``{"message", "locations"?, "path"?, "extensions": {"code", ...}}``. Codes: GRAPHQL_PARSE_FAILED,
GRAPHQL_VALIDATION_FAILED, OPERATION_RESOLUTION_FAILURE, TOO_COMPLEX, BAD_USER_INPUT, the code of a ``Denial`` or of a
``Refusal`` that no result union caught, and INTERNAL for whatever nobody expected, which says a request id
and no more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeAlias

from graphql import GraphQLError

from domain.errors import Denial, Refusal

WireError: TypeAlias = dict[str, Any]

_log = logging.getLogger(__name__)


def document_errors(errors: Iterable[GraphQLError], code: str) -> list[WireError]:
    """Faults of the document or of its variables, which are told as they are, but for what they quote at length."""
    return [_wire(error, _short(error.message), {"code": code}) for error in errors]


def too_complex(message: str, **figures: int) -> WireError:
    """A document or an operation that asks for too much; ``figures`` are told with the code."""
    return {"message": message, "extensions": {"code": "TOO_COMPLEX", **figures}}


def execution_errors(errors: Iterable[GraphQLError], request_id: str) -> list[WireError]:
    """Faults of running an operation; the unexpected ones are masked and logged once each."""
    logged: set[int] = set()
    return [_execution_error(error, request_id, logged) for error in errors]


def denied(denial: Denial) -> WireError:
    """A denial that stopped the whole request, so that it has no place in the document."""
    return {"message": denial.message, "extensions": {**denial.extensions, "code": denial.code}}


def internal(request_id: str) -> WireError:
    """The error that says nothing but where to look."""
    return {"message": _INTERNAL, "extensions": {"code": "INTERNAL", "requestId": request_id}}


_INTERNAL = "Internal error; quote the request id."


def _execution_error(error: GraphQLError, request_id: str, logged: set[int]) -> WireError:
    cause = _cause(error)
    match cause:
        case Denial():
            return _wire(error, cause.message, {**cause.extensions, "code": cause.code})
        case Refusal():
            return _wire(error, cause.message, {"code": str(cause.code)})
        case GraphQLError(nodes=nodes) if nodes and cause is not error:
            # graphql-core names the part of the document only when an argument is at fault.
            return _wire(error, cause.message, {"code": "BAD_USER_INPUT"})
    if id(cause) not in logged:
        logged.add(id(cause))
        _log.error(
            "unexpected failure of field %s",
            ".".join(str(key) for key in error.path or ()),
            exc_info=cause,
            extra={"request_id": request_id},
        )
    return _wire(error, _INTERNAL, {"code": "INTERNAL", "requestId": request_id})


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST else message[:_LONGEST] + " ..."


_LONGEST = 300


def _cause(error: GraphQLError) -> Exception:
    """The exception that was raised first; graphql-core may wrap it more than once."""
    cause: Exception = error
    while isinstance(cause, GraphQLError) and isinstance(cause.original_error, Exception):
        cause = cause.original_error
    return cause


def _wire(error: GraphQLError, message: str, extensions: dict[str, Any]) -> WireError:
    wire: WireError = {"message": message}
    if error.locations:
        wire["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        wire["path"] = list(error.path)
    wire["extensions"] = extensions
    return wire
