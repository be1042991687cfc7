"""When Python looks for garbage: not while a server starts, seldom while it serves."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""How many containers more than before make Python look at the youngest; 700 by default, a few requests' worth."""


def hold_off() -> None:
    """Do not look while modules are imported: hardly anything of them is garbage."""
    gc.disable()


def settle() -> None:
    """Look again, but never at what is there by now, which stays for as long as the process."""
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    gc.enable()
