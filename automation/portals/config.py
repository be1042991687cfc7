"""A job's config against the JSON Schema of its portal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.errors import InvalidInput

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
