"""What the older systems' front ends send: a start in either of two forms, and a stop."""

from __future__ import annotations

import re
from collections.abc import Mapping

from domain.automation import StartJob
from domain.errors import InvalidInput
from domain.portals import Portal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")
_CONFIG = ("license_type", "exam", "exam_type", "locations")


def is_name(text: str) -> bool:
    """Whether a job can be called this: it stands in paths, as it is."""
    return _NAME.fullmatch(text) is not None


def start_of(body: Mapping[str, object], portal: Portal) -> StartJob:
    """The wish in a start's body. What neither the older systems nor the portal know is passed over, as it was.

    Raises InvalidInput.
    """
    inner = body.get("config")
    if inner is not None and not isinstance(inner, Mapping):
        raise InvalidInput("`config` is an object.", ("config",))
    given = body if inner is None else inner
    known = {*_CONFIG, *_properties(portal)}
    return StartJob(
        portal_key=portal.key,
        config={name: value for name, value in given.items() if name in known and value is not None},
        webhook_url=_text(given, "webhook_url") or _text(body, "webhook_url"),
        reference=name_in(body),
        subject=_text(body, "user_id"),
        older=True,
    )


def name_in(body: Mapping[str, object]) -> str | None:
    """The job_id in a body, None where there is none. Raises InvalidInput for one that no job can have."""
    name = _text(body, "job_id")
    if name is not None and not is_name(name):
        raise InvalidInput(
            "A job_id has 1 to 200 letters, digits and . _ : @ - and begins with one of the first two.",
            ("job_id",),
        )
    return name


def _text(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"`{name}` is a string.", (name,))


def _properties(portal: Portal) -> Mapping[str, object]:
    properties = portal.config_schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}
