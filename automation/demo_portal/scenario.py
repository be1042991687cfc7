"""How a demo portal behaves: everything that can be chosen when it starts, and while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum


class CodeLayout(StrEnum):
    """In which way the page shows its code."""

    CANVAS = "canvas"
    """A canvas that is drawn on anew."""
    CANVAS_REPLACED = "canvas-replaced"
    IMG = "img"
    SVG = "svg"
    FRAME = "frame"
    """A canvas in a frame from another origin: this machine under its other name."""
    FROZEN = "frozen"
    """The first code of an order stays."""
    BLANK = "blank"
    """A canvas with nothing on it."""


class ScenarioRefused(ValueError):
    """There is no such choice."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What can be chosen. Times are in seconds, shares between 0 and 1."""

    code: CodeLayout = CodeLayout.CANVAS
    order_seconds: float = 30.0
    """How long an order waits for its scan."""
    orders: int = 10
    """How many orders a page starts, one after the other, before it gives up."""
    sign_seconds: float = 180.0
    """How long a scanned order waits to be confirmed."""
    session_seconds: float = 1800.0
    """How long a session lasts without a request."""
    keep_seconds: float = 600.0
    """How long a chosen time is kept."""
    step_seconds: float = 5.0
    """Every so often times appear and vanish, and other customers book."""
    new_times: float = 0.6
    """Share of those steps in which times appear."""
    rivals: float = 0.4
    """Share of those steps in which another customer takes a time."""
    no_times: bool = False
    """No time is free."""
    slow_seconds: float = 0.0
    """Every page takes so much longer."""
    errors: float = 0.0
    """Share of pages that are a failure."""
    maintenance: bool = False
    refresh_seconds: float = 0.0
    """The pages of the code and of the times load themselves anew so often; 0: not."""
    renamed: str = ""
    """A button or heading that has got another name: the site was changed."""

    def changed(self, choices: Mapping[str, object]) -> Scenario:
        """The same with some choices made anew, each a value or its text. Raises ScenarioRefused."""
        known = {each.name for each in fields(self)}
        if strange := sorted(choices.keys() - known):
            raise ScenarioRefused(f"{strange[0]} is no choice; there are {', '.join(sorted(known))}")
        made = {name: _like(getattr(self, name), name, value) for name, value in choices.items()}
        return replace(self, **made)  # type: ignore[arg-type]

    def told(self) -> dict[str, object]:
        """All choices, by name."""
        return asdict(self)


def scenario_of(choices: Iterable[str]) -> Scenario:
    """The usual scenario with choices of the form ``name=value``. Raises ScenarioRefused."""
    return Scenario().changed(dict(_pair(choice) for choice in choices))


def _pair(choice: str) -> tuple[str, str]:
    name, equals, value = choice.partition("=")
    if not equals:
        raise ScenarioRefused(f"{choice} is not of the form name=value")
    return name, value


def _like(before: object, name: str, value: object) -> object:
    """The value, as the kind that it replaces."""
    try:
        if isinstance(before, bool):
            return {"true": True, "false": False}[str(value).lower()]
        return type(before)(value)  # type: ignore[call-arg]
    except (KeyError, TypeError, ValueError):
        raise ScenarioRefused(f"{name} cannot be {value}") from None
