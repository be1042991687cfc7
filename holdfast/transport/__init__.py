"""How GraphQL meets the wire: POST and GET, event streams, and graphql-transport-ws, all at ``/graphql``.

Our own in place of Strawberry's handlers, which answer malformed input with a 500 or a broken socket and
share one context among all operations of a socket.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from domain.rates import Rates
from domain.viewer import Viewer
from holdfast.transport.exchange import Exchange
from holdfast.transport.figures import Figures
from holdfast.transport.http import HttpEndpoint, Page
from holdfast.transport.request import Authenticate, Limits, Ports, SessionWatch
from holdfast.transport.socket import SocketEndpoint
from holdfast.transport.sse import EventStreams
from holdfast.transport.trusted import TrustedDocuments
from schema.executor import Executor, OperationContext

__all__ = ["Authenticate", "Limits", "SessionWatch", "Transport", "TrustedDocuments"]


class Transport:
    """The whole of ``/graphql``.

    ``make_context`` is called once an operation. ``may_introspect`` says who may ask for the schema.
    ``allowed_origins`` are the foreign origins ("https://example.org") whose pages may open sockets. ``page``
    is shown to a browser that asks for HTML. ``rates`` are the requests that each caller may send.
    ``trusted`` are the documents that may be asked for by their id.
    """

    def __init__(
        self,
        executor: Executor,
        authenticate: Authenticate,
        make_context: Callable[[Viewer], OperationContext],
        sessions: SessionWatch,
        *,
        may_introspect: Callable[[Viewer], bool],
        allowed_origins: Collection[str] = (),
        page: Page | None = None,
        limits: Limits | None = None,
        rates: Rates | None = None,
        trusted: TrustedDocuments | None = None,
    ) -> None:
        limits = limits or Limits()
        self._ports = Ports(
            executor,
            authenticate,
            make_context,
            sessions,
            limits,
            may_introspect,
            rates,
            trusted or TrustedDocuments(),
        )
        self.exchange = Exchange(self._ports)
        """What other endpoints share with it: who asks, the limits, the counts."""
        self._streams = EventStreams(self.exchange)
        self._http = HttpEndpoint(self._ports, self._streams, page)
        self._sockets = SocketEndpoint(self.exchange, allowed_origins)

    @property
    def http(self) -> ASGIApp:
        """What serves the requests of ``/graphql``."""
        return self._http

    @property
    def socket(self) -> ASGIApp:
        """What serves the sockets of ``/graphql``."""
        return self._sockets

    def routes(self) -> list[BaseRoute]:
        """Routes, not a Mount, which would redirect ``/graphql`` to ``/graphql/``."""
        return [Route("/graphql", self._http), WebSocketRoute("/graphql", self._sockets)]

    @property
    def figures(self) -> Figures:
        """What is open and has been done, as of now."""
        return self.exchange.figures

    @property
    def refused(self) -> Counter[str]:
        """How many requests and operations were turned away, by code."""
        return self._ports.refused

    async def drain(self) -> None:
        """Close sockets with 1001, end event streams, let mutations that are under way finish."""
        await asyncio.gather(self._sockets.drain(), self._streams.drain())
        await self._ports.mutations_finished()
