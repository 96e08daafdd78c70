"""Run a separate PostgreSQL, for tests that disturb it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres
from tests.system.fleet import ROOT, free_port

_PREFIX = "taskmaster-test-"
#: Space for the data and the WAL; small, so that a test can fill it quickly.
_TMPFS_MB = 256
_OPTIONS = (
    # Tests kill processes, never the machine, so nothing has to be flushed to disk.
    "fsync=off",
    "shared_buffers=32MB",
    "max_wal_size=64MB",
    "min_wal_size=32MB",
    # PostgreSQL's default; the tests check numbers of connections.
    "max_connections=100",
)


class Server:
    """A cluster on one port, which stays the same after a restart."""

    def __init__(self, folder: Path, *, small: bool) -> None:
        self.cluster = EmbeddedPostgres(folder / "postgres")
        #: Whether its disk is small enough to be filled.
        self.small = small
        self.port = free_port()
        self.url = self.start()
        self.token = ""

    def start(self) -> str:
        """Start it unless it runs."""
        return self.cluster.start([f"port={self.port}", *_OPTIONS])

    @property
    def runs(self) -> bool:
        """Return whether it accepts connections."""
        return self.cluster.url() is not None

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; return when it is gone."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(10)

    def freeze(self) -> None:
        """Stop all its processes until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        postmaster = psutil.Process(self._pid())
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _pid(self) -> int:
        return int((self.cluster.data / "postmaster.pid").read_text().split()[0])

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a session in autocommit mode."""
        return psycopg.connect(self.url, autocommit=True, application_name="test")

    def ask(self, query: str, *parameters: object) -> list[Any]:
        """Return the first column of a query's rows."""
        with self.connect() as connection:
            cursor = connection.execute(query, parameters or None)  # type: ignore[call-overload]
            return [row[0] for row in cursor] if cursor.description else []

    def migrate(self) -> None:
        """Create the tables, and a user whose token is `token`."""
        subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"],
            env={**os.environ, "DATABASE_URL": self.url},
            check=True,
            timeout=120,
        )
        self.token = secrets.token_hex(20)
        [user] = self.ask(
            "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, "
            "first_name, last_name, email, date_joined) "
            "VALUES ('ada', '!', TRUE, TRUE, TRUE, '', '', '', now()) RETURNING id"
        )
        self.ask(
            "INSERT INTO authtoken_token (key, user_id, created) VALUES (%s, %s, now())",
            self.token,
            user,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server with TaskMaster's tables, on a small disk if one can be mounted."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Left by a killed run.
        if not psutil.pid_exists(int(left.name.removeprefix(_PREFIX).partition("-")[0])):
            _remove(left)
    # Not below pytest's folder, which only its owner can enter: root's server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    folder.chmod(0o711)
    small = _mount(folder)
    try:
        server = Server(folder, small=small)
        server.migrate()
        yield server
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    EmbeddedPostgres(folder / "postgres").remove()
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def _mount(folder: Path) -> bool:
    """Mount a small disk on the folder; return whether that succeeded."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_MB}m,mode=711", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
