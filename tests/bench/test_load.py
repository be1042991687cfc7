"""What the bench asks for: seats that nobody else asks for, in documents that are valid."""

from __future__ import annotations

from itertools import islice
from typing import Any

import orjson
import pytest
from graphql import build_schema, parse, validate

from bench import documents
from bench.data import COLUMNS, ROWS, labels, pairs, schedule_gid
from bench.load import Reserving
from domain.seats import plan_layout
from schema.ids import decode
from schema.root import schema

DOCUMENTS = {name: text for name, text in vars(documents).items() if name.isupper()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_of_the_bench_is_valid(name: str) -> None:
    assert validate(build_schema(schema.as_str()), parse(DOCUMENTS[name])) == []


def test_the_hall_has_the_seats_that_a_hall_of_ours_would_have() -> None:
    assert labels() == [seat.label for seat in plan_layout(ROWS, COLUMNS)]
    assert decode(schedule_gid(255), "Schedule")[1].hex == "00000000000070068000" + "0000000000ff"


def asked(request: bytes) -> tuple[dict[str, Any], str]:
    """The variables of a request, and whose token it shows; it says truly how long it is."""
    head, body = request.split(b"\r\n\r\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert int(fields["Content-Length"]) == len(body)
    variables: dict[str, Any] = orjson.loads(body)["variables"]
    return variables, fields["Authorization"]


@pytest.mark.parametrize("width", [1, 3])
def test_no_two_requests_ask_for_one_seat(width: int) -> None:
    schedules = [schedule_gid(number) for number in range(6)]
    requests = Reserving("mutation { x }", schedules, pairs(), ["one", "two"], width)
    got = [asked(request) for request in islice(requests, 6 * len(pairs()))]
    seats = {(told["schedule"], label) for told, _ in got for label in told["labels"]}
    assert len(seats) == 6 * len(labels())
    assert [token for _, token in got[:3]] == ["Bearer one", "Bearer two", "Bearer one"]
    # As many schedules at a time as are asked for, and each sold out before the next ones begin.
    assert {told["schedule"] for told, _ in got[: width * len(pairs())]} == set(schedules[:width])
