"""The command ``holdfast``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from holdfast.line import Part
from holdfast.settings import Settings, SettingsRefused, load_settings
from holdfast.terminal import CommandFailed

REFUSED = 2
FAILED = 1

Command = Callable[[Settings, argparse.Namespace], Awaitable[None]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the exit code is 0, 1 for a failure, 2 for wrong settings or usage."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    asked = _parser().parse_args(arguments)
    asked.arguments = arguments
    try:
        settings = load_settings()
    except SettingsRefused as refused:
        _give_up(refused.lines, REFUSED)
    if asked.quiet_schema:
        _print_schema()
        return
    try:
        _run(asked.command(settings, asked))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        lines = _in_words(error, settings)
        if lines is None:
            raise
        _give_up(lines, FAILED)


def _parser() -> argparse.ArgumentParser:
    from holdfast import commands

    parser = argparse.ArgumentParser(
        prog="holdfast", description="Sells every seat once, and lets everybody see it."
    )
    parser.set_defaults(quiet_schema=False)
    subparsers = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, meaning: str, command: Command | None) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=meaning, description=meaning)
        sub.set_defaults(command=command)
        return sub

    serve = add(
        "serve",
        "serve GraphQL; with the embedded database, migrate and fill in demo data too",
        commands.serve,
    )
    serve.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="processes that serve on the port; by default 1",
    )
    serve.add_argument(
        "--trusted-documents",
        type=Path,
        metavar="DIR",
        help="folder of graphql-codegen's persisted-documents.json, in place of HOLDFAST_TRUSTED_DOCUMENTS",
    )
    serve.add_argument("--part", type=_part, help=argparse.SUPPRESS)  # how one of several is started
    serve.add_argument("--siblings", type=Path, help=argparse.SUPPRESS)  # where it finds the others
    add("worker", "run jobs, webhooks and expiry alone, beside servers on the same database", commands.worker)
    portal = add("portal", "run a demo portal: a site to book on, with a phone to log in by", commands.portal)
    portal.add_argument("--port", type=int, default=8001, help="by default 8001; 0 takes a free one")
    portal.add_argument(
        "--seed", type=int, default=1, help="what happens by itself is the same for the same seed"
    )
    portal.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a choice of how it behaves (docs/demo-portal.md); may be given several times",
    )
    portal.add_argument(
        "--control", action="store_true", help="let who has a token, which is printed, steer it: for tests"
    )
    portal.add_argument("--listening", type=int, help=argparse.SUPPRESS)  # how a server starts one
    add("migrate", "bring the database to this version's schema", commands.migrate)
    add("seed", "fill an empty database with demo data and print its passwords once", commands.seed)
    backup = add(
        "backup", "write everything in the database into one file, or check such a file", commands.backup
    )
    backup.add_argument("file", type=Path, help="the file; it must not be there yet")
    backup.add_argument("--verify", action="store_true", help="check the file that is there")
    restore = add("restore", "put a backup into an empty database, all of it or nothing", commands.restore)
    restore.add_argument("file", type=Path, help="a file of `holdfast backup`")
    restore.add_argument("--replace", action="store_true", help="drop all that is in the database")
    add("schema", "print the GraphQL schema", None).set_defaults(quiet_schema=True)
    add("doctor", "look at settings, database, broker and browser, and say what is wrong", commands.doctor)
    add("health", "ask the server on this machine whether it is ready; 0 if it is", commands.health)
    add("rotate-keys", "make a new key for access tokens; nobody is signed out", commands.rotate_keys)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _part(text: str) -> Part:
    return Part(*(int(number) for number in text.split(":")))


def _print_schema() -> None:
    from schema.root import schema

    print(schema.as_str())


def _run(work: Awaitable[None]) -> None:
    async def run() -> None:
        await work

    try:
        import uvloop
    except ImportError:  # there is none for Windows
        asyncio.run(run())
    else:
        uvloop.run(run())


def _in_words(error: BaseException, settings: Settings) -> list[str] | None:
    """What to say of a failure that an operator can mend; None for a defect of ours."""
    from db.probe import in_words
    from domain.errors import Unavailable
    from holdfast.postgres import PostgresFailed, PostgresMissing

    match error:
        case CommandFailed() | PostgresFailed() | PostgresMissing() | Unavailable():
            return [str(error)]
        case SettingsRefused():
            return error.lines
    words = in_words(error)
    if words is None and isinstance(error, OSError):
        words = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return [words] if words else None


def _give_up(lines: Sequence[str], code: int) -> None:
    for line in lines:
        print(f"holdfast: {line}", file=sys.stderr)
    sys.exit(code)
