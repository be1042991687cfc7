"""``holdfast serve`` that ends itself with SIGKILL between its n-th commit and telling anybody of it.

Run as a program: the first argument is n, the rest is holdfast's.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys

from db.feed import Feed
from holdfast.cli import main

number, arguments = int(sys.argv[1]), sys.argv[2:]
commits = itertools.count(1)
tell = Feed.committed


def tell_or_die(self: Feed) -> None:
    if next(commits) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    tell(self)


Feed.committed = tell_or_die  # type: ignore[method-assign]
main(arguments)
