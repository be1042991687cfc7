"""What others wrote agrees: graphql-http's audit, and the clients graphql-ws and graphql-sse."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.holdfast.transport.conftest import Site, serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),  # the first run installs five packages
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="Node is not on this machine: install node and npm"
    ),
]

FOLDER = Path(__file__).parent / "node"


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, command
    return output.decode()


async def node(script: str, *arguments: str) -> Any:
    if not (FOLDER / "node_modules").exists():
        await run("npm", "ci", "--silent")
    return json.loads(await run("node", script, *arguments))


async def test_the_audit_finds_nothing() -> None:
    # The audit asks for the schema to have something to ask for.
    async with serving(may_introspect=lambda _: True) as site:
        found = await node("audit.js", site.url)
    assert len(found) > 50
    assert [audit for audit in found if audit["status"] != "ok"] == []


async def test_their_clients_understand_us(site: Site) -> None:
    results = await node("clients.js", site.url, site.tokens.new(site.tokens.ada))
    assert results == [{"ticks": 0}, {"ticks": 1}, {"user": str(site.tokens.ada)}] * 2
