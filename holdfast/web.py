"""The web application: GraphQL, GraphiQL, keys, artefacts, health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast import older
from holdfast.graphiql import graphiql
from holdfast.health import Health
from holdfast.metrics import Metrics
from holdfast.operations import WatchedExecutor
from holdfast.scrape import Scrape
from holdfast.settings import Settings
from holdfast.siblings import Siblings
from holdfast.transport import Limits, Transport, TrustedDocuments
from holdfast.trusted_documents import trusted_documents
from holdfast.watch import Watch, make_watch
from holdfast.wiring import App
from schema.context import Context
from schema.documents import DocumentLimits
from schema.executor import Executor
from schema.root import schema

KEYS_CACHED = "public, max-age=300"
GUARDS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class Web:
    """The ASGI application, what ends its streams, and what tells of it."""

    asgi: ASGIApp
    transport: Transport
    health: Health
    metrics: Metrics
    watch: Watch


def make_web(app: App, siblings: Siblings | None = None) -> Web:
    """The application over one process' parts; ``siblings`` are the processes that serve beside it.

    Raises:
        CommandFailed: the documents that are to be trusted are not as they should be.

    """
    settings = app.settings
    development = settings.environment == "development"
    page = graphiql() if settings.shows_graphiql else None
    watch = make_watch(settings)
    executor = WatchedExecutor(
        schema,
        _document_limits(settings),
        suggestions=development,
        operations=watch.operations,
        trace=watch.tracing.begin if watch.tracing else None,
    )
    transport = Transport(
        executor,
        app.identity.authenticate,
        lambda viewer: Context(viewer, app.services),
        app.identity.ended,
        may_introspect=lambda viewer: development or viewer.signed_in,
        allowed_origins=settings.allowed_origins,
        page=page.page if page else None,
        rates=app.rates,
        trusted=_trusted(settings, executor),
        limits=Limits(
            body=settings.body_bytes,
            operation=settings.operation_seconds,
            message=settings.socket_message_bytes,
            operations_per_socket=settings.subscriptions_per_socket,
            subscriptions_per_caller=settings.subscriptions_per_caller,
            sockets_per_account=settings.sockets_per_account,
            sockets_per_address=settings.sockets_per_address,
            messages_per_second=settings.socket_messages_per_second,
        ),
    )

    health, metrics = Health(app, transport), Metrics(app, transport, watch.operations)

    async def keys(request: Request) -> Response:
        return JSONResponse(app.identity.jwks(), headers={"Cache-Control": KEYS_CACHED})

    routes = [
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/health/detailed", health.detailed),
        Route("/metrics", Scrape(settings, metrics, siblings).answer),
        Route("/.well-known/jwks.json", keys),
        app.artifacts.route(),
        *(page.routes() if page else ()),
        *older.routes(app, transport, settings.allowed_origins),
    ]
    asgi = front(transport, routes, settings.allowed_origins)
    if watch.tracing is not None:
        asgi = watch.tracing.around(asgi)
    return Web(asgi, transport, health, metrics, watch)


def _trusted(settings: Settings, executor: Executor) -> TrustedDocuments | None:
    if settings.trusted_documents is None:
        return None
    only = settings.environment == "production"
    return trusted_documents(settings.trusted_documents, executor, only=only)


def _document_limits(settings: Settings) -> DocumentLimits:
    return DocumentLimits(
        tokens=settings.document_tokens, depth=settings.document_depth, cost=settings.operation_cost
    )


def front(transport: Transport, others: Sequence[BaseRoute], allowed_origins: Sequence[str]) -> ASGIApp:
    """All of the application: ``/graphql``, and beside it ``others``."""
    http: ASGIApp = Doors("http", transport.http, Starlette(routes=[*others, *transport.routes()]))
    if allowed_origins:
        http = CORSMiddleware(
            http,
            allow_origins=allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["x-request-id"],
            max_age=600,
        )
    return Doors("websocket", transport.socket, SecurityHeaders(http))


class Doors:
    """What is for ``/graphql`` by one protocol goes straight in.

    A layer between would keep a frame a socket; a router and its guards cost a request what it costs to read it.
    """

    def __init__(self, protocol: str, graphql: ASGIApp, others: ASGIApp) -> None:
        self._protocol = protocol
        self._graphql = graphql
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        ours = scope["type"] == self._protocol and scope["path"] == "/graphql"
        await (self._graphql if ours else self._others)(scope, receive, send)


class SecurityHeaders:
    """Sets what every answer of ours carries, where it did not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                own = {name for name, _ in headers}
                message["headers"] = [*headers, *(header for header in GUARDS if header[0] not in own)]
            await send(message)

        await self._app(scope, receive, send_guarded)
