"""What each command does."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

from holdfast.database import database
from holdfast.demo_portal import beside
from holdfast.garbage import hold_off
from holdfast.introduction import introduce, introduce_worker
from holdfast.listening import listening
from holdfast.settings import Settings
from holdfast.terminal import CommandFailed, say

SERVER_CONNECTIONS = 90
"""What the embedded PostgreSQL has for servers, of its hundred."""

BESIDES = 4
"""Connections of a process besides its pool: two for the log, two for questions about its health."""


async def serve(settings: Settings, asked: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    from holdfast.logs import configure_logging

    if asked.trusted_documents is not None:
        settings = settings.model_copy(update={"trusted_documents": asked.trusted_documents.absolute()})
    configure_logging(settings)
    if asked.part is not None:
        await _serve_part(settings, asked)
        return
    _must_fit(settings, asked.workers)
    with listening(settings, asked.workers) as sockets:
        settings = settings.model_copy(update={"port": sockets[0].getsockname()[1]})
        async with beside(settings) as settings, database(settings) as dsn:
            await _prepared(settings, dsn)
            if asked.workers == 1:
                await _serve_alone(settings, dsn, sockets[0])
            else:
                await _serve_together(settings, dsn, sockets, asked)
    say("Stopped.")


async def _serve_alone(settings: Settings, dsn: str, listening: socket.socket) -> None:
    hold_off()
    from holdfast.demo import fill_if_empty
    from holdfast.serving import serve_alone
    from holdfast.wiring import wire

    async with wire(settings, dsn) as app:
        if settings.has_demo:
            await fill_if_empty(app, dsn, say)
        await serve_alone(app, listening, lambda: introduce(settings, [listening], app.broker.description))


async def _serve_together(
    settings: Settings, dsn: str, sockets: Sequence[socket.socket], asked: argparse.Namespace
) -> None:
    from holdfast.supervisor import supervise

    if settings.has_demo:
        from holdfast.demo import fill_if_empty
        from holdfast.wiring import wire

        async with wire(settings, dsn) as app:
            await fill_if_empty(app, dsn, say)

    with tempfile.TemporaryDirectory(prefix="holdfast-") as siblings:

        def command(number: int, listening: int, line: int) -> list[str]:
            # -P: what lies in the working directory is no part of us.
            return [
                sys.executable,
                "-P",
                "-m",
                "holdfast",
                *asked.arguments,
                f"--part={number}:{listening}:{line}",
                f"--siblings={siblings}",
            ]

        await supervise(
            sockets, command, lambda: introduce(settings, sockets, None), leave=settings.leave_seconds
        )


async def _serve_part(settings: Settings, asked: argparse.Namespace) -> None:
    hold_off()
    from holdfast.serving import serve_part

    settings = settings.as_one_of_several()
    async with database(settings, quiet=True) as dsn:
        await _must_be_migrated(dsn)
        await serve_part(settings, dsn, asked.part, asked.siblings)


async def worker(settings: Settings, asked: argparse.Namespace) -> None:
    """Run the background loops until SIGINT or SIGTERM."""
    from holdfast.logs import configure_logging
    from holdfast.wiring import wire

    configure_logging(settings)
    async with database(settings) as dsn:
        await _must_be_migrated(dsn)
        await _must_own_nothing(settings, dsn)
        async with wire(settings.as_one_of_several(), dsn) as app:
            introduce_worker(settings, app.broker.description)
            running = asyncio.create_task(app.worker.run())
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, running.cancel)
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()
    say("Stopped.")


async def portal(settings: Settings, asked: argparse.Namespace) -> None:
    """Run a demo portal until SIGINT or SIGTERM."""
    from holdfast.demo_portal import run
    from holdfast.logs import configure_logging

    configure_logging(settings)
    await run(asked)


async def migrate(settings: Settings, asked: argparse.Namespace) -> None:
    """Bring the database to this version's schema."""
    from db.migrate import HEAD, upgrade

    async with database(settings, as_owner=True) as dsn:
        await upgrade(dsn, lambda step: say(f"Migrating to {step} ..."))
        say(f"The database is at schema {HEAD}.")


async def seed(settings: Settings, asked: argparse.Namespace) -> None:
    """Fill an empty database with demo data."""
    from holdfast.demo import fill_if_empty
    from holdfast.logs import configure_logging
    from holdfast.wiring import wire

    configure_logging(settings)
    async with database(settings) as dsn:
        await _must_be_migrated(dsn)
        async with wire(settings, dsn) as app:
            if not await fill_if_empty(app, dsn, say):
                raise CommandFailed(
                    "The database has organizations already; demo data goes into an empty one."
                )


async def backup(settings: Settings, asked: argparse.Namespace) -> None:
    """Write a backup, or look at one."""
    from holdfast.archive import open_backup
    from holdfast.backup import check, take

    if not asked.verify:
        async with database(settings, as_owner=True) as dsn:
            await _must_have_schema(dsn)
            await take(dsn, asked.file, say)
    with open_backup(asked.file) as written:
        await check(written, say if asked.verify else lambda _: None)
        manifest = written.manifest
    say(
        f"{asked.file} is whole: {manifest.rows:,} rows of {manifest.taken}, at schema {manifest.schema}, by Holdfast"
        f" {manifest.holdfast}."
    )


async def restore(settings: Settings, asked: argparse.Namespace) -> None:
    """Put a backup in place of what is in the database."""
    from holdfast.archive import open_backup
    from holdfast.backup import check
    from holdfast.backup import restore as put_back

    with open_backup(asked.file) as written:
        say(f"Checking {asked.file} ...")
        await check(written, lambda _: None)
        async with database(settings, as_owner=True) as dsn:
            await put_back(dsn, written, say, replace=asked.replace)
    say("Restored. Watchers who come back start anew; sessions are as they were when the backup was taken.")


async def doctor(settings: Settings, asked: argparse.Namespace) -> None:
    """Look at everything that serving needs."""
    from holdfast.doctor import examine

    if not await examine(settings, say):
        raise CommandFailed("Something is wrong; see above.")


async def health(settings: Settings, asked: argparse.Namespace) -> None:
    """Ask the server of these settings, as a supervisor that cannot speak HTTP would."""
    from holdfast.call import ready

    say(await asyncio.to_thread(ready, settings))


async def rotate_keys(settings: Settings, asked: argparse.Namespace) -> None:
    """Make a new key for access tokens."""
    from holdfast.keys import rotate

    say(
        f"Key {await asyncio.to_thread(rotate, settings)} signs from now on; running servers notice within a minute."
    )


async def _prepared(settings: Settings, dsn: str) -> None:
    """A database of ours is migrated; one of the operator's must be migrated already."""
    if not settings.embedded:
        await _must_be_migrated(dsn)
        await _must_own_nothing(settings, dsn)
        return
    from db.migrate import HEAD, upgrade, version

    async with database(settings, as_owner=True, quiet=True) as owner:
        if await version(owner) != HEAD:
            await upgrade(owner, lambda step: say(f"Migrating to {step} ..."))


async def _must_own_nothing(settings: Settings, dsn: str) -> None:
    """Refuse, in production, to serve with a login to which row security is no bar; elsewhere say so."""
    if settings.embedded:
        return
    from db.roles import MayNotServe, excess

    try:
        found = await excess(dsn)
    except MayNotServe as error:
        raise CommandFailed(str(error)) from None
    if found is None:
        return
    told = f"HOLDFAST_DATABASE_URL logs in as {found}"
    if settings.environment == "production":
        raise CommandFailed(
            f"{told}: give it holdfast_server, and HOLDFAST_MIGRATION_URL the owner (docs/operations.md, Roles)."
        )
    say(f"{told}: good enough here, refused in production.")


async def _must_be_migrated(dsn: str) -> None:
    from db.migrate import HEAD, version

    found = await version(dsn)
    if found != HEAD:
        state = f"is at schema {found}" if found else "has no schema yet"
        raise CommandFailed(f"The database {state}, this version needs {HEAD}: run `holdfast migrate` first.")


async def _must_have_schema(dsn: str) -> None:
    from db.migrate import version

    if await version(dsn) is None:
        raise CommandFailed("The database has no schema yet: there is nothing in it.")


def _must_fit(settings: Settings, processes: int) -> None:
    """Refuse more processes than the embedded PostgreSQL has connections for; one more runs during a restart."""
    wanted = (processes + 1) * (settings.database_pool_max + BESIDES)
    if settings.embedded and processes > 1 and wanted > SERVER_CONNECTIONS:
        raise CommandFailed(
            f"{processes} processes, and one more while they are replaced, may open {wanted} connections, and the"
            f" embedded PostgreSQL has {SERVER_CONNECTIONS} for them: lower HOLDFAST_DATABASE_POOL_MAX."
        )
