"""The PostgreSQL that Holdfast brings along, for machines where nobody set one up.

What lies under ``<data_dir>/postgres``::

    cluster/     the data, owned by the account the server runs as; its log in cluster/log
    socket/      the only way in; no TCP port is opened
    password     of the role ``holdfast``, which owns the database, 0600
    password.server  of the role ``holdfast_server``, which owns nothing and serves, 0600
    start.log    the words of the last start, before the server's own log begins
    use.lock     locked (shared) by each process that uses the server

PostgreSQL refuses to run as root. Started by root it runs as ``postgres`` or ``nobody``; where that account
cannot reach the data directory (a clone under ``/root``, which is 0700) no folder is opened up for it: the
above lives in a folder of its own under ``/var/lib/holdfast`` and ``<data_dir>/postgres`` is a link to it.

The server outlives us if we are killed, and the next start adopts it. Processes that share a data directory
share the server, and the last one to stop stops it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from holdfast.postgres_binaries import (
    ROOT_HOME,
    Account,
    Binaries,
    PostgresFailed,
    PostgresMissing,
    cluster_locale,
    find_binaries,
)
from holdfast.postgres_process import Postmaster, wait_for

__all__ = ["EmbeddedPostgres", "PostgresFailed", "PostgresMissing", "find_binaries"]

LONGEST_SOCKET_PATH = 103
"""Bytes of ``sockaddr_un.sun_path`` without its final zero on macOS; Linux has four more."""
SOCKET_NAME = ".s.PGSQL.5432"
ROLE = DATABASE = "holdfast"
SERVER_ROLE = "holdfast_server"
_PASSWORDS = {ROLE: "password", SERVER_ROLE: "password.server"}

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_logical_replication_workers": "0",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A refused row's values stand in the error's detail: errors are ours to log, the server tells of itself.
    "log_min_messages": "log",
    # One file a weekday, each truncated when its day comes again.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}
_FLEETING = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass
class EmbeddedPostgres:
    """A PostgreSQL server of our own on ``data_dir``. Its methods block: async code calls them in a thread.

    ``durable=False`` trades crash safety for speed (tests). The role ``holdfast`` owns the database of that
    name and may create databases and roles, ``holdfast_server`` may do what it is granted; neither is a superuser,
    and nobody can log in as the superuser.
    """

    data_dir: Path
    durable: bool = True
    start_seconds: float = 60.0
    stop_seconds: float = 2.0
    _in_use: IO[str] | None = field(default=None, init=False, repr=False)

    def start(self) -> str:
        """Start the server, or adopt the one that runs, and return the DSN of the database ``holdfast``.

        Raises:
            PostgresMissing: no PostgreSQL fits.
            PostgresFailed: it did not come up; the message ends with its own words.

        """
        self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _alone(self.data_dir / "postgres.lock", self.start_seconds):
            home = self._reachable_home()
            postmaster = Postmaster(home / "cluster")
            if not postmaster.running():
                self._launch(home)
            postmaster.wait_until_ready(self.start_seconds)
            if self._in_use is None:
                self._in_use = _share(home / "use.lock")
        return self.dsn()

    def running(self) -> bool:
        """Whether the server runs."""
        return Postmaster(self._home / "cluster").running()

    def stop(self) -> None:
        """Stop the server in ``stop_seconds``, else the hard way, unless another process uses it."""
        if self._in_use is None:
            return
        with _alone(self.data_dir / "postgres.lock", self.start_seconds):
            self._in_use.close()
            self._in_use = None
            postmaster = Postmaster(self._home / "cluster")
            if postmaster.running() and _unshared(self._home / "use.lock"):
                socket = postmaster.socket_folder()
                postmaster.stop(self.stop_seconds)
                _forget_socket(socket)

    def dsn(self, database: str = DATABASE, role: str = ROLE) -> str:
        """Return the address of a database of the running server, for asyncpg and libpq, with a role's password.

        Raises:
            PostgresFailed: the server does not run.

        """
        postmaster = Postmaster(self._home / "cluster")
        if not postmaster.running():
            raise PostgresFailed(f"PostgreSQL is not running on {self._home}")
        password = (self._home / _PASSWORDS[role]).read_text()
        host = quote(str(postmaster.socket_folder()), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={host}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _home(self) -> Path:
        return (self.data_dir / "postgres").resolve()

    def _reachable_home(self) -> Path:
        """Return the folder of the server, made where its account can reach it."""
        named = self.data_dir.absolute() / "postgres"
        account = Account.for_cluster(named / "cluster")
        if named.is_symlink() and not named.exists():
            raise PostgresFailed(
                f"{named} links to {named.readlink()}, which is gone: remove the link to start afresh"
            )
        if not named.exists():
            if account.reaches(self.data_dir.absolute()):
                named.mkdir(mode=0o711)
            else:
                ROOT_HOME.mkdir(mode=0o711, parents=True, exist_ok=True)
                named.symlink_to(tempfile.mkdtemp(prefix=f"{self.data_dir.absolute().name}-", dir=ROOT_HOME))
                named.chmod(0o711)
        if not account.reaches(self._home):
            raise PostgresFailed(
                f"PostgreSQL's account (uid {account.uid}) cannot reach {self._home}: let it pass through the"
                " folders above (chmod o+x), or set HOLDFAST_DATA_DIR to a place it can reach"
            )
        return self._home

    def _launch(self, home: Path) -> None:
        cluster = home / "cluster"
        account = Account.for_cluster(cluster)
        made_by = cluster / "PG_VERSION"
        binaries = find_binaries(account, int(made_by.read_text()) if made_by.exists() else None)
        if not cluster.exists():
            _create_cluster(home, binaries, account, durable=self.durable)
        postmaster = Postmaster(cluster)
        _forget_socket(postmaster.socket_folder())
        postmaster.clear_stale()
        if not (home / _PASSWORDS[SERVER_ROLE]).exists():  # a cluster from before there was that role
            _create_server_role(home, cluster, binaries, account, durable=self.durable)
        settings = _SETTINGS | ({} if self.durable else _FLEETING)
        settings["unix_socket_directories"] = str(_socket_folder(home, account))
        arguments = [str(binaries["postgres"]), "-D", str(cluster)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        wait_for(
            lambda: self._launched(postmaster, arguments, account),
            self.start_seconds,
            f"backends of a PostgreSQL that was killed do not leave {cluster}",
        )

    def _launched(self, postmaster: Postmaster, arguments: list[str], account: Account) -> bool:
        start_log = self._home / "start.log"
        with start_log.open("wb") as log:
            # A session of its own: Ctrl-C in a terminal goes to every process of the foreground group.
            process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **account.popen_arguments(),
            )  # fmt: skip
        return postmaster.comes_up(process, start_log, self.start_seconds)


def _create_cluster(home: Path, binaries: Binaries, account: Account, *, durable: bool) -> None:
    """Make the cluster aside and move it into place when it is whole, so that none is ever half done."""
    half = home / "cluster.half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    account.own(half)
    password = _new_password(home / _PASSWORDS[ROLE], account)
    _demand(account.run([
        binaries["initdb"], "-D", half, "-U", "postgres",
        "--auth=scram-sha-256", f"--pwfile={home / _PASSWORDS[ROLE]}",
        "--encoding=UTF8", f"--locale={cluster_locale()}", "--data-checksums", "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]))  # fmt: skip
    superuser = secrets.token_urlsafe(32)  # kept nowhere
    _create_server_role(
        home, half, binaries, account,
        f"ALTER ROLE postgres PASSWORD '{superuser}'",
        f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        durable=durable,
    )  # fmt: skip
    half.rename(home / "cluster")


def _create_server_role(
    home: Path, cluster: Path, binaries: Binaries, account: Account, *before: str, durable: bool
) -> None:
    """Make the role that serves, in a cluster that nobody runs; the file of its password says that it is there."""
    half = home / f"{_PASSWORDS[SERVER_ROLE]}.half"
    password = _new_password(half, account)
    arguments: list[str | Path] = [binaries["postgres"], "--single", "-D", cluster]
    statements = (
        *before,
        f"DO $$ BEGIN CREATE ROLE {SERVER_ROLE}; EXCEPTION WHEN duplicate_object THEN END $$",
        f"ALTER ROLE {SERVER_ROLE} LOGIN PASSWORD '{password}'",
        f"GRANT {SERVER_ROLE} TO {ROLE} WITH ADMIN OPTION\n",
    )
    flags = [] if durable else ["-F"]
    _demand(account.run([*arguments, *flags, "postgres"], stdin="\n".join(statements)))
    half.rename(home / _PASSWORDS[SERVER_ROLE])


def _new_password(path: Path, account: Account) -> str:
    password = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    account.own(path)
    return password


def _demand(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode or "ERROR:" in done.stderr:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise PostgresFailed(f"PostgreSQL's data could not be created: {' '.join(words[-3:])}")


def _socket_folder(home: Path, account: Account) -> Path:
    """Return a folder for the socket whose path is short enough, in ``/tmp`` if need be."""
    folder = home / "socket"
    shutil.rmtree(folder, ignore_errors=True)  # its lock file bars us if the dead server's number is in use
    if len(os.fsencode(folder / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-", dir="/tmp"))
    else:
        folder.mkdir(mode=0o700)
    account.own(folder)
    return folder


def _forget_socket(folder: Path) -> None:
    """Remove a socket's folder from ``/tmp``, and no other."""
    if folder.parent == Path("/tmp") and folder.name.startswith("holdfast-"):  # noqa: S108 - _socket_folder's place
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock file's exclusive lock, which the kernel gives back when we are killed."""
    with _open_lock(path) as file:
        wait_for(lambda: _locked(file, fcntl.LOCK_EX), seconds, f"another process holds {path}")
        yield


def _open_lock(path: Path) -> IO[str]:
    """A lock file that nobody else can open, and so nobody else can hold."""
    return open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))


def _share(path: Path) -> IO[str]:
    file = _open_lock(path)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _unshared(path: Path) -> bool:
    with _open_lock(path) as file:
        return _locked(file, fcntl.LOCK_EX)


def _locked(file: IO[str], mode: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, mode | fcntl.LOCK_NB)
        return True
    return False
