"""A job's config against the JSON Schema of its portal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import InvalidInput


def conforming(schema: Mapping[str, Any], config: object) -> dict[str, Any]:
    """The config, with the defaults of the schema's properties filled in.

    Raises:
        InvalidInput: it does not conform to the schema (JSON Schema 2020-12, formats asserted); ``path`` begins with
            ``config`` and leads to what is wrong.

    """
    from jsonschema import Draft202012Validator  # a tenth of a second to import

    if not isinstance(config, Mapping):
        raise InvalidInput("The config is an object.", ["config"])
    defaults = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}
    filled = {**defaults, **config}
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong = min(checker.iter_errors(filled), key=lambda error: list(map(str, error.path)), default=None)
    if wrong is not None:
        raise InvalidInput(wrong.message, ["config", *map(str, wrong.path)])
    return filled
