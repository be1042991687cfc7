"""The terms of Trafikverket's booking of driving tests: off unless its operator switches it on.

docs/portals/trafikverket.md says what of it was never tried against the real site, and its rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any, Final
from urllib.parse import urlsplit

from automation.portals.config import conforming, in_order, person_of
from domain.jobs import Slot
from domain.portals import Politeness

LICENCES: Final = ("B", "A", "A1", "A2")
EXAMS: Final = ("Körprov", "Kunskapsprov")
MOST_PLACES: Final = 4
OLDER_NAMES: Final = {"license_type": "licence", "exam_type": "exam", "locations": "places"}

_DAY = {"type": "string", "format": "date"}
_HOUR = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "maxLength": 5}
_NAME = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"^\S.*$"}

SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["places"],
    "properties": {
        "licence": {"title": "Licence", "enum": list(LICENCES), "default": "B"},
        "exam": {"title": "Exam", "enum": list(EXAMS), "default": "Körprov"},
        "vehicle": {"title": "Vehicle, as the portal's list says it: Automatbil ...", **_NAME},
        "language": {"title": "Language of the theory test, as the portal's list says it", **_NAME},
        "places": {
            "title": "Places, as the portal names them, at most four",
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_PLACES,
            "items": _NAME,
            "uniqueItems": True,
        },
        "from": {"title": "Earliest day", **_DAY},
        "to": {"title": "Latest day", **_DAY},
        "earliest": {"title": "Earliest time of day", **_HOUR},
        "latest": {"title": "Latest time of day", **_HOUR},
        "person": {"title": "Who will sign in, as BankID has the name", **_NAME, "maxLength": 100},
    },
}


class TrafikverketPortal:
    """Trafikverket, or at another ``url`` something that looks like it."""

    key = "trafikverket"
    name = "Trafikverket Förarprov"
    time_zone = "Europe/Stockholm"
    currency = "SEK"
    politeness = Politeness()
    """30 s between two searches of a job, give or take a fifth, and never below 10; 3 s between any two requests."""
    config_schema = SCHEMA

    def __init__(self, url: str = "https://fp.trafikverket.se/Boka/ng/") -> None:
        self.url = url

    @property
    def origins(self) -> Sequence[str]:
        """Its own alone."""
        parts = urlsplit(self.url)
        return (f"{parts.scheme}://{parts.netloc}",)

    def checked(self, config: object) -> Mapping[str, object]:
        """The config with its defaults; the older contract's names of fields are understood. Raises InvalidInput."""
        if isinstance(config, Mapping):
            config = {OLDER_NAMES.get(name, name): value for name, value in config.items()}
        return in_order(conforming(SCHEMA, config))

    def expected_name(self, config: Mapping[str, object], owner_name: str | None) -> str | None:
        """The config's person, else the owner."""
        return person_of(config, owner_name)


_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})\D{0,40}?([01]\d|2[0-3])[:.]([0-5]\d)", re.ASCII)

_LINE = re.compile(_INSTANT.pattern + r"[ ,\t\n]+([^\W\d_][^\n\t,]*)")


def slot_in(text: str, places: Sequence[str]) -> Slot | None:
    """The one time that a piece of a page tells, at one of these places; None where it is not one.

    Of places whose names hold each other the longest counts: Uppsala-Boländerna is not Uppsala.
    """
    instants = set(_INSTANT.findall(text))
    named = [place for place in sorted(places, key=len, reverse=True) if _names(text, place)]
    if len(instants) != 1 or not named:
        return None
    ((day, hour, minute),) = instants
    try:
        return Slot(date.fromisoformat(day), time(int(hour), int(minute)), named[0])
    except ValueError:
        return None


def slot_on_line(text: str) -> Slot | None:
    """The one time in a line of bookings; its place is what stands after the clock, up to a comma or the cell's end."""
    found = {(day, hour, minute, place.strip()) for day, hour, minute, place in _LINE.findall(text)}
    if len(found) != 1:
        return None
    ((day, hour, minute, place),) = found
    return slot_in(f"{day} {hour}:{minute} {place}", [place])


def _names(text: str, place: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(place)}(?![\w-])", text, re.IGNORECASE) is not None
