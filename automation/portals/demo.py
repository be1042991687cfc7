"""The demo portal's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from automation.portals.config import conforming
from domain.errors import InvalidInput
from domain.jobs import Slot
from domain.portals import Politeness

LICENCES = ("AM", "A1", "A2", "A", "B", "BE", "C")
EXAMS = ("Driving test", "Theory test")
MOST_PLACES = 4

OLDER_NAMES = {"license_type": "licence", "exam_type": "exam", "locations": "places"}
OLDER_EXAMS = {"Körprov": "Driving test", "Kunskapsprov": "Theory test"}

_DAY = {"type": "string", "format": "date"}
_HOUR = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "maxLength": 5}

SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "licence": {"title": "Licence", "enum": list(LICENCES), "default": "B"},
        "exam": {"title": "Exam", "enum": list(EXAMS), "default": "Driving test"},
        "places": {
            "title": "Places, at most four",
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_PLACES,
            "items": {"type": "string", "minLength": 1, "maxLength": 60},
            "uniqueItems": True,
            "default": ["Uppsala"],
        },
        "from": {"title": "Earliest day", **_DAY},
        "to": {"title": "Latest day", **_DAY},
        "earliest": {"title": "Earliest time of day", **_HOUR},
        "latest": {"title": "Latest time of day", **_HOUR},
        "person": {"title": "Who will sign in", "type": "string", "minLength": 1, "maxLength": 100},
    },
}


class DemoPortal:
    """A demo portal that runs at ``url``."""

    key = "demo"
    name = "Demo Licence Authority"
    time_zone = "Europe/Stockholm"
    currency = "SEK"
    politeness = Politeness(
        between_searches=timedelta(seconds=1),
        least_between_searches=timedelta(0),
        between_requests=timedelta(0),
    )
    config_schema = SCHEMA

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def origins(self) -> Sequence[str]:
        """Its own, and where its code is when it is shown in a frame: this machine under its other name."""
        parts = urlsplit(self.url)
        own = f"{parts.scheme}://{parts.netloc}"
        other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(parts.hostname or "")
        return (own, own.replace(parts.hostname or "", other, 1)) if other else (own,)

    def checked(self, config: object) -> Mapping[str, object]:
        """The config with its defaults, in today's words. Raises InvalidInput."""
        found = conforming(SCHEMA, _in_todays_words(config))
        for first, last in (("from", "to"), ("earliest", "latest")):
            if first in found and last in found and found[first] > found[last]:
                raise InvalidInput(f"It is before `{first}`.", ["config", last])
        return found

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        """The config's person, else the owner."""
        return str(config["person"]) if "person" in config else owner_name


def fits(slot: Slot, config: Mapping[str, Any]) -> bool:
    """Whether a time is one that a (checked) config asks for."""
    return (
        slot.location in config["places"]
        and date.fromisoformat(config.get("from", "0001-01-01")) <= slot.date
        and slot.date <= date.fromisoformat(config.get("to", "9999-12-31"))
        and time.fromisoformat(config.get("earliest", "00:00")) <= slot.time
        and slot.time <= time.fromisoformat(config.get("latest", "23:59"))
    )


def _in_todays_words(config: object) -> object:
    """The older contract's names of fields and exams are understood too."""
    if not isinstance(config, Mapping):
        return config
    renamed = {OLDER_NAMES.get(name, name): value for name, value in config.items()}
    exam = renamed.get("exam")
    return renamed | {"exam": OLDER_EXAMS.get(exam, exam)} if isinstance(exam, str) else renamed
