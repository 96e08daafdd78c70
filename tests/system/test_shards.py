"""Test queues over two databases, each with its own processes, and one web that reads both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.system.fleet import ROOT
from tests.system.programs import Site, running_site
from tests.system.server import Server
from tests.waiting import wait_until

#: Stores shell tasks in both databases, like an application that uses both.
_SUBMIT = """
import django
django.setup()
from taskmaster.tasks.enqueue import bulk, new
bulk([new("shell", queue="mail", task_kwargs={"command": "true"})] * 20)
bulk([new("shell", queue="thumbs", task_kwargs={"command": "true"})] * 30, using="north")
"""


def _manage(*command: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )


@pytest.fixture
def north(server: Server) -> Iterator[str]:
    """Create another database with TaskMaster's tables; yield its URL."""
    server.ask("TRUNCATE taskmaster_tasks_statistic")
    server.ask("CREATE DATABASE north")
    url = server.url.rsplit("/", 1)[0] + "/north"
    _manage("manage.py", "migrate", "-v0", DATABASE_URL=url)
    yield url
    server.ask("DROP DATABASE north WITH (FORCE)")


def _ended(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(
            "SELECT status, count(*) FROM taskmaster_tasks_task GROUP BY status"
        )
        return dict(cursor.fetchall())


def test_two_databases_share_the_work_and_one_web_reads_both(
    tmp_path: Path, server: Server, north: str
) -> None:
    both = {"DATABASE_URL": server.url, "TASKMASTER_SHARDS": f"north={north}"}
    other = Site(tmp_path, "", {"DATABASE_URL": north})
    (tmp_path / "here").mkdir()
    with running_site(tmp_path / "here", server, **both) as site:
        other.run_coordinator()
        other.run_worker()
        settings = {"DJANGO_SETTINGS_MODULE": "taskmaster.taskmaster_site.settings"}
        _manage("-c", _SUBMIT, **both, **settings)
        wait_until(lambda: _ended(server.url) == {"complete": 20}, "this shard is done")
        wait_until(lambda: _ended(north) == {"complete": 30}, "the other shard is done")

        here, there = (
            site.get("/api/tasks/?page_size=100"),
            site.get("/shards/north/api/tasks/?page_size=100"),
        )
        assert {task["queue"] for task in here.body["results"]} == {"mail"}
        assert {task["queue"] for task in there.body["results"]} == {"thumbs"}
        assert (len(here.body["results"]), len(there.body["results"])) == (20, 30)
        assert site.get("/shards/north/api/").body["tasks"].endswith("/shards/north/api/tasks/")
        wait_until(
            lambda: (
                [row["overview"]["complete"] for row in site.get("/api/shards/").body] == [20, 30]
            ),
            "both are counted",
        )
        _only_reads(site, north)
        # The failure of one database does not affect the other.
        other.close()
        server.ask("ALTER DATABASE north ALLOW_CONNECTIONS FALSE")
        server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'north'")
        assert site.get("/shards/north/api/tasks/").status == 503
        assert [row["answers"] for row in site.get("/api/shards/").body] == [True, False]
        assert len(site.get("/api/tasks/?page_size=100").body["results"]) == 20


def _only_reads(site: Site, north: str) -> None:
    assert site.post("/shards/north/api/tasks/", {"name": "shell"}).status == 405
    assert site.get("/shards/south/api/tasks/").status == 404
    assert site.get("/shards/north/api/logs/stream").status == 404
    assert _ended(north) == {"complete": 30}
    token, site.token = site.token, "unknown"
    assert site.get("/shards/north/api/tasks/").status == 401
    site.token = token
