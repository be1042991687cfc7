"""The contract's scalars: how each is written on the wire, and what it is in Python.

=============  =============================  =====================================================
GraphQL        Python annotation              on the wire
=============  =============================  =====================================================
DateTime       ``datetime``, aware            RFC 3339 in UTC, to the millisecond; any offset comes in
LocalDateTime  ``LocalDateTime``, naive       2027-03-28T09:00, seconds only if there are any
LocalTime      ``time``, naive                09:00, likewise
Date           ``date``                       2027-03-28
TimeZone       ``TimeZone`` (str)             an IANA name
Duration       ``timedelta``                  ISO 8601 without years and months, whole seconds
Decimal        ``Decimal``                    "500.00"; comes in as a string or a whole number
CurrencyCode   ``CurrencyCode`` (str)         ISO 4217
Cursor         ``Cursor`` (str)               opaque
URL            ``URL`` (str)                  absolute, http or https, without credentials
JSON           ``JSON`` (object)              any JSON value, bounded
=============  =============================  =====================================================

A value that does not fit gives a GraphQLError of code BAD_USER_INPUT that does not repeat the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, NewType, TypeVar
from urllib.parse import urlsplit

import strawberry
from graphql import (
    GraphQLError,
    IntValueNode,
    StringValueNode,
    Undefined,
    ValueNode,
    value_from_ast_untyped,
)
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from domain.errors import InvalidInput
from domain.money import CURRENCIES
from domain.walltime import FIRST_YEAR, LAST_YEAR, format_duration, parse_duration, zone_of

__all__ = ["JSON", "SCALARS", "URL", "CurrencyCode", "Cursor", "LocalDateTime", "TimeZone"]

LocalDateTime = NewType("LocalDateTime", datetime)
TimeZone = NewType("TimeZone", str)
CurrencyCode = NewType("CurrencyCode", str)
Cursor = NewType("Cursor", str)
URL = NewType("URL", str)

MAX_CURSOR = 512
MAX_URL = 2_048
MAX_JSON_DEPTH = 32
MAX_JSON_VALUES = 10_000
_MAX_JSON_INTEGER = 2**63 - 1

_Day = TypeVar("_Day", bound=date)

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[0-9]{2}:[0-9]{2}"
_INSTANT_TEXT = re.compile(rf"({_DATE}T{_CLOCK}:[0-9]{{2}})(\.[0-9]{{1,9}})?(Z|[+-]{_CLOCK})", re.IGNORECASE)
_LOCAL_TEXT = re.compile(rf"{_DATE}T{_CLOCK}(:[0-9]{{2}})?")
_TIME_TEXT = re.compile(rf"{_CLOCK}(:[0-9]{{2}})?")
_DATE_TEXT = re.compile(_DATE)
_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,10})?")
_CURSOR_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_URL_TEXT = re.compile(r"[!-~]+")


def _read_instant(text: str) -> datetime:
    moment, fraction, offset = _parts(_INSTANT_TEXT, text)
    return _in_range(
        datetime.fromisoformat(f"{moment}{(fraction or '')[:7]}{offset}".upper()).astimezone(UTC)
    )


@lru_cache(maxsize=8_192)  # the starts and ends of what is searched for are the same again and again
def _write_instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("A DateTime needs an offset.")
    precision = "milliseconds" if value.microsecond >= 1_000 else "seconds"
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _read_local(text: str) -> datetime:
    _parts(_LOCAL_TEXT, text)
    return _in_range(datetime.fromisoformat(text))


@lru_cache(maxsize=8_192)
def _write_local(value: datetime) -> str:
    if value.tzinfo is not None:
        raise ValueError("A LocalDateTime has no offset.")
    return value.isoformat(timespec="seconds" if value.second else "minutes")


def _read_time(text: str) -> time:
    _parts(_TIME_TEXT, text)
    return time.fromisoformat(text)


def _write_time(value: time) -> str:
    return value.isoformat(timespec="seconds" if value.second else "minutes")


def _read_date(text: str) -> date:
    _parts(_DATE_TEXT, text)
    return _in_range(date.fromisoformat(text))


def _in_range(day: _Day) -> _Day:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError
    return day


def _read_decimal(text: str) -> Decimal:
    _parts(_DECIMAL_TEXT, text)
    return Decimal(text)


def _read_currency(text: str) -> str:
    if text not in CURRENCIES:
        raise ValueError
    return text


def _read_cursor(text: str) -> str:
    _parts(_CURSOR_TEXT, text)
    return text


def _read_url(text: str) -> str:
    _parts(_URL_TEXT, text)
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None or url.port == 0:
        raise ValueError
    return text


def _parts(pattern: re.Pattern[str], text: str) -> tuple[str | None, ...]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError
    return found.groups()


def _refused(message: str, node: ValueNode | None = None) -> GraphQLError:
    return GraphQLError(message, node, extensions={"code": "BAD_USER_INPUT"})


def _scalar(
    name: str,
    description: str,
    example: str,
    read: Callable[[str], object],
    write: Callable[[Any], str] = str,
    longest: int = 64,
    whole_numbers: bool = False,
) -> ScalarDefinition:
    """A scalar that is text on the wire; ``read`` raises ValueError or InvalidInput for what does not fit."""
    hint = f"Not a {name}; write it as a string such as {example}."

    def parse(value: object, node: ValueNode | None = None) -> object:
        if whole_numbers and isinstance(value, int) and abs(value) < 10**18:
            value = str(value)
        if not isinstance(value, str) or len(value) > longest:
            raise _refused(hint, node)
        try:
            return read(value)
        except InvalidInput as refusal:
            raise _refused(refusal.message, node) from None
        except (ValueError, OverflowError):
            raise _refused(hint, node) from None

    def parse_literal(node: ValueNode, _variables: Mapping[str, object] | None = None) -> object:
        text = isinstance(node, StringValueNode) or (whole_numbers and isinstance(node, IntValueNode))
        return parse(getattr(node, "value", None) if text else None, node)

    return strawberry.scalar(
        name=name, description=description, serialize=write, parse_value=parse, parse_literal=parse_literal
    )


def _read_json(value: object, node: ValueNode | None = None, unknown: bool = False) -> object:
    """The value itself. ``unknown``: whether parts may be variables without a value yet."""
    level, counted = [value], 0
    for _ in range(MAX_JSON_DEPTH):
        counted += len(level)
        if counted > MAX_JSON_VALUES:
            raise _refused(f"Too much JSON; at most {MAX_JSON_VALUES} values.", node)
        if not all(unknown if part is Undefined else _storable(part) for part in level):
            raise _refused("JSON here has finite numbers, integers of 64 bits and text without NUL.", node)
        level = [inner for part in level for inner in _inside(part)]
        if not level:
            return value
    raise _refused(f"JSON nested too deeply; at most {MAX_JSON_DEPTH} levels.", node)


def _read_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> object:
    return _read_json(value_from_ast_untyped(node, variables), node, unknown=variables is None)


def _storable(part: object) -> bool:
    match part:
        case None | bool() | list() | dict():
            return True
        case int():
            return abs(part) <= _MAX_JSON_INTEGER
        case float():
            return isfinite(part)
        case str():  # PostgreSQL stores neither NUL nor half of a surrogate pair
            return "\0" not in part and not any("\ud800" <= sign <= "\udfff" for sign in part)
    return False


def _inside(part: object) -> list[object]:
    match part:
        case list():
            return part
        case dict():
            return [*part.keys(), *part.values()]
    return []


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: _scalar(
        "DateTime",
        "An instant, RFC 3339 in UTC: 2027-03-28T07:00:00Z.",
        '"2027-03-28T07:00:00Z"',
        _read_instant,
        _write_instant,
    ),
    LocalDateTime: _scalar(
        "LocalDateTime",
        "Date and time on the wall clock of a place: 2027-03-28T09:00.",
        '"2027-03-28T09:00"',
        _read_local,
        _write_local,
    ),
    time: _scalar(
        "LocalTime", "Time on the wall clock of a place: 09:00.", '"09:00"', _read_time, _write_time
    ),
    date: _scalar("Date", "A calendar date: 2027-03-28.", '"2027-03-28"', _read_date, date.isoformat),
    TimeZone: _scalar(
        "TimeZone",
        "A key of the IANA time zone database: Europe/Stockholm.",
        '"Europe/Stockholm"',
        lambda text: zone_of(text).key,
    ),
    timedelta: _scalar(
        "Duration",
        "An ISO 8601 duration without years and months: PT15M.",
        '"PT15M"',
        parse_duration,
        format_duration,
    ),
    Decimal: _scalar(
        "Decimal",
        'An exact decimal number as a string: "500.00". Whole numbers may come in as such, floats never.',
        '"500.00"',
        _read_decimal,
        "{:f}".format,
        whole_numbers=True,
    ),
    CurrencyCode: _scalar("CurrencyCode", "A code of ISO 4217: SEK.", '"SEK"', _read_currency),
    Cursor: _scalar(
        "Cursor", "A place in a list or a stream; opaque.", '"WzQyXQ"', _read_cursor, longest=MAX_CURSOR
    ),
    URL: _scalar(
        "URL",
        "An absolute URL (RFC 3986), http or https, without credentials.",
        '"https://example.org/hook"',
        _read_url,
        longest=MAX_URL,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        parse_value=_read_json,
        parse_literal=_read_json_literal,
    ),
}
"""What ``StrawberryConfig(scalar_map=...)`` takes: Python annotation to scalar."""
