"""The demo portal as a process: run by its command, or started beside a server and stopped with it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from holdfast.settings import PREFIX, Settings
from holdfast.terminal import CommandFailed, say

HOST = "127.0.0.1"
"""Nobody else is to reach it: what it shows is made up, and whoever can scan may sign in as anybody."""

PORT = 8001
FAREWELL = 3.0
"""Seconds that a portal has to end."""


async def run(asked: argparse.Namespace) -> None:
    """Run a portal until SIGINT or SIGTERM, or until the server that started it is gone.

    Raises:
        CommandFailed: its port is taken, or there is no such choice.

    """
    from automation.demo_portal.portal import Portal
    from automation.demo_portal.scenario import ScenarioRefused, scenario_of
    from automation.demo_portal.serving import serve

    try:
        scenario = scenario_of(asked.scenario)
    except ScenarioRefused as refused:
        raise CommandFailed(f"--scenario: {refused}") from None
    ours = asked.listening is None
    listening = _bound(asked.port) if ours else socket.socket(fileno=asked.listening)
    control = secrets.token_urlsafe() if asked.control else None
    if control is not None:
        sys.stdout.write(json.dumps({"url": _address(listening), "control": control}) + "\n")
        sys.stdout.flush()
    if ours:
        say(f"The demo portal listens on {_address(listening)}, its phone is at /phone. Ctrl-C stops.")
    await serve(Portal(asked.seed, scenario), listening, control=control, with_parent=not ours)


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[Settings]:
    """Settings that name a demo portal: in a demo without one, it is started, and ends with the block or with us."""
    # Windows hands no sockets to a process.
    if not _wanted(settings) or sys.platform == "win32":
        yield settings
        return
    with _free_or_usual_port() as listening:
        url = _address(listening)
        process = await _start(listening)
    origins = (*settings.allowed_origins, url, url.replace(HOST, "localhost"))  # its phone watches jobs
    with _told_to_children(DEMO_PORTAL_URL=url, ALLOWED_ORIGINS=",".join(origins)):
        try:
            yield settings.model_copy(update={"demo_portal_url": url, "allowed_origins": origins})
        finally:
            await _stop(process)


def _wanted(settings: Settings) -> bool:
    return (
        settings.has_demo
        and "demo" in settings.portals
        and settings.demo_portal_url is None
        and settings.automation is not False
    )


async def _start(listening: socket.socket) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # what lies in the working directory is no part of us
        "-m",
        "holdfast",
        "portal",
        f"--listening={listening.fileno()}",
        stdin=PIPE,  # it ends when this does: with us, however we end
        stdout=DEVNULL,
        pass_fds=[listening.fileno()],
        start_new_session=True,  # the terminal's Ctrl-C is for us alone
    )


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(FAREWELL):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextmanager
def _told_to_children(**settings: str) -> Iterator[None]:
    """Processes that are started within the block read these settings as their own."""
    names = {PREFIX + name: value for name, value in settings.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _free_or_usual_port() -> socket.socket:
    try:
        return _bound(PORT)
    except CommandFailed:
        return _bound(0)


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise CommandFailed(f"Cannot listen on {HOST}:{port}: {error.strerror}; see --port.") from None
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()
    return f"http://{host}:{port}"
