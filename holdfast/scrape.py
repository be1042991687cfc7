"""``/metrics``: who may read it, and the figures of all processes that serve on the port."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from holdfast.metrics import Metrics
from holdfast.settings import Settings
from holdfast.siblings import Siblings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_FORWARDED = ("forwarded", "via", "x-forwarded-", "x-real-ip")


class Scrape:
    """The endpoint. With a token in the settings its bearer may read, from anywhere; without, this machine alone."""

    def __init__(self, settings: Settings, metrics: Metrics, siblings: Siblings | None = None) -> None:
        self._token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
        self._metrics = metrics
        self._siblings = siblings

    async def answer(self, request: Request) -> Response:
        """Answer in the text format of Prometheus, or in OpenMetrics for who prefers that."""
        from prometheus_client.exposition import choose_encoder

        if not self._may_read(request):
            return _refusal(self._token is not None)
        families: Sequence[Metric] = await self._metrics.families()
        if self._siblings is not None:
            families = await self._siblings.together(families)
        encode, media = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(_Collected(families)), media_type=media, headers={"Cache-Control": "no-store"})

    def _may_read(self, request: Request) -> bool:
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            return hmac.compare_digest(given, f"Bearer {self._token}".encode())
        return is_here(request)


def is_here(request: Request) -> bool:
    """Whether a request comes from this machine, and through no proxy, whose callers may be anywhere."""
    if request.client is None or any(name.startswith(_FORWARDED) for name in request.headers):
        return False
    return ipaddress.ip_address(request.client.host).is_loopback


def _refusal(by_token: bool) -> Response:
    if by_token:
        words = "Send Authorization: Bearer with the token of HOLDFAST_METRICS_TOKEN.\n"
        return Response(words, 401, {"www-authenticate": "Bearer"}, "text/plain")
    words = "Figures are for this machine alone until HOLDFAST_METRICS_TOKEN is set.\n"
    return Response(words, 403, media_type="text/plain")


class _Collected:
    """What an encoder takes for a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
