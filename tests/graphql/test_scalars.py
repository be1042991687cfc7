# ruff: noqa: DTZ001 - naive datetimes are what local times are
"""Each scalar through a schema that gives back what it was given, and the opaque ids."""

import json
import string
from base64 import b64decode, b64encode, urlsafe_b64encode
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from schema.ids import (
    MAX_CURSOR,
    MalformedCursor,
    MalformedId,
    decode,
    decode_cursor,
    encode,
    encode_cursor,
)
from schema.scalars import (
    JSON,
    MAX_JSON_DEPTH,
    SCALARS,
    URL,
    CurrencyCode,
    Cursor,
    LocalDateTime,
    TimeZone,
)

Given = TypeVar("Given")
seen: list[object] = []


def echo(value: Given) -> Given:
    seen.append(value)
    return value


@strawberry.type
class Query:
    @strawberry.field
    def instant(self, value: datetime) -> datetime:
        return echo(value)

    @strawberry.field
    def local(self, value: LocalDateTime) -> LocalDateTime:
        return echo(value)

    @strawberry.field
    def clock(self, value: time) -> time:
        return echo(value)

    @strawberry.field
    def day(self, value: date) -> date:
        return echo(value)

    @strawberry.field
    def zone(self, value: TimeZone) -> TimeZone:
        return echo(value)

    @strawberry.field
    def duration(self, value: timedelta) -> timedelta:
        return echo(value)

    @strawberry.field
    def decimal(self, value: Decimal) -> Decimal:
        return echo(value)

    @strawberry.field
    def currency(self, value: CurrencyCode) -> CurrencyCode:
        return echo(value)

    @strawberry.field
    def cursor(self, value: Cursor) -> Cursor:
        return echo(value)

    @strawberry.field
    def url(self, value: URL) -> URL:
        return echo(value)

    @strawberry.field
    def anything(self, value: JSON | None) -> JSON | None:
        return echo(value)

    @strawberry.field
    def made(self, kind: str) -> datetime:
        naive = datetime(2027, 3, 28, 7)
        return (
            naive
            if kind == "naive"
            else naive.replace(tzinfo=timezone(timedelta(hours=2)), microsecond=1_999)
        )


schema = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))

TYPES = {
    "instant": "DateTime",
    "local": "LocalDateTime",
    "clock": "LocalTime",
    "day": "Date",
    "zone": "TimeZone",
    "duration": "Duration",
    "decimal": "Decimal",
    "currency": "CurrencyCode",
    "cursor": "Cursor",
    "url": "URL",
    "anything": "JSON",
}


def by_variable(field: str, value: object) -> Any:
    optional = "" if field == "anything" else "!"
    return schema.execute_sync(
        f"query ($value: {TYPES[field]}{optional}) {{ {field}(value: $value) }}", {"value": value}
    )


def by_literal(field: str, literal: str) -> Any:
    return schema.execute_sync(f"{{ {field}(value: {literal}) }}")


def refusals(field: str, value: object) -> list[str]:
    """The messages of a value that both ways in refuse as the caller's fault."""
    results = [by_variable(field, value)]
    if not isinstance(value, list | dict):
        results.append(by_literal(field, json.dumps(value)))
    seen.clear()
    for result in results:
        assert result.data is None
        assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]
        assert result.errors[0].locations
    assert not seen
    return [result.errors[0].message for result in results]


def test_the_schema_names_the_scalars_as_the_contract_does() -> None:
    printed = schema.as_str()
    assert {line.split()[1] for line in printed.splitlines() if line.startswith("scalar ")} == set(
        TYPES.values()
    )
    assert all(f"(value: {type_name}" in printed for type_name in TYPES.values())


GOOD: list[tuple[str, object, object, object]] = [
    ("instant", "2027-03-28T07:00:00Z", datetime(2027, 3, 28, 7, tzinfo=UTC), "2027-03-28T07:00:00Z"),
    ("instant", "2027-03-28t09:00:00+02:00", datetime(2027, 3, 28, 7, tzinfo=UTC), "2027-03-28T07:00:00Z"),
    (
        "instant",
        "2027-03-28T07:00:00.1Z",
        datetime(2027, 3, 28, 7, 0, 0, 100_000, UTC),
        "2027-03-28T07:00:00.100Z",
    ),
    (
        "instant",
        "2027-03-28T07:00:00.123456789Z",
        datetime(2027, 3, 28, 7, 0, 0, 123_456, UTC),
        "2027-03-28T07:00:00.123Z",
    ),
    (
        "instant",
        "2027-03-28T07:00:00.0004Z",
        datetime(2027, 3, 28, 7, 0, 0, 400, UTC),
        "2027-03-28T07:00:00Z",
    ),
    ("local", "2027-03-28T09:00", datetime(2027, 3, 28, 9), "2027-03-28T09:00"),
    ("local", "2027-03-28T09:00:30", datetime(2027, 3, 28, 9, 0, 30), "2027-03-28T09:00:30"),
    ("clock", "09:00", time(9), "09:00"),
    ("clock", "23:59:59", time(23, 59, 59), "23:59:59"),
    ("day", "2028-02-29", date(2028, 2, 29), "2028-02-29"),
    ("zone", "Europe/Stockholm", "Europe/Stockholm", "Europe/Stockholm"),
    ("duration", "PT15M", timedelta(minutes=15), "PT15M"),
    ("decimal", "500.00", Decimal("500.00"), "500.00"),
    ("decimal", 500, Decimal(500), "500"),
    ("decimal", "-0.0000001", Decimal("-0.0000001"), "-0.0000001"),
    ("currency", "SEK", "SEK", "SEK"),
    ("cursor", encode_cursor([7, "x"]), "Wzcs" + "IngiXQ", encode_cursor([7, "x"])),
    (
        "url",
        "https://example.org:8443/a?b=c#d",
        "https://example.org:8443/a?b=c#d",
        "https://example.org:8443/a?b=c#d",
    ),
    ("url", "http://[::1]/", "http://[::1]/", "http://[::1]/"),
    ("anything", True, True, True),
    ("anything", 2**63 - 1, 2**63 - 1, 2**63 - 1),
    ("anything", "å 😀", "å 😀", "å 😀"),
    ("anything", 0.5, 0.5, 0.5),
]


@pytest.mark.parametrize(("field", "sent", "value", "received"), GOOD)
def test_a_good_value_arrives_typed_and_leaves_in_canonical_form(
    field: str, sent: object, value: object, received: object
) -> None:
    for result in (by_variable(field, sent), by_literal(field, json.dumps(sent, ensure_ascii=False))):
        assert result.errors is None
        assert result.data == {field: received}
        assert (seen[-1], type(seen[-1])) == (value, type(value))


def test_each_instant_is_utc_whatever_offset_it_came_with() -> None:
    by_variable("instant", "2027-03-28T09:00:00+02:00")
    assert seen[-1].tzinfo is UTC  # type: ignore[attr-defined]


BAD: dict[str, list[object]] = {
    "instant": [
        "2027-03-29T07:00:00",
        "2027-03-28 07:00:00Z",
        "2027-03-28T07:00Z",
        "2027-02-30T07:00:00Z",
        "2027-03-28T24:00:01Z",
        "2027-03-28T07:00:60Z",
        "2027-03-28T07:00:00+24:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "20270328T070000Z",
        "2027-W12-7T07:00:00Z",
        "٢٠٢٧-03-28T07:00:00Z",
        1_806_217_200,
    ],
    "local": [
        "2027-03-28T09:00Z",
        "2027-03-28",
        "2027-03-28T09",
        "2027-03-28T25:00",
        "1969-12-31T09:00",
        "2200-01-01T09:00",
    ],
    "clock": ["9:00", "24:00", "09:00Z", "09", "09:00:00.5", 900],
    "day": ["2027-02-29", "2027-3-1", "20270301", "2027-W01-1", "0000-01-01", "9999-01-01", 20270301],
    "zone": ["Mars/Olympus", "../etc/passwd", "CEST", "+02:00", 2],
    "duration": ["P1M", "15", 900, "PT0S", "P999D"],
    "decimal": [
        "",
        "1e5",
        "NaN",
        "Infinity",
        "1_000",
        "1,5",
        " 1",
        "0x10",
        "1.",
        ".5",
        "--1",
        "٣",
        10**18,
        -(10**18),
    ],
    "currency": ["sek", "XXX", "", 752],
    "cursor": ["", "a b", "=", "a" * (MAX_CURSOR + 1), 7],
    "url": [
        "example.org",
        "//example.org",
        "ftp://example.org",
        "javascript:alert(1)",
        "https://",
        "https://:443",
        "https://user:secret@example.org",
        "https://user@example.org",
        "https://example.org:99999",
        "https://example.org:0",
        "https://example.org/ b",
        "https://example.org/\n",
        "https://[::1",
        "https://exämple.org",
        "https://example.org/" + "a" * 2_048,
    ],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD.items() for value in values]
)
def test_a_bad_value_is_the_callers_fault_and_is_not_repeated(field: str, value: object) -> None:
    for message in refusals(field, value):
        assert len(message) < 200
        assert not isinstance(value, str) or len(value) < 16 or value not in message


@pytest.mark.parametrize("field", sorted(TYPES.keys() - {"anything"}))
@pytest.mark.parametrize(
    "value", [True, 1.5, "x" * 5_000, "\0", "", {}, {"a": 1}, 10**4_000], ids=lambda value: str(type(value))
)
def test_no_scalar_takes_another_kind_of_value(field: str, value: object) -> None:
    refusals(field, value)


@pytest.mark.parametrize("field", sorted(TYPES.keys() - {"anything"}))
def test_a_name_is_no_text(field: str) -> None:
    result = by_literal(field, "SEK")
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]


def test_a_decimal_is_never_a_float() -> None:
    assert all('such as "500.00"' in message for message in refusals("decimal", 500.25))


def test_a_number_too_long_to_be_written_out_is_refused_like_any_other() -> None:
    for value in (10**5_000, -(10**5_000)):
        assert by_variable("decimal", value).errors[0].extensions == {"code": "BAD_USER_INPUT"}


def test_a_refusal_says_what_would_be_right() -> None:
    assert (
        by_literal("day", '"28/3"').errors[0].message
        == 'Not a Date; write it as a string such as "2027-03-28".'
    )
    assert "Europe/Stockholm" in by_literal("zone", '"Mars"').errors[0].message
    assert "Years and months" in by_literal("duration", '"P1M"').errors[0].message


def test_a_json_object_comes_in_both_ways_and_with_variables_inside() -> None:
    value = {"a": [1, 2.5, True, None, {"b": "c"}], "": "d"}
    assert by_variable("anything", value).data == {"anything": value}
    literal = by_literal("anything", '{a: [1, 2.5, true, null, {b: "c"}]}')
    assert literal.data == {"anything": {"a": value["a"]}}
    inside = schema.execute_sync("query ($x: JSON) { anything(value: {a: $x}) }", {"x": 7})
    assert (inside.data, inside.errors) == ({"anything": {"a": 7}}, None)
    missing = schema.execute_sync("query ($x: JSON) { anything(value: {a: $x}) }")
    assert [(error.extensions or {})["code"] for error in missing.errors or []] == ["BAD_USER_INPUT"]


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(MAX_JSON_DEPTH + 1),
        nested(500),
        [0] * 10_000,
        2**63,
        [10**4_000],
        float("inf"),
        [float("nan")],
        "\0",
        {"\0": 1},
        "\ud800",
    ],
    ids=["deeper", "deepest", "long", "integer", "huge", "infinite", "nan", "nul", "nul key", "surrogate"],
)
def test_json_that_cannot_be_kept_is_refused(value: object) -> None:
    result = by_variable("anything", value)
    assert result.data is None
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]
    assert "JSON" in result.errors[0].message
    assert len(result.errors[0].message) < 200


@pytest.mark.parametrize("literal", ["9" * 5_000, "1e999", "[" * 40 + "]" * 40, "[" * 100 + "]" * 100])
def test_a_json_literal_that_cannot_be_kept_is_refused(literal: str) -> None:
    result = by_literal("anything", literal)
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]


def test_json_as_deep_as_allowed_is_taken() -> None:
    assert by_variable("anything", nested(MAX_JSON_DEPTH)).errors is None


def test_an_instant_without_offset_cannot_leave() -> None:
    assert schema.execute_sync('{ made(kind: "aware") }').data == {"made": "2027-03-28T05:00:00.001Z"}
    wrong = schema.execute_sync('{ made(kind: "naive") }')
    assert wrong.errors
    assert "needs an offset" in wrong.errors[0].message


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.timezones()))
def test_every_instant_survives_the_wire_to_the_millisecond(instant: datetime) -> None:
    definition = SCALARS[datetime]
    assert definition.serialize is not None
    assert definition.parse_value is not None
    read: Any = definition.parse_value(definition.serialize(instant))
    assert timedelta() <= instant.astimezone(UTC) - read < timedelta(milliseconds=1)


# ---------------------------------------------------------------- ids and cursors

uuids = st.uuids()


@given(uuids)
def test_a_global_id_reads_back_as_the_type_and_the_id(uuid: UUID) -> None:
    gid = encode("Schedule", uuid)
    assert decode(gid) == decode(gid, "Schedule") == ("Schedule", uuid)
    with pytest.raises(MalformedId, match="another type than Booking"):
        decode(gid, "Booking")


@pytest.mark.parametrize(
    "gid",
    [
        "",
        "x",
        "=",
        "é",
        "A" * 10_000,
        b64encode(b"Schedule").decode(),
        b64encode(b"A" * 200 + b":01a1fbf6-0f27-79bd-85d1-5a4eae883f17").decode(),
        b64encode(b"Schedule:1").decode(),
        b64encode(b"schedule:01a1fbf6-0f27-79bd-85d1-5a4eae883f17").decode(),
        b64encode(b"Schedule:01A1FBF6-0F27-79BD-85D1-5A4EAE883F17").decode(),
        b64encode(b"Schedule:01a1fbf60f2779bd85d15a4eae883f17").decode(),
        b64encode(b"Schedule:01a1fbf6-0f27-79bd-85d1-5a4eae883f17\n").decode(),
        b64encode(b"Schedule:{01a1fbf6-0f27-79bd-85d1-5a4eae883f17}").decode(),
        b64encode("Schédule:01a1fbf6-0f27-79bd-85d1-5a4eae883f17".encode()).decode(),
        b64encode(b"Schedule:01a1fbf6-0f27-79bd-85d1-5a4eae883f17").decode() + "\n",
        b64encode(b"Booking:01a1fbf6-0f27-79bd-85d1-5a4eae883f17").decode().rstrip("="),
    ],
)
def test_a_malformed_global_id_is_one_clean_error(gid: str) -> None:
    with pytest.raises(MalformedId):
        decode(gid)


def test_a_global_id_has_one_spelling() -> None:
    gid = encode("Node", UUID(int=0))
    spelled = [f"{gid[:-2]}{sign}=" for sign in string.ascii_letters + string.digits + "+/"]
    same = [other for other in spelled if b64decode(other) == b64decode(gid)]
    assert len(same) == 4
    for other in set(same) - {gid}:
        with pytest.raises(MalformedId):
            decode(other)


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers_of_ids_and_cursors(text: str) -> None:
    for read in (decode, decode_cursor):
        try:
            read(text)
        except (MalformedId, MalformedCursor):
            continue


numbers = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.none() | st.booleans() | numbers | texts, max_size=4))
def test_a_cursor_reads_back_as_its_values(some: list[str | int | bool | None]) -> None:
    cursor = encode_cursor(some)
    assert decode_cursor(cursor, *map(type, some)) == tuple(some)
    assert "=" not in cursor


def cursor_of(text: bytes) -> str:
    return urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "é",
        "A" * (MAX_CURSOR + 1),
        cursor_of(b"[7, 8]"),
        cursor_of(b"[7,8"),
        cursor_of(b"{}"),
        cursor_of(b"7"),
        cursor_of(b"[7]"),
        cursor_of(b"[7,8,9]"),
        cursor_of(b'[7,"8"]'),
        cursor_of(b"[7,true]"),
        cursor_of(b"[7,8.0]"),
        cursor_of(b"[7,NaN]"),
        cursor_of(b"[7,9223372036854775808]"),
        cursor_of(b"\xff"),
        cursor_of(b"[" * 300),
        cursor_of(b"[7,8]") + "=",
    ],
)
def test_a_cursor_that_was_tampered_with_is_one_clean_error(cursor: str) -> None:
    assert decode_cursor(cursor_of(b"[7,8]"), int, int) == (7, 8)
    with pytest.raises(MalformedCursor):
        decode_cursor(cursor, int, int)


def test_the_longest_cursor_that_is_made_is_taken_in() -> None:
    longest = encode_cursor(["x" * 380])
    assert len(longest) == MAX_CURSOR
    assert by_variable("cursor", longest).data == {"cursor": longest}


def test_what_is_too_long_for_a_cursor_is_noticed_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="Too much"):
        encode_cursor(["x" * MAX_CURSOR])
