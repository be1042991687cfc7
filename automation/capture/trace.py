"""A trace that Playwright's viewer opens, written from what may be told: our own steps, and a veiled page."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

TOLD = frozenset(
    {
        "version",
        "type",
        "origin",
        "browserName",
        "playwrightVersion",
        "options",
        "platform",
        "wallTime",
        "monotonicTime",
        "sdkLanguage",
    }
)
"""What is kept of the trace's head."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a visit: when it began and ended (Unix time, seconds), and the kind of what went wrong."""

    name: str
    began: float
    ended: float
    failure: str | None = None


def veiled_trace(recorded: Path, steps: Sequence[Step], mark: str) -> bytes:
    """A trace (zip) of ``steps``, after the last of which the page is shown as it was recorded.

    Of the recording only the page's own frame is taken, and only if it carries the veil's ``mark``.

    Raises:
        ValueError: it does not.

    """
    with ZipFile(recorded) as archive:
        lines = [json.loads(line) for line in archive.read("trace.trace").splitlines()]
    head = {key: value for key, value in lines[0].items() if key in TOLD}
    shown = next((line["snapshot"] for line in lines if _is_page(line, mark)), None)
    if shown is None:
        raise ValueError("The page that was recorded is not the one that was veiled.")
    events = [head, *_told(steps, head), _page(shown, f"step@{len(steps)}", head)]
    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        archive.writestr("trace.trace", "".join(f"{json.dumps(event)}\n" for event in events))
        archive.writestr("trace.network", "")
    return written.getvalue()


def _is_page(line: dict[str, Any], mark: str) -> bool:
    if line["type"] != "frame-snapshot" or not line["snapshot"]["isMainFrame"]:
        return False
    html = line["snapshot"]["html"]
    return len(html) > 1 and isinstance(html[1], dict) and html[1].get("data-veiled") == mark


def _told(steps: Sequence[Step], head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def at(time: float) -> float:
        return float(head["monotonicTime"] + time * 1000 - head["wallTime"])

    for number, step in enumerate(steps, 1):
        call = {"callId": f"step@{number}"}
        yield {
            "type": "before",
            **call,
            "startTime": at(step.began),
            "class": "Visit",
            "method": step.name,
            "title": step.name,
            "params": {},
        }
        error = {"error": {"name": step.failure, "message": step.failure}} if step.failure else {}
        yield {"type": "after", **call, "endTime": at(step.ended), **error}


def _page(shown: dict[str, Any], call: str, head: dict[str, Any]) -> dict[str, Any]:
    kept = ("pageId", "frameId", "html", "viewport", "timestamp", "wallTime", "collectionTime", "isMainFrame")
    snapshot = {key: shown[key] for key in kept if key in shown}
    snapshot["html"] = _without_address(shown["html"])
    return {
        "type": "frame-snapshot",
        "snapshot": {**snapshot, "callId": call, "phase": "after", "frameUrl": "", "resourceOverrides": []},
    }


def _without_address(node: Any) -> Any:
    """The page without the element in which Playwright notes its address, query and all."""
    if not isinstance(node, list):
        return node
    return [
        _without_address(child) for child in node if not (isinstance(child, list) and child[:1] == ["BASE"])
    ]
