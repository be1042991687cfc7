"""Finding Chromium. Nothing here starts it, and nothing here needs Playwright's driver."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = (
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
)
"""Where systems keep the programs themselves: what is on the path is often a script around one of them."""

NAMES = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "headless_shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
"""The shell first: it starts in half the time of a whole browser, and takes half its memory."""

APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)

OWN = (
    "chromium_headless_shell-*/chrome-*/chrome-headless-shell",
    "chromium_headless_shell-*/chrome-*/headless_shell",
    "chromium-*/chrome-*/chrome",
    "chromium-*/chrome-*/*.app/Contents/MacOS/*",
)
"""What ``playwright install`` leaves in its folder."""

EXECUTABLES = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def find_browser(chosen: Path | None = None) -> Path | None:
    """The program to drive: the chosen one, else Playwright's own, else one of the machine; None if there is none.

    One that was chosen and is not there is not made up for: None.
    """
    if chosen is not None:
        found = shutil.which(chosen)
        return Path(found) if found else None
    return next((path for path in _candidates() if _is_program(path)), None)


def describe(program: Path) -> str:
    """Its name and version for people, such as "Chromium 156 headless shell"."""
    try:
        told = subprocess.run(  # noqa: S603  # the very program that will be driven
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return program.name
    version = re.search(r"(\d+)\.\d+", told)
    name = "Chrome" if "Chrome" in told else "Chromium"
    shell = " headless shell" if "headless" in program.name else ""
    return f"{name} {version[1]}{shell}" if version else f"{name}{shell}"


def _candidates() -> Iterator[Path]:
    own = _folder_of_playwright()
    for pattern in OWN:
        yield from sorted(own.glob(pattern), key=_revision, reverse=True)
    for name in NAMES:
        yield from (Path(library, name) for library in LIBRARIES)
        if found := shutil.which(name):
            yield Path(found).resolve()
    yield from map(Path, APPLICATIONS)


def _folder_of_playwright() -> Path:
    """Where Playwright installs browsers."""
    if chosen := os.environ.get("PLAYWRIGHT_BROWSERS_PATH"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms-playwright"


def _revision(path: Path) -> int:
    return max((int(number) for number in re.findall(r"-(\d+)/", f"{path}/")), default=0)


def _is_program(path: Path) -> bool:
    """Whether it can be started and is no script: what a script starts cannot be told from the script."""
    if not os.access(path, os.X_OK) or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in EXECUTABLES
