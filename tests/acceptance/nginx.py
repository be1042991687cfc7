"""deploy/nginx.conf as it stands, but for its addresses, run by a real nginx."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.processes import missing, until

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx.conf"


def programme() -> str:
    """Where nginx is; Debian keeps it where not everybody looks."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        missing("nginx is not on this machine: on Debian, apt install nginx-light")
    return found


def placed(folder: Path, port: int, servers: Sequence[int]) -> str:
    """The configuration with ports of this machine, and ``folder`` in place of /tmp."""
    text = CONFIGURATION.read_text()
    changes = {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "server 172.30.80.11:8000": f"server 127.0.0.1:{servers[0]}",
        "server 172.30.80.12:8000": f"server 127.0.0.1:{servers[1]}",
        "/tmp/": f"{folder}/",
    }
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def running(folder: Path, text: str) -> Iterator[None]:
    """Run it until the block ends; nothing it says of itself goes unread."""
    file, log = folder / "nginx.conf", folder / "nginx.log"
    file.write_text(text)
    with log.open("wb") as said:
        process = subprocess.Popen(
            [programme(), "-c", str(file), "-p", str(folder), "-e", "stderr", "-g", "daemon off;"],
            cwd=folder,
            stderr=said,
        )
        try:
            until(lambda: (folder / "nginx.pid").exists() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(10)
    assert not [line for line in log.read_text().splitlines() if "[emerg]" in line or "[alert]" in line]
