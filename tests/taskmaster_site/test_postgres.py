"""The embedded PostgreSQL, run for real."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from taskmaster_site.postgres import Cluster
from tests.postgres_plugin import ROOT


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(ROOT / ".data" / f"test-postgres-{os.getpid()}.with a space")
    yield made
    made.remove()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchone()[0] if cursor.description else None


def test_a_restarted_server_goes_on_with_its_data(cluster: Cluster) -> None:
    first = cluster.start()
    ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    cluster.stop()
    assert cluster.url() is None
    assert ask(cluster.start(), "SELECT answer FROM kept") == 42


def test_starting_a_running_server_changes_nothing(cluster: Cluster) -> None:
    assert cluster.start() == cluster.start()


def test_it_listens_on_loopback_only_and_asks_for_a_password(cluster: Cluster) -> None:
    url = cluster.start()
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    wrong = psycopg.conninfo.conninfo_to_dict(url) | {"password": "guessed"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**wrong)  # type: ignore[arg-type]
    secret = cluster.home / "password"
    assert secret.stat().st_mode & 0o077 == 0


def test_two_servers_run_beside_each_other(cluster: Cluster) -> None:
    other = Cluster(cluster.home.with_name(f"{cluster.home.name} too"))
    try:
        ports = {ask(each.start(), "SHOW port") for each in (cluster, other)}
        assert len(ports) == 2
    finally:
        other.remove()


def test_a_killed_server_is_started_again(cluster: Cluster) -> None:
    cluster.start()
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)
    assert ask(cluster.start(), "SELECT 1") == 1


def test_removing_leaves_neither_process_nor_data(cluster: Cluster) -> None:
    url = cluster.start()
    cluster.remove()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)
    assert not Path(cluster.home).exists()
