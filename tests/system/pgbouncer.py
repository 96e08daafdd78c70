"""A real PgBouncer in transaction mode."""

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

from taskmaster_site import unprivileged
from tests.system.fleet import free_port
from tests.system.programs import until
from tests.system.server import Server

#: Debian installs it outside of an ordinary user's PATH.
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
    """A pooler before a server, on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.url = f"postgresql://taskmaster:any@127.0.0.1:{port}/taskmaster"

    @property
    def ports(self) -> set[int]:
        """From where its own connections come."""
        connections = psutil.Process(self._process.pid).net_connections("tcp")
        return {each.laddr.port for each in connections}

    @property
    def answers(self) -> bool:
        """Whether it listens."""
        assert self._process.poll() is None, "pgbouncer ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextmanager
def running_pgbouncer(server: Server) -> Iterator[PgBouncer]:
    """As the user that runs root's server: it refuses to be root."""
    assert BINARY is not None
    # Not below pytest's folder, which only its owner may enter.
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
        unprivileged.give(each)
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
        until(lambda: pooler.answers, "pgbouncer listens")
        yield pooler
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)
