from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.settings import Settings, SettingsRefused, default_data_dir, load_settings, settings_table

SECRET = "s" * 32
PRODUCTION = {
    "ENVIRONMENT": "production",
    "HOST": "0.0.0.0",
    "DATABASE_URL": "postgresql://holdfast:db-password@db/holdfast",
    "REDIS_URL": "redis://:redis-password@redis:6379/0",
    "SECRET": SECRET,
    "JWT_PRIVATE_KEY": "/run/secrets/jwt.pem",
}


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"HOLDFAST_{name}", value)
    return load_settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(SettingsRefused) as refused:
        load(monkeypatch, **values)
    assert refused.value.lines
    assert all("\n" not in line for line in refused.value.lines)
    return str(refused.value)


def test_nothing_has_to_be_set() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.embedded
    assert settings.works_inline
    assert settings.shows_graphiql
    assert not settings.logs_json
    assert settings.loopback


def test_a_checkout_keeps_its_data_in_var() -> None:
    assert default_data_dir() == Path(__file__).parents[2] / "var"


def test_production_with_everything_given_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert not settings.embedded
    assert not settings.works_inline
    assert not settings.shows_graphiql
    assert settings.logs_json
    assert not settings.loopback


def test_graphiql_is_there_in_production_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **PRODUCTION, GRAPHIQL="true").shows_graphiql


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        ALLOWED_ORIGINS="https://a.example, http://b.example:3000",
        TRUSTED_PROXIES="10.0.0.0/8,::1",
    )
    assert settings.allowed_origins == ("https://a.example", "http://b.example:3000")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")


def test_an_empty_value_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, REDIS_URL="").redis_url is None


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(load(monkeypatch, **PRODUCTION, JWT_PREVIOUS_KEYS="/run/secrets/older.pem"))
    for secret in (SECRET, "db-password", "redis-password", "jwt.pem", "older.pem"):
        assert secret not in shown


def test_a_refused_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(monkeypatch, SECRET="too-short", DATABASE_URL="mysql://user:db-password@db/x")
    assert "HOLDFAST_SECRET: give 32 characters or more" in text
    assert "HOLDFAST_DATABASE_URL: give an address that starts with postgresql://" in text
    assert "too-short" not in text
    assert "db-password" not in text


def test_a_misspelt_name_is_told_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        refusal(monkeypatch, DATABSE_URL="x")
        == "HOLDFAST_DATABSE_URL is no setting; did you mean HOLDFAST_DATABASE_URL?"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "65536", "less than or equal to 65535"),
        ("PORT", "http", "valid integer"),
        ("ENVIRONMENT", "prod", "'development' or 'production'"),
        ("REDIS_URL", "http://redis", "redis://"),
        ("ALLOWED_ORIGINS", "*", "no wildcard"),
        ("ALLOWED_ORIGINS", "https://a.example/path", "no path"),
        ("PORTALS", "demo,nowhere", "no portal nowhere"),
        ("DEMO_PORTAL_URL", "127.0.0.1:8001", "https://"),
        ("TRUSTED_PROXIES", "proxy.example", "IPv4 or IPv6"),
        ("ACCESS_TOKEN_MINUTES", "0", "greater than or equal to 1"),
        ("LOG_LEVEL", "loud", "'debug', 'info'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    text = refusal(monkeypatch, **{name: value})
    assert text.startswith(f"HOLDFAST_{name}: ")
    assert words in text


@pytest.mark.parametrize("name", ["SECRET", "JWT_PRIVATE_KEY"])
def test_production_with_a_database_of_its_own_wants_its_keys(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    without = {key: value for key, value in PRODUCTION.items() if key != name}
    assert f"HOLDFAST_{name} must be set" in refusal(monkeypatch, **without)


def test_production_that_others_can_reach_wants_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HOLDFAST_SECRET must be set" in refusal(monkeypatch, ENVIRONMENT="production", HOST="0.0.0.0")


def test_production_on_this_machine_alone_makes_its_own_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, ENVIRONMENT="production").secret is None


@pytest.mark.parametrize("network", ["127.0.0.1/32", "0.0.0.0/0", "169.254.169.254/32", "::1/128", "::/0"])
def test_production_lets_no_webhook_reach_this_machine(monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    allowed = {"WEBHOOK_ALLOW_NETWORKS": f"10.1.0.0/16,{network}"}
    assert network in refusal(monkeypatch, **PRODUCTION, **allowed)
    assert load(monkeypatch, **PRODUCTION | {"ENVIRONMENT": "development"}, **allowed)


def test_production_may_have_receivers_of_webhooks_in_networks_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(monkeypatch, **PRODUCTION, WEBHOOK_ALLOW_NETWORKS="10.1.0.0/16,fd00::/8")


def test_a_worker_of_its_own_needs_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HOLDFAST_REDIS_URL" in refusal(monkeypatch, INLINE_WORKER="false")
    assert not load(monkeypatch, INLINE_WORKER="false", REDIS_URL="redis://localhost").works_inline


def test_a_pool_cannot_be_smaller_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "POOL_MIN is above" in refusal(monkeypatch, DATABASE_POOL_MIN="11")


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().port = 1


def test_every_setting_has_a_meaning_in_the_table() -> None:
    rows = settings_table()
    assert {row.name for row in rows} == {f"HOLDFAST_{name.upper()}" for name in Settings.model_fields}
    assert all(re.fullmatch(r"[^|\n]+", row.meaning) for row in rows)
