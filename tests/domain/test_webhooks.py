"""The rules of webhooks: what is tried again and when, which types are meant, how a message is signed."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from domain.errors import InvalidInput
from domain.events import LoggedEvent, Stream
from domain.messages import Messages
from domain.webhooks import (
    LONGEST_WAIT,
    RETRIES,
    Attempt,
    DeliveryStatus,
    Endpoint,
    OlderJob,
    checked_types,
    outcome,
)

NOW = datetime.now(UTC)
JOB = UUID(int=7)
MANY = [f"{one}.{other}" for one in "abcdefgh" for other in "abcdefg"]
MESSAGES = Messages(b"a secret of tests", lambda event: dict(event.data), str)


def attempt(status: int | None, retry_after: timedelta | None = None) -> Attempt:
    return Attempt(NOW, timedelta(milliseconds=5), status, None if status else "timed_out", retry_after)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    assert outcome(1, 0, attempt(status), 0.5).status is DeliveryStatus.SUCCEEDED


@pytest.mark.parametrize("status", [None, 301, 307, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert outcome(1, 0, attempt(status), 0.5).status is DeliveryStatus.RETRYING


def test_who_is_gone_is_not_asked_again() -> None:
    assert outcome(1, 0, attempt(410), 0.5).status is DeliveryStatus.DEAD


def test_a_delivery_is_tried_for_about_three_days_with_longer_and_longer_pauses() -> None:
    waits = [outcome(1, tries, attempt(500), 0.5).after for tries in range(len(RETRIES))]
    assert waits == sorted(RETRIES)
    assert timedelta(days=3) <= sum(RETRIES, timedelta()) <= timedelta(days=3.5)
    assert outcome(1, len(RETRIES), attempt(500), 0.5).status is DeliveryStatus.DEAD


def test_each_pause_is_varied_by_a_fifth() -> None:
    least, most = (outcome(1, 1, attempt(500), chance).after for chance in (0.0, 1.0))
    assert (least, most) == (timedelta(minutes=4), timedelta(minutes=6))


def test_retry_after_makes_a_pause_longer_never_shorter_and_not_for_ever() -> None:
    asked = [
        outcome(1, 1, attempt(503, timedelta(seconds=seconds)), 0.5).after
        for seconds in (1, 3_600, 10_000_000)
    ]
    assert asked == [timedelta(minutes=5), timedelta(hours=1), LONGEST_WAIT]


@pytest.mark.parametrize(
    "types",
    [[], [""], ["booking"], ["Booking.confirmed"], ["*.confirmed"], ["booking.c*"], ["a.b;"], MANY],
)
def test_what_is_no_type_is_refused(types: list[str]) -> None:
    with pytest.raises(InvalidInput):
        checked_types(types)


def test_the_older_systems_are_told_of_jobs_alone() -> None:
    assert checked_types(["automation.*", "automation.*"], older=True) == ("automation.*",)
    with pytest.raises(InvalidInput):
        checked_types(["*"], older=True)


# ------------------------------------------------------------------ messages


def event(type_: str = "automation.updated", **data: object) -> LoggedEvent:
    return LoggedEvent(Stream.AUTOMATION, JOB, 3, type_, NOW, data)


def endpoint(number: int = 1, **more: object) -> Endpoint:
    return Endpoint(UUID(int=number), "https://hooks.example/", ("*",), **more)  # type: ignore[arg-type]


def test_a_secret_has_32_bytes_and_is_another_for_each_endpoint_and_generation() -> None:
    secrets = [MESSAGES.secret_of(each) for each in (endpoint(), endpoint(2), endpoint(generation=2))]
    assert len(set(secrets)) == 3
    assert MESSAGES.secret_of(endpoint()) == secrets[0]
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(b64decode(secret.removeprefix("whsec_"))) == 32


def test_a_message_has_the_same_id_and_body_at_every_attempt_and_another_time() -> None:
    now = datetime.now(UTC)  # at most five minutes from the clock of who verifies
    first = MESSAGES.of_event(endpoint(), event(status="SEARCHING"), None, now)
    again = MESSAGES.of_event(endpoint(), event(status="SEARCHING"), None, now + timedelta(minutes=4))
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == f"evt_{JOB.hex}_3"
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]
    for message in first, again:
        Webhook(MESSAGES.secret_of(endpoint())).verify(message.body, dict(message.headers))


def test_no_secret_is_in_what_may_be_logged() -> None:
    message = MESSAGES.of_event(endpoint(), event(), None, NOW)
    told = repr((MESSAGES, message))
    assert "a secret of tests" not in told
    assert message.headers["webhook-signature"] not in told


@pytest.mark.feature("S1.12")
def test_a_job_that_failed_is_an_end_without_success() -> None:
    job = OlderJob("order 7", "user 12", {})
    failed = event("automation.failed", status="TIMED_OUT", message="The time is over.")
    body = json.loads(MESSAGES.of_event(endpoint(older=True), failed, job, NOW).body)
    assert body["event_type"] == "booking_completed"
    assert body["data"] == {"success": False, "booking_result": None, "message": "The time is over."}
