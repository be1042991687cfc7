"""Every setting of Holdfast: its name in the environment, its default, what it means, and what is refused.

The README's table is ``settings_table()``; a setting that is not a field here does not exist.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "HOLDFAST_"
SHORTEST_SECRET = 32
PORTALS = ("demo", "trafikverket")
INSIDE = tuple(
    map(ipaddress.ip_network, ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10", "::ffff:0:0/96"))
)
"""This machine, and the clouds' metadata: no webhook of a stranger's may be led there."""

Several = Annotated[tuple[str, ...], NoDecode]
"""Values separated by commas in the environment."""


class SettingsRefused(Exception):
    """The settings are wrong, unsafe or contradict each other; ``lines`` says why, one cause a line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def default_data_dir() -> Path:
    """Return ``var`` in a checkout, else the platform's place for an application's data."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").exists():
        return checkout / "var"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/Holdfast"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "holdfast"


class Settings(BaseSettings):
    """One process's settings, read once at start. Secrets are left out of its repr."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="`production` switches GraphiQL off and asks for keys of your own"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one")
    allowed_origins: Several = Field(
        default=(), description="origins of browser pages, besides our own, that may call us and open sockets"
    )
    trusted_proxies: Several = Field(
        default=(), description="addresses or networks whose `X-Forwarded-*` headers are believed"
    )

    public_url: str | None = Field(
        default=None,
        description="where callers reach us, for addresses that we give them; by default the host and port above",
    )

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="the embedded PostgreSQL, generated keys, what is kept of failed jobs; in a checkout `./var`",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="PostgreSQL 15+ (`postgresql://...`); none starts the embedded one",
    )
    migration_url: str | None = Field(
        default=None,
        repr=False,
        description="the same database for the role that owns the tables: for `migrate`, `backup` and `restore`;"
        " by default `HOLDFAST_DATABASE_URL`",
    )
    database_pool_min: int = Field(default=2, ge=1, description="database connections kept open by a process")
    database_pool_max: int = Field(default=10, ge=1, description="database connections a process may open")
    redis_url: str | None = Field(
        default=None, repr=False, description="Redis 7+ or Valkey (`redis://...`); none keeps to one process"
    )
    inline_worker: bool | None = Field(
        default=None,
        description="run the worker inside the server; by default with an embedded database or without Redis",
    )

    secret: SecretStr | None = Field(
        default=None,
        description="key of guests' reservation tokens, webhooks' secrets and login codes on their way,"
        " 32 characters or more; generated when possible",
    )
    jwt_private_key: SecretStr | None = Field(
        default=None,
        description="RSA key that signs access tokens, as PEM or a path to it; generated when possible",
    )
    jwt_previous_keys: Several = Field(
        default=(),
        repr=False,
        description="earlier keys, as PEM or paths, whose access tokens are still good",
    )
    access_token_minutes: int = Field(default=30, ge=1, le=1440, description="life of an access token")
    refresh_token_days: int = Field(
        default=30, ge=1, le=365, description="life of a session that is not used"
    )

    max_active_reservations: int = Field(
        default=5, ge=1, description="reservations one account may hold at once"
    )
    max_active_reservations_per_address: int = Field(
        default=20, ge=1, description="reservations guests of one address may hold at once"
    )
    max_seats_per_reservation: int = Field(
        default=6, ge=1, le=100, description="seats in one reservation where the offering says nothing"
    )

    graphiql: bool | None = Field(
        default=None, description="serve GraphiQL at `/graphql`; by default in development"
    )
    requests_per_minute: int = Field(
        default=600, ge=0, description="operations one account may send a minute; 0 is no limit"
    )
    requests_per_minute_per_address: int = Field(
        default=1_200,
        ge=0,
        description="operations that guests of one address may send a minute; 0 is no limit",
    )
    operation_cost: int = Field(
        default=50_000, ge=1, description="highest estimated cost of an operation that is run"
    )
    operation_seconds: float = Field(
        default=10.0, gt=0, le=600, description="time a query or a mutation may take"
    )
    document_tokens: int = Field(
        default=3_000, ge=100, description="names, numbers and signs in one GraphQL document"
    )
    document_depth: int = Field(default=16, ge=1, le=100, description="fields within fields of one document")
    body_bytes: int = Field(default=262_144, ge=1024, description="longest body of a request")
    head_seconds: float = Field(
        default=10.0, gt=0, le=600, description="time a request's line and headers may take to arrive"
    )
    body_seconds: float = Field(
        default=20.0, gt=0, le=600, description="time a request's body may take to arrive"
    )
    subscriptions_per_socket: int = Field(
        default=100, ge=1, description="subscriptions open at once on one socket"
    )
    subscriptions_per_caller: int = Field(
        default=5_000,
        ge=1,
        description="subscriptions one account, or one address' guests, may have at a server;"
        " one of more than 1,024 characters, variables and all, counts as several",
    )
    sockets_per_account: int = Field(
        default=100, ge=1, description="sockets one account may have open at a server"
    )
    sockets_per_address: int = Field(
        default=2_000, ge=1, description="sockets one address may have open at a server"
    )
    socket_messages_per_second: int = Field(
        default=200, ge=1, description="messages a socket may send us in a second"
    )
    socket_message_bytes: int = Field(
        default=65_536, ge=1024, description="longest message a socket may send us"
    )
    shutdown_grace_seconds: float = Field(
        default=2.0, ge=0, le=60, description="time that requests get to end before a stop"
    )

    log_retention_days: int = Field(
        default=30, ge=0, description="days that the log of events is kept; 0 keeps it for ever"
    )
    trusted_documents: Path | None = Field(
        default=None,
        description="folder of graphql-codegen's `persisted-documents.json`; in production nothing else runs",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="bearer token of who reads `/metrics`, 32 characters or more; none lets this machine alone",
    )
    log_operations: bool = Field(default=True, description="log a line for each operation")

    automation: bool | None = Field(
        default=None, description="run automation jobs in workers; by default where a browser is found"
    )
    portals: Several = Field(
        default=("demo",), description="portals that jobs may be started at: `demo`, `trafikverket`"
    )
    demo_portal_url: str | None = Field(
        default=None,
        description="where a demo portal runs; in development, with the embedded database, one is started",
    )
    browser: Path | None = Field(
        default=None,
        description="Chromium's program; by default Playwright's own, or one that the machine has",
    )
    browser_sharing: Literal["job", "worker"] = Field(
        default="job",
        description="a browser for each job, or one for all jobs of a worker (denser, less safe)",
    )
    jobs_per_worker: int = Field(
        default=4, ge=1, le=24, description="jobs a worker runs at once; above 8 only with a shared browser"
    )
    jobs_per_account: int = Field(
        default=5, ge=1, description="jobs of one account that may be under way or queued at once"
    )
    job_minutes: int = Field(
        default=60, ge=1, le=1440, description="time a job may take, all attempts together"
    )
    job_memory_mib: int = Field(
        default=1024, ge=256, description="memory a job's browser may use before it is ended"
    )
    artifact_hours: int = Field(
        default=72, ge=0, description="hours that pictures and traces of failures are kept; 0 keeps none"
    )
    webhook_http: bool | None = Field(
        default=None, description="allow webhooks without TLS; by default in development"
    )
    webhook_allow_networks: Several = Field(
        default=(),
        description="networks that webhooks may reach although they are not public, such as `127.0.0.0/8`: for tests",
    )

    leave_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="time at a stop in which `/health/ready` says 503 and everything still works",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level logged"
    )
    log_format: Literal["json", "console"] | None = Field(
        default=None,
        description="form of log lines; by default `console` in development, `json` in production",
    )

    _one_of_several: bool = PrivateAttr(default=False)

    def as_one_of_several(self) -> Settings:
        """The same for a process beside others."""
        copy = self.model_copy()
        copy._one_of_several = True
        return copy

    @property
    def reaches_all_watchers(self) -> bool:
        """Whether a login code that is seen in this process gets to whoever watches at another."""
        return self.redis_url is not None or not self._one_of_several

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is ours to start."""
        return self.database_url is None

    @property
    def has_demo(self) -> bool:
        """Whether an empty database is filled with demo data."""
        return self.embedded and self.environment == "development"

    @property
    def works_inline(self) -> bool:
        """Whether the server process runs the worker's loops too."""
        if self.inline_worker is None:
            return self.embedded or self.redis_url is None
        return self.inline_worker

    @property
    def shows_graphiql(self) -> bool:
        """Whether ``/graphql`` answers a browser with GraphiQL."""
        return self.environment == "development" if self.graphiql is None else self.graphiql

    @property
    def webhooks_over_http(self) -> bool:
        """Whether a webhook's URL may begin with ``http://``."""
        return self.environment == "development" if self.webhook_http is None else self.webhook_http

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.log_format == "json" or (self.log_format is None and self.environment == "production")

    @property
    def public_origin(self) -> str:
        """Where callers reach us, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{self.port}"

    @property
    def artifacts(self) -> Path:
        """The folder of what is kept of failed jobs."""
        return self.data_dir / "artifacts"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator(
        "allowed_origins",
        "trusted_proxies",
        "jwt_previous_keys",
        "portals",
        "webhook_allow_networks",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("data_dir", "trusted_documents")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @field_validator("secret", "metrics_token")
    @classmethod
    def _long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"give {SHORTEST_SECRET} characters or more")
        return value

    @field_validator("portals")
    @classmethod
    def _adapters(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if strange := [value for value in values if value not in PORTALS]:
            raise ValueError(f"there is no portal {strange[0]}; there are {' and '.join(PORTALS)}")
        return values

    @field_validator("public_url", "demo_portal_url")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        return _with_scheme(value, "https", "http")

    @field_validator("database_url", "migration_url")
    @classmethod
    def _postgresql(cls, value: str | None) -> str | None:
        return _with_scheme(value, "postgresql", "postgres")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        return _with_scheme(value, "redis", "rediss", "unix")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not re.fullmatch(r"https?://[^/?#@*]+", value):
                raise ValueError(
                    f"{value} is no origin such as https://tickets.example (no path, no wildcard)"
                )
        return values

    @field_validator("trusted_proxies", "webhook_allow_networks")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            ipaddress.ip_network(value)  # its ValueError names the value and what is wrong with it
        return values


class SettingsRow(NamedTuple):
    """One setting, as the README's table shows it."""

    name: str
    default: str
    meaning: str


def settings_table() -> list[SettingsRow]:
    """Return a row for each setting, in the order of the fields."""
    return [
        SettingsRow(PREFIX + name.upper(), _shown(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def load_settings() -> Settings:
    """Read the settings from the environment's ``HOLDFAST_*`` variables.

    Raises:
        SettingsRefused: a name is misspelt, a value wrong, or together they are unsafe or contradictory.

    """
    if misspelt := _misspelt(os.environ):
        raise SettingsRefused(misspelt)
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsRefused([_refusal(dict(detail)) for detail in error.errors()]) from None
    if contradictions := [*_unsafe(settings), *_contradictory(settings)]:
        raise SettingsRefused(contradictions)
    return settings


def _misspelt(environment: Iterable[str]) -> list[str]:
    known = [row.name for row in settings_table()]
    lines = []
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            lines.append(f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _refusal(detail: dict[str, Any]) -> str:
    name = PREFIX + str(detail["loc"][0]).upper()
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}"


def _unsafe(settings: Settings) -> Iterator[str]:
    if settings.environment != "production":
        return
    if settings.secret is None and not (settings.embedded and settings.loopback):
        yield (
            "HOLDFAST_SECRET must be set in production: every process needs the same one"
            " (make one with: openssl rand -base64 48)"
        )
    if settings.jwt_private_key is None and not settings.embedded:
        yield (
            "HOLDFAST_JWT_PRIVATE_KEY must be set in production with a database of yours: every process needs"
            " the same one (make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048)"
        )
    for network in map(ipaddress.ip_network, settings.webhook_allow_networks):
        if any(network.version == inside.version and network.overlaps(inside) for inside in INSIDE):
            yield (
                f"HOLDFAST_WEBHOOK_ALLOW_NETWORKS: {network} would let every customer's webhooks reach this machine"
                " or a cloud's metadata; that is for development alone"
            )


def _contradictory(settings: Settings) -> Iterator[str]:
    if settings.migration_url is not None and settings.embedded:
        yield "HOLDFAST_MIGRATION_URL needs HOLDFAST_DATABASE_URL: the embedded database has roles of its own"
    if settings.database_pool_min > settings.database_pool_max:
        yield "HOLDFAST_DATABASE_POOL_MIN is above HOLDFAST_DATABASE_POOL_MAX"
    if settings.jobs_per_worker > 8 and settings.browser_sharing == "job":
        yield "HOLDFAST_JOBS_PER_WORKER is above 8: that needs HOLDFAST_BROWSER_SHARING=worker"
    if settings.redis_url is None and settings.inline_worker is False:
        yield "HOLDFAST_INLINE_WORKER=false needs HOLDFAST_REDIS_URL: through it the worker reaches us"


def _with_scheme(value: str | None, *schemes: str) -> str | None:
    if value is not None and urlsplit(value).scheme not in schemes:
        raise ValueError(f"give an address that starts with {schemes[0]}://")
    return value


def _shown(default: object) -> str:
    """Return a default as the table shows it."""
    if default is PydanticUndefined or default is None or default == ():
        return ""
    return ",".join(default) if isinstance(default, tuple) else str(default)
