from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from holdfast.logs import configure_logging
from holdfast.settings import Settings

PRIVATE = {
    "email": "anna@example.org",
    "password": "correct horse",
    "name": "Anna Andersson",
    "displayName": "Anna A.",
    "phone": "+46 70 123 45 67",
    "address": "192.0.2.7",
    "client_address": "192.0.2.8",
    "authorization": "Bearer abc.def",
    "accessToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
    "refresh_tokens": ["r-1"],
}


class Lines:
    """What has been written to stderr since the last look."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self) -> str:
        return self._capsys.readouterr().err

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield Lines(capsys)
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_login_shows_nothing_of_who_signs_in(lines: Lines, form: Any) -> None:
    configure_logging(Settings(log_format=form))
    log = structlog.get_logger("holdfast.accounts")
    log.info("login failed for anna@example.org", **PRIVATE, input={"login": [PRIVATE]})
    logging.getLogger("library").warning("sent %s to %s", "Bearer abc.def", PRIVATE["email"])
    text = lines.text()
    assert "login failed for [withheld]" in text
    for value in PRIVATE.values():
        assert str(value).removeprefix("Bearer ") not in text


@pytest.mark.parametrize(
    "words",
    [
        "new row violates a check\nDETAIL:  Failing row contains (1, Anna\n\nSvensson, +46 70).\nHINT:  Look.",
        "new row violates a check\nDETAIL:  Failing row contains (1, Anna\nSvensson, +46 70).",
        "a group\n  | DETAIL:  Failing row contains (1, Anna\n  | Svensson, +46 70).",
        "invalid input for query argument $3: 'Anna (Svensson)' (expected int, got str)",
        "invalid input for query argument $12: ['Anna', 'Svensson'] (expected int, got list)",
    ],
)
def test_what_the_database_says_of_values_is_withheld_however_many_lines_they_have(
    lines: Lines, words: str
) -> None:
    configure_logging(Settings(log_format="json"))
    try:
        try:
            raise LookupError(words)
        except LookupError as error:
            raise ValueError("it failed") from error
    except ValueError:
        structlog.get_logger().exception("failed")
    (event,) = lines.events()
    assert "Svensson" not in event["exception"]
    assert "+46" not in event["exception"]
    assert "ValueError: it failed" in event["exception"]


def test_an_exception_keeps_its_place_and_loses_its_values(lines: Lines) -> None:
    configure_logging(Settings(log_format="json"))
    try:
        raise ValueError(
            "no anna@example.org at postgresql://u:p4ss@db/x\nDETAIL:  Key (phone)=(+46) exists."
        )
    except ValueError:
        structlog.get_logger().exception("failed")
    (event,) = lines.events()
    assert "test_logs.py" in event["exception"]
    assert "postgresql://[withheld]@db/x" in event["exception"]
    assert "\n[withheld]" in event["exception"]
    assert "p4ss@" not in event["exception"].splitlines()[-2]


def test_names_that_are_nobodys_stay(lines: Lines) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.get_logger("holdfast.graphql").info(
        "done", operation_name="Search", seconds=0.5, rows=3, none=None
    )
    (event,) = lines.events()
    assert event["operation_name"] == "Search"
    assert (event["seconds"], event["rows"], event["none"]) == (0.5, 3, None)
    assert event["logger"] == "holdfast.graphql"


def test_the_request_id_is_on_every_line_ours_or_not(lines: Lines) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger().warning("ours")
    logging.getLogger("uvicorn.error").error("theirs")
    assert [event["request_id"] for event in lines.events()] == ["r-1", "r-1"]


def test_uvicorn_does_not_write_a_clients_address(lines: Lines) -> None:
    configure_logging(Settings(log_format="json", log_level="debug"))
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "192.0.2.7:1", "POST", "/graphql", "1.1", 200
    )
    assert lines.text() == ""


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    configure_logging(Settings(log_format="json", log_level="warning"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [event["event"] for event in lines.events()] == ["loud"]
