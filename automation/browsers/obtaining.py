"""``python -m automation.browsers.obtaining``: gets a browser where there is none, if it is to be had; never fails."""

from __future__ import annotations

import subprocess
import sys

from automation.browsers.program import describe, find_browser

LONGEST = 180.0
"""Seconds that a download of about 100 MB may take."""


def obtain() -> str:
    """Let Playwright install its headless shell where no browser is found; what came of it, for people."""
    if (found := find_browser()) is not None:
        return f"Browser: {describe(found)}."
    try:
        subprocess.run(
            [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"],
            timeout=LONGEST,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return "Browser: none, and none could be had. Jobs are off; `.venv/bin/holdfast doctor` says what to install."
    found = find_browser()
    return f"Browser: {describe(found)}, downloaded." if found else "Browser: none."


if __name__ == "__main__":
    sys.stdout.write(obtain() + "\n")
