"""What a client takes as an answer (RFC 9110, 12.5.1; GraphQL over HTTP, "Media Types")."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accepted:
    """``single`` is the media type of an answer that is one result; None when that is not taken."""

    single: str | None
    stream: bool
    stream_preferred: bool
    page_preferred: bool


@lru_cache(maxsize=256)
def accepted(header: str | None) -> Accepted:
    """Read an Accept header. A missing one, and a wildcard, mean application/json."""
    weights = _weights(header if header else JSON)
    wildcard = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    json = weights.get(JSON, wildcard)
    graphql = weights.get(GRAPHQL_RESPONSE, 0.0)
    single = max(json, graphql)
    stream = weights.get(EVENT_STREAM, 0.0)
    return Accepted(
        single=None if not single else GRAPHQL_RESPONSE if graphql >= json else JSON,
        stream=stream > 0,
        stream_preferred=stream > single,
        page_preferred=weights.get(HTML, 0.0) > single,
    )


@lru_cache(maxsize=256)
def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is application/json in UTF-8."""
    media, *parameters = (content_type or "").lower().split(";")
    named = dict(parameter.strip().partition("=")[::2] for parameter in parameters)
    return media.strip() == JSON and named.get("charset", "utf-8").strip('"') in {"utf-8", "utf8"}


def _weights(header: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for entry in header.lower().split(","):
        media, *parameters = entry.split(";")
        weights[media.strip()] = next(
            (
                _quality(value)
                for name, _, value in (p.strip().partition("=") for p in parameters)
                if name == "q"
            ),
            1.0,
        )
    return weights


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
