"""What a person at the terminal reads."""

from __future__ import annotations

import sys


class CommandFailed(Exception):
    """Why a command ends without having done its work, in one line."""


def say(line: str) -> None:
    """Tell the operator, at once and apart from what a command prints as its result."""
    print(line, file=sys.stderr, flush=True)
