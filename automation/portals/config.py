"""A job's config: against the JSON Schema of its portal, and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from domain.errors import InvalidInput
from domain.jobs import Slot

LONGEST = 8_192
"""Characters of a config as JSON."""
QUOTED = 200
"""Characters of a refusal, which may quote what is wrong."""


def conforming(schema: Mapping[str, Any], config: object) -> dict[str, Any]:
    """The config, with the defaults of the schema's properties filled in.

    Raises:
        InvalidInput: it is longer than LONGEST, holds a NUL, or does not conform to the schema (JSON Schema 2020-12,
            formats asserted); ``path`` begins with ``config`` and leads to the first thing that is wrong.

    """
    from jsonschema import Draft202012Validator  # a tenth of a second to import

    if not isinstance(config, Mapping):
        raise InvalidInput("The config is an object.", ["config"])
    text = json.dumps(config)
    if len(text) > LONGEST or "\\u0000" in text.replace("\\\\", ""):
        raise InvalidInput(
            f"The config has at most {LONGEST} characters of JSON, none of them NUL.", ["config"]
        )
    defaults = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}
    filled = {**defaults, **config}
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong = next(checker.iter_errors(filled), None)  # to find all takes the square of what was sent
    if wrong is not None:
        raise InvalidInput(wrong.message[:QUOTED], ["config", *map(str, wrong.path)])
    return filled


def in_order(config: dict[str, Any]) -> dict[str, Any]:
    """The config. Raises InvalidInput where ``from`` is after ``to``, or ``earliest`` after ``latest``."""
    for first, last in (("from", "to"), ("earliest", "latest")):
        if first in config and last in config and config[first] > config[last]:
            raise InvalidInput(f"It is before `{first}`.", ["config", last])
    return config


def person_of(config: Mapping[str, object], owner_name: str | None) -> str | None:
    """Whose login a job is for: the config's person, else the owner; None if nobody said."""
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
