"""What is deployed is what there is: settings, commands, files and addresses that compose, image and papers name."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.settings import PREFIX, Settings, load_settings, settings_table
from tests.acceptance import nginx

HOUSE = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((HOUSE / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "holdfast"}
DOCKERFILE = (HOUSE / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What deploy/secrets.sh writes, as compose reads it: double quotes, and a backslash and n for a line's end."""
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(HOUSE / "deploy", house / "deploy")
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=house, check=True, capture_output=True)
    assert (house / ".env").stat().st_mode & 0o777 == 0o600
    again = subprocess.run(
        ["sh", "deploy/secrets.sh"], cwd=house, capture_output=True, text=True, check=False
    )
    assert (again.returncode, "already" in again.stderr) == (1, True)
    lines = [line for line in (house / ".env").read_text().splitlines() if not line.startswith("#")]
    return {
        name: value.removeprefix('"').removesuffix('"').replace("\\n", "\n")
        for name, _, value in (line.partition("=") for line in lines)
    }


def filled(value: str, secrets: Mapping[str, str]) -> str:
    """A value with its variables: ``${NAME:?what to do}``, ``${NAME:-else}``."""

    def of(found: re.Match[str]) -> str:
        name, kind, other = found.groups()
        return secrets.get(name, other) if kind == ":-" else secrets[name]

    return re.sub(r"\$\{(\w+)(?:(:[?-])([^}]*))?\}", of, value)


@pytest.mark.feature("S0.22", "S1.38", "S2.54")
@pytest.mark.parametrize("name", OURS)
def test_every_service_is_given_settings_that_are_accepted(
    name: str, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILE))
    for setting, value in (image | SERVICES[name]["environment"]).items():
        monkeypatch.setenv(setting, filled(value, secrets))
    settings = load_settings()
    assert settings.environment == "production"
    assert (settings.embedded, settings.works_inline) == (False, False)
    assert settings.redis_url is not None
    assert (settings.migration_url is not None) == (name == "migrate"), (
        "who serves does not know the owner's password"
    )


def test_every_setting_that_is_named_exists() -> None:
    known = {row.name for row in settings_table()}
    for name in ("compose.yaml", "Dockerfile", "deploy/secrets.sh", "deploy/roles.sh", "deploy/nginx.conf"):
        assert set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", (HOUSE / name).read_text())) <= known, name


def test_no_secret_is_shipped_and_what_is_made_is_kept_out_of_git(secrets: dict[str, str]) -> None:
    text = (HOUSE / "compose.yaml").read_text()
    variables = set(re.findall(r"\$\{(\w+)", text))
    assert variables - {"ALLOWED_ORIGINS", "PUBLIC_URL", "PORTALS"} == secrets.keys()
    for name, value in _environments():
        if re.search("PASSWORD|SECRET|KEY|TOKEN|URL", name):
            assert "${" in value, name
    ignored = subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=HOUSE, check=False)
    assert ignored.returncode == 0


def _environments() -> Iterator[tuple[str, str]]:
    for service in SERVICES.values():
        yield from service.get("environment", {}).items()


def test_what_the_services_name_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (HOUSE / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
        for network in service["networks"]:
            assert network in COMPOSE["networks"]
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()
        assert "healthcheck" in service or service["image"] == "holdfast", "the image has one of its own"


@pytest.mark.feature("S1.38", "S3.31", "S3.55")
def test_the_proxy_knows_the_servers_and_the_servers_the_proxy() -> None:
    servers = [SERVICES[name]["networks"]["front"]["ipv4_address"] for name in ("server-1", "server-2")]
    port = re.search(r"EXPOSE (\d+)", DOCKERFILE)
    assert port is not None
    assert int(port[1]) == Settings.model_fields["port"].default
    named = re.findall(r"^\s*server ([\d.]+:\d+) ", nginx.CONFIGURATION.read_text(), re.MULTILINE)
    assert named == [f"{address}:{port[1]}" for address in servers]
    proxy = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    for name in ("server-1", "server-2"):
        assert SERVICES[name]["environment"]["HOLDFAST_TRUSTED_PROXIES"] == proxy
    assert SERVICES["nginx"]["ports"] == ["127.0.0.1:8080:8080"], "nothing is open to the world by default"
    assert not any(service.get("ports") for name, service in SERVICES.items() if name != "nginx")


@pytest.mark.feature("S0.22", "S2.54", "S3.55")
def test_containers_run_as_normal_users_over_a_file_system_that_they_cannot_write() -> None:
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert 'CMD ["holdfast", "health"]' in DOCKERFILE
    assert DOCKERFILE.count("python:3.11-slim") == 2
    for name, service in SERVICES.items():
        if name == "postgres":
            continue  # its image becomes another user by itself, and has to write
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name in OURS or service["user"].split(":")[0].isdigit(), name


def test_what_the_image_is_built_from_is_sent_to_it() -> None:
    sent = re.findall(r"^!(\S+)", (HOUSE / ".dockerignore").read_text(), re.MULTILINE)
    assert all((HOUSE / name).exists() for name in sent)
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert source == "." or source.split("/")[0] in sent


def test_every_package_is_installed_with_everything_in_it() -> None:
    """What a checkout runs without, for there nothing is installed."""
    setup = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["setuptools"]
    rooms = {name.partition(".")[0] for name in setup["packages"]}
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *sorted(rooms)]
    files = subprocess.run(listing, cwd=HOUSE, check=True, capture_output=True, text=True).stdout.splitlines()
    there = {Path(name).parent.as_posix().replace("/", ".") for name in files if name.endswith(".py")}
    assert there == set(setup["packages"])


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(nginx.placed(tmp_path, 8080, (8001, 8002)))
    command = [nginx.programme(), "-t", "-c", str(file), "-p", str(tmp_path), "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.feature("S4.59")
def test_the_page_for_operators_tells_what_the_code_says() -> None:
    page = (HOUSE / "docs/operations.md").read_text()
    for chapter in ("Deploying with compose", "Upgrading", "Finding faults", "Backups", "Hardening"):
        assert f"\n## {chapter}\n" in page
    rooms = ("holdfast", "db", "domain", "automation", "schema")
    code = "".join(path.read_text() for room in rooms for path in (HOUSE / room).rglob("*.py"))
    events = set(re.findall(r"`((?:server|restart|postgres|feed|loop|transaction)\.\w+)`", page))
    assert len(events) > 5
    assert {event for event in events if f'"{event}"' not in code} == set()
