"""A server process for its supervisor, which does what the file ``plan`` in the folder of its first argument says.

``serve``: say so each 50 ms, until told to retire or to stop. ``mute``: say it once. ``fail``: end without a word.
``deaf``: end at the first word, without having taken it off the line.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

folder, number, _, line = Path(sys.argv[1]), *sys.argv[2:5]
plan = (folder / "plan").read_text()
with socket.socket(fileno=int(line)) as parent, (folder / "log").open("a") as log:
    if plan == "fail":
        log.write(f"{number} {os.getpid()} fails\n")
        sys.exit(3)
    log.write(f"{number} {os.getpid()} begins\n")
    log.flush()
    parent.send(b".")
    if plan == "deaf":
        parent.recv(1, socket.MSG_PEEK)
        sys.exit(3)
    parent.settimeout(0.05 if plan == "serve" else None)
    while True:
        try:
            told = parent.recv(1)
        except TimeoutError:
            parent.send(b".")
            continue
        if told == b"l":
            log.write(f"{number} {os.getpid()} is to say that it leaves\n")
            log.flush()
            continue
        log.write(f"{number} {os.getpid()} {'retires' if told else 'is left'}\n")
        break
