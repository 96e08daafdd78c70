"""Run a real PgBouncer in transaction mode."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil

from taskmaster.taskmaster_site.embedded_postgres import unprivileged
from tests.system.fleet import free_port
from tests.system.server import Server
from tests.waiting import wait_until

#: Debian installs it outside an ordinary user's PATH.
BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_INI = """\
[databases]
taskmaster = host=127.0.0.1 port={server} dbname=taskmaster user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
"""


class PgBouncer:
    """A pooler in front of a server, on its own port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.url = f"postgresql://taskmaster:any@127.0.0.1:{port}/taskmaster"

    @property
    def ports(self) -> set[int]:
        """Return the local ports of its server connections."""
        connections = psutil.Process(self._process.pid).net_connections("tcp")
        return {each.laddr.port for each in connections}

    @property
    def answers(self) -> bool:
        """Return whether it accepts connections."""
        assert self._process.poll() is None, "pgbouncer ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextmanager
def running_pgbouncer(server: Server) -> Iterator[PgBouncer]:
    """Run it as the user of root's server, because it refuses to run as root."""
    assert BINARY is not None
    # Not below pytest's folder, which only its owner can enter.
    folder = Path(tempfile.mkdtemp(prefix="taskmaster-pgbouncer-"))
    parts, port = urlsplit(server.url), free_port()
    ini = folder / "pgbouncer.ini"
    ini.touch(mode=0o600)
    ini.write_text(
        _INI.format(
            server=server.port,
            user=parts.username,
            password=unquote(parts.password or ""),
            port=port,
        )
    )
    for each in (folder, ini):
        unprivileged.give_to_server_user(each)
    process = subprocess.Popen(  # type: ignore[call-overload]
        [BINARY, str(ini)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        **unprivileged.as_user(),
    )
    pooler = PgBouncer(process, port)
    try:
        wait_until(lambda: pooler.answers, "pgbouncer listens")
        yield pooler
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)
