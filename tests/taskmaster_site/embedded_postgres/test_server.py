"""Test the embedded PostgreSQL with a real server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres
from tests.postgres_plugin import ROOT


@pytest.fixture
def cluster() -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(ROOT / ".data" / f"test-postgres-{os.getpid()}.with a space")
    yield made
    made.remove()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchone()[0] if cursor.description else None


def test_a_restarted_server_keeps_its_data(cluster: EmbeddedPostgres) -> None:
    first = cluster.start()
    ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    cluster.stop()
    assert cluster.url() is None
    assert ask(cluster.start(), "SELECT answer FROM kept") == 42


def test_starting_a_running_server_changes_nothing(cluster: EmbeddedPostgres) -> None:
    assert cluster.start() == cluster.start()


def test_listens_only_on_loopback_and_requires_a_password(cluster: EmbeddedPostgres) -> None:
    url = cluster.start()
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    wrong = psycopg.conninfo.conninfo_to_dict(url) | {"password": "guessed"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**wrong)  # type: ignore[arg-type]
    secret = cluster.home / "password"
    assert secret.stat().st_mode & 0o077 == 0


def test_two_servers_can_run_concurrently(cluster: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(cluster.home.with_name(f"{cluster.home.name} too"))
    try:
        ports = {ask(each.start(), "SHOW port") for each in (cluster, other)}
        assert len(ports) == 2
    finally:
        other.remove()


def test_a_killed_server_is_started_again(cluster: EmbeddedPostgres) -> None:
    cluster.start()
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)
    assert ask(cluster.start(), "SELECT 1") == 1


def test_removing_leaves_neither_process_nor_data(cluster: EmbeddedPostgres) -> None:
    url = cluster.start()
    cluster.remove()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)
    assert not Path(cluster.home).exists()


def test_a_server_restarts_on_its_port(cluster: EmbeddedPostgres) -> None:
    port = ask(cluster.start(), "SHOW port")
    cluster.stop()
    assert ask(cluster.start(), "SHOW port") == port


def test_a_server_uses_another_port_when_its_own_is_in_use(cluster: EmbeddedPostgres) -> None:
    port = int(str(ask(cluster.start(), "SHOW port")))
    cluster.stop()
    with socket.socket() as other:
        # Earlier connections can still be in TIME_WAIT.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert ask(cluster.start(), "SHOW port") != str(port)


def test_a_pid_reused_by_another_program_is_not_a_server(cluster: EmbeddedPostgres) -> None:
    cluster.start()
    cluster.stop()
    pidfile = cluster.data / "postmaster.pid"
    pidfile.write_text(f"{os.getpid()}\n{cluster.data}\n0\n5432\n\n127.0.0.1\n\nready\n")
    assert cluster.url() is None
    assert not cluster.runs()
    assert ask(cluster.start(), "SELECT 1") == 1
