"""Log lines, ours and the libraries', in one form on stderr, with nothing personal and no secret in them.

A line's request id comes from ``structlog.contextvars.bind_contextvars(request_id=...)``.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from holdfast.settings import Settings

_PRIVATE_WORDS = {
    "address", "authorization", "contact", "cookie", "email", "key", "password", "phone", "secret", "token",
}  # fmt: skip
_PERSONS = {"contact", "customer", "display", "family", "first", "full", "given", "guest", "last", "user"}
_PRIVATE_TEXT = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # an e-mail address
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON web token
    r"|(?<=[Bb]earer )\S+"
    r"|(?<=://)[^/@\s]+(?=@)"  # the user and password of a URL
    r"|(?<=query argument \$\d: ).+(?= \()|(?<=query argument \$\d\d: ).+(?= \()"  # a value that asyncpg cannot send
    # A refused row's values, in PostgreSQL's words, over as many lines as theirs are; in a group they are indented.
    r"|^[ |]*DETAIL: [\s\S]*?(?=\n[ |]*HINT: |\n\nThe above |\n\nDuring |\Z)",
    re.MULTILINE,
)
_PRIVATE_SIGN = re.compile(r"@|eyJ|earer |DETAIL: |query argument \$")
"""What no private text is without; looking for it costs next to nothing."""


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the standard library's records to stderr, as JSON or for a console."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                withhold_private,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)  # what it says of single requests holds the client's address
    # Of a database that is away the feed tells once; asyncpg's pool would tell at each try, with a traceback.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)


def withhold_private(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop the keys of secrets and personal data, however deep, and blot such data out of any text."""
    return {key: _clean(value) for key, value in event.items() if not _is_private(key)}


@lru_cache
def _is_private(key: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", key).lower().split("_")
    if words[-1] == "name":
        return len(words) == 1 or words[-2] in _PERSONS
    return any(word.removesuffix("s") in _PRIVATE_WORDS or word in _PRIVATE_WORDS for word in words)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _PRIVATE_TEXT.sub("[withheld]", value) if _PRIVATE_SIGN.search(value) else value
    if isinstance(value, Mapping):
        return {key: _clean(inner) for key, inner in value.items() if not _is_private(str(key))}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return value if isinstance(value, int | float | None) else _clean(str(value))


def _renderer(settings: Settings) -> Processor:
    if settings.logs_json:
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS).decode()
