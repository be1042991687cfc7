"""When Python looks for garbage, tried in a process of its own: it is the process' business as a whole."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from holdfast.garbage import YOUNG, hold_off, settle

hold_off()
assert not gc.isenabled()
there = [{} for _ in range(100)]
settle()
assert gc.isenabled() and gc.get_threshold()[0] == YOUNG
assert gc.get_freeze_count() > len(there)
assert not any(each is there for each in gc.get_objects())
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() >= 1
"""


def test_what_is_there_when_a_server_is_ready_is_never_looked_at_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
