"""What is sent to webhooks, and how it is signed: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com).

The older systems' names and envelope are a switch of the endpoint; the signature is the same.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.events import LoggedEvent
from domain.live import LoginCode
from domain.webhooks import QR_CODE, Endpoint, OlderJob

OVERLAP = timedelta(hours=24)
"""How long after a rotation both secrets sign."""

ESTIMATE = "60-180 seconds"
"""What the older systems told of every job."""

Told = Callable[[LoggedEvent], Mapping[str, object]]
"""The data of an event as clients know it: with global ids."""


@dataclass(frozen=True, slots=True)
class Message:
    """A body and its headers, ready to be posted."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Messages:
    """Writes and signs. Secrets are derived from the installation's ``secret``, and are stored nowhere.

    ``told`` gives an event's data, ``job_id`` the global id of a job.
    """

    secret: bytes = field(repr=False)
    told: Told
    job_id: Callable[[UUID], str]

    def secret_of(self, endpoint: Endpoint) -> str:
        """What the endpoint's receiver verifies with: ``whsec_`` and 32 bytes in base64."""
        return f"whsec_{b64encode(self._key(endpoint, endpoint.generation)).decode()}"

    def of_event(
        self, endpoint: Endpoint, event: LoggedEvent, job: OlderJob | None, now: datetime
    ) -> Message:
        """An event; its id is the same at every attempt, and told twice it is one of which nothing new is known."""
        body = _older(event, job) if endpoint.older and job else self._standard(event)
        return self._signed(endpoint, f"evt_{event.stream_id.hex}_{event.version}", body, now)

    def of_code(self, endpoint: Endpoint, code: LoginCode, job: OlderJob, now: datetime) -> Message:
        """A login code. It is told once or never, and nothing of it is kept."""
        image = f"data:image/png;base64,{b64encode(code.image).decode()}"
        if endpoint.older:
            left = max(0, round((code.expires_at - now).total_seconds()))
            data: dict[str, object] = {"qr_code_data": image, "expires_in": left}
            body = _envelope("qr_code_update", job, code.shown_at, data)
        else:
            data = {
                "subjectId": self.job_id(code.job_id),
                "frame": code.frame,
                "text": code.text,
                "imageDataUrl": image,
                "shownAt": _instant(code.shown_at),
                "expiresAt": _instant(code.expires_at),
                "autostartUrl": code.autostart_url,
            }
            body = {"type": QR_CODE, "timestamp": _instant(code.shown_at), "data": data}
        return self._signed(endpoint, f"code_{code.job_id.hex}_{code.frame}", body, now)

    def _standard(self, event: LoggedEvent) -> Mapping[str, object]:
        return {"type": event.type, "timestamp": _instant(event.at), "data": self.told(event)}

    def _signed(self, endpoint: Endpoint, id_: str, body: Mapping[str, object], now: datetime) -> Message:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        at = str(int(now.timestamp()))
        content = b".".join((id_.encode(), at.encode(), text))
        generations = [endpoint.generation]
        if endpoint.rotated_at is not None and now < endpoint.rotated_at + OVERLAP:
            generations.append(endpoint.generation - 1)
        signatures = (
            b64encode(hmac.digest(self._key(endpoint, generation), content, "sha256")).decode()
            for generation in generations
        )
        return Message(
            text,
            {
                "content-type": "application/json",
                "webhook-id": id_,
                "webhook-timestamp": at,
                "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
            },
        )

    def _key(self, endpoint: Endpoint, generation: int) -> bytes:
        return hmac.digest(
            self.secret, b"webhook\0" + endpoint.id.bytes + generation.to_bytes(4, "big"), "sha256"
        )


def _older(event: LoggedEvent, job: OlderJob) -> Mapping[str, object]:
    """The older systems' names: a start, an end, and everything between them a change of status."""
    data: dict[str, object]
    match event.type:
        case "automation.started":
            name, data = "booking_started", {"config": job.config, "estimated_duration": ESTIMATE}
        case "automation.completed":
            name, data = "booking_completed", {"success": True, "booking_result": _result(job)}
        case "automation.failed" | "automation.stopped":
            message = event.data.get("message")
            name, data = "booking_completed", {"success": False, "booking_result": None, "message": message}
        case _:
            name = "status_update"
            data = {
                "status": str(event.data.get("status", "")).lower(),
                "message": event.data.get("message"),
                "progress": event.data.get("progress"),
            }
    return _envelope(name, job, event.at, data)


def _result(job: OlderJob) -> Mapping[str, object]:
    return {"booking_id": job.booking_number, "exam_date": job.exam_date, "exam_time": job.exam_time}


def _envelope(name: str, job: OlderJob, at: datetime, data: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "event_type": name,
        "job_id": job.reference,
        "user_id": job.user,
        "timestamp": _instant(at),
        "data": data,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
