"""Looks at everything that serving needs, and says what to do about what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from automation.browsers.program import describe, find_browser
from domain.portals import BrowserCrashed
from holdfast.database import database
from holdfast.settings import Settings


async def examine(settings: Settings, say: Callable[[str], None]) -> bool:
    """Say a line a part; True if nothing that serving needs is wrong."""
    findings = [
        await _database(settings, say),
        await _broker(settings, say),
        _data_dir(settings, say),
    ]
    findings.append(await _browser(settings, say))
    return all(findings)


async def _database(settings: Settings, say: Callable[[str], None]) -> bool:
    from db.migrate import HEAD, version
    from db.probe import OLDEST, postgres_release

    try:
        async with database(settings, as_owner=settings.embedded) as dsn:
            release = await postgres_release(dsn)
            found = await version(dsn)
    except Exception as error:  # whatever it is, it is what is wrong
        say(f"wrong     database: {type(error).__name__}: {error}")
        return False
    if release < OLDEST:
        say(f"wrong     database: PostgreSQL {release} is too old; 15 or newer is needed")
        return False
    if found != HEAD:
        say(
            f"wrong     database: schema {found or 'missing'}, this version needs {HEAD}: run `holdfast migrate`"
        )
        return settings.embedded
    say(f"fine      database: PostgreSQL {release}, schema {found}")
    return settings.embedded or await _login(settings, say)


async def _login(settings: Settings, say: Callable[[str], None]) -> bool:
    from db.roles import MayNotServe, excess

    try:
        async with database(settings) as dsn:
            found = await excess(dsn)
    except MayNotServe as error:
        say(f"wrong     login: {error}")
        return False
    if found is None:
        say("fine      login: owns nothing, and row security holds for it")
        return True
    refused = settings.environment == "production"
    say(f"{'wrong' if refused else 'risky'}     login: {found}; see Roles in docs/operations.md")
    return not refused


async def _broker(settings: Settings, say: Callable[[str], None]) -> bool:
    if settings.redis_url is None:
        say("fine      broker: in this process; several processes need HOLDFAST_REDIS_URL")
        return True
    from db.probe import redis_answers

    try:
        await redis_answers(settings.redis_url)
    except Exception as error:  # whatever it is, it is what is wrong
        say(f"wrong     broker: {type(error).__name__}; is Redis running at HOLDFAST_REDIS_URL?")
        return False
    say("fine      broker: Redis answers")
    return True


def _data_dir(settings: Settings, say: Callable[[str], None]) -> bool:
    folder = settings.data_dir
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        say(f"wrong     data: {existing} cannot be written; set HOLDFAST_DATA_DIR")
        return False
    free = shutil.disk_usage(existing).free // 2**20
    say(f"fine      data: {folder}, {free} MiB free")
    return True


async def _browser(settings: Settings, say: Callable[[str], None]) -> bool:
    """Start the browser that jobs would be run in; without one everything else works."""
    if settings.automation is False:
        say("fine      browser: none needed, HOLDFAST_AUTOMATION is false")
        return True
    from automation.browsers.trial import trial  # playwright costs a third of a second to import

    program = find_browser(settings.browser)
    if program is None and settings.browser is not None:
        say(f"wrong     browser: HOLDFAST_BROWSER={settings.browser} is no program")
        return False
    if program is None:
        say(
            "missing   browser: none found, so no automation: `playwright install chromium-headless-shell`, or install"
            " a package of the system (Debian: apt install chromium-headless-shell; others: chromium)"
        )
        return settings.automation is None
    try:
        took = await trial(program, settings.data_dir / "run")
    except BrowserCrashed:
        say(f"wrong     browser: {program} is found, and does not start; does `{program} --version` work?")
        return False
    say(f"fine      browser: {describe(program)} ({program}), started in {took * 1000:.0f} ms{_sandbox()}")
    return True


def _sandbox() -> str:
    return ", without its sandbox since this is root" if os.geteuid() == 0 else ", in its sandbox"
