"""The demo portal's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from automation.portals.config import conforming, in_order, person_of
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
        return in_order(conforming(SCHEMA, _in_todays_words(config)))

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        """The config's person, else the owner."""
        return person_of(config, owner_name)


def _in_todays_words(config: object) -> object:
    """The older contract's names of fields and exams are understood too."""
    if not isinstance(config, Mapping):
        return config
    renamed = {OLDER_NAMES.get(name, name): value for name, value in config.items()}
    exam = renamed.get("exam")
    return renamed | {"exam": OLDER_EXAMS.get(exam, exam)} if isinstance(exam, str) else renamed
