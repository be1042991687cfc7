"""The page, its policy and its assets, as bytes on the wire."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from holdfast.graphiql import HERE, cdn, examples, graphiql
from tests.holdfast.graphiql_stand_in import CONTRACT
from tests.processes import missing


@pytest.fixture
def built(tmp_path: Path) -> TestClient:
    """The page as it is after `npm run build`, with a bundle of one line."""
    (tmp_path / "graphiql.js").write_text("start();")
    (tmp_path / "graphiql.css").write_text("body {}")
    return _client(tmp_path)


@pytest.fixture
def unbuilt(tmp_path: Path) -> TestClient:
    return _client(tmp_path)


def _client(dist: Path) -> TestClient:
    served = graphiql(dist)
    return TestClient(Starlette(routes=[Route("/graphql", served.page), *served.routes()]))


def _policy(client: TestClient) -> dict[str, list[str]]:
    header = client.get("/graphql").headers["content-security-policy"]
    return {name: sources for name, *sources in (directive.split() for directive in header.split(";"))}


def test_the_policy_of_the_built_page_allows_only_itself(built: TestClient) -> None:
    policy = _policy(built)
    nonce = policy["style-src"].pop()
    assert re.fullmatch(r"'nonce-[\w-]{22}'", nonce)
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'", "data:"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


def test_no_two_pages_share_a_nonce(built: TestClient) -> None:
    assert _policy(built)["style-src"] != _policy(built)["style-src"]


def test_the_page_is_kept_by_nobody_and_tells_nobody(built: TestClient) -> None:
    page = built.get("/graphql")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("state", ["built", "unbuilt"])
def test_every_script_of_the_page_is_a_file(state: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(state).get("/graphql").text
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert scripts
    assert all(' src="' in attributes and inline == "" for attributes, inline in scripts)
    assert not re.search(r"<style|\son\w+=|\sstyle=", html)


def test_what_the_page_names_is_served_with_its_type_and_kept_for_ever(built: TestClient) -> None:
    urls = re.findall(r'(?:src|href)="([^"]+)"', built.get("/graphql").text)
    types = {url.split("?")[0].split("/")[-1]: built.get(url).headers["content-type"] for url in urls}
    assert types == {
        "favicon.svg": "image/svg+xml",
        "graphiql.css": "text/css; charset=utf-8",
        "graphiql.js": "text/javascript; charset=utf-8",
    }
    for url in urls:
        asset = built.get(url)
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"


def test_an_asset_asked_for_by_an_old_version_is_asked_for_again(built: TestClient) -> None:
    answer = built.get("/graphql/assets/graphiql.js?v=0123456789abcdef")
    assert answer.headers["cache-control"] == "no-cache"
    again = built.get("/graphql/assets/graphiql.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "",
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "..%5c__init__.py",
        "%2fetc%2fpasswd",
        "boot/x.js",
    ],
)
def test_nothing_but_the_assets_can_be_had(built: TestClient, path: str) -> None:
    assert built.get(f"/graphql/assets/{path}").status_code == 404


def test_an_unbuilt_page_names_the_very_files_of_the_cdn_in_its_policy(unbuilt: TestClient) -> None:
    policy = _policy(unbuilt)
    assert policy["script-src"] == ["'self'", *(file.url for file in cdn.SCRIPTS)]
    assert policy["style-src"][2:] == [cdn.STYLE.url]
    html = unbuilt.get("/graphql").text
    for file in (cdn.STYLE, *cdn.SCRIPTS):
        assert f'"{file.url}" integrity="{file.integrity}" crossorigin="anonymous"' in html


def test_an_unbuilt_page_boots_from_our_own_files(unbuilt: TestClient) -> None:
    html = unbuilt.get("/graphql").text
    assert "graphql/assets/fallback.js?v=" in html
    for module in (HERE / "boot").glob("*.js"):
        wanted = 404 if module.name == "bundled.js" else 200
        assert unbuilt.get(f"/graphql/assets/{module.name}").status_code == wanted


def test_the_cdn_serves_the_versions_of_the_package() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["devDependencies"]
    for file in (cdn.STYLE, *cdn.SCRIPTS):
        name, version = file.url.split("/npm/")[1].split("/")[0].split("@")
        assert version == wanted[name]


def test_the_hashes_of_the_cdn_are_those_of_the_npm_packages() -> None:
    packages = HERE / "node_modules"
    if not packages.is_dir():
        missing("No npm packages: run `npm ci` in holdfast/graphiql.")
    for file in (cdn.STYLE, *cdn.SCRIPTS):
        name, path = re.split(r"@[^/]+/", file.url.split("/npm/")[1])
        digest = hashlib.sha384((packages / name / path).read_bytes()).digest()
        assert file.integrity == f"sha384-{base64.b64encode(digest).decode()}"


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (HERE / "package-lock.json").read_text()


def test_the_examples_are_valid_and_their_variables_fit() -> None:
    schema = build_schema(CONTRACT.read_text())
    tabs = json.loads(examples())
    assert len(tabs) == 9
    for tab in tabs:
        document = parse(tab["query"])
        assert validate(schema, document) == []
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        declared = {variable.variable.name.value for variable in operation.variable_definitions or ()}
        assert set(json.loads(tab["variables"])) == declared
