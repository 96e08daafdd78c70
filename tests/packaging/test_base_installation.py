"""Test the base installation without extras: no gRPC, no REST framework, no psutil."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.packaging.distributions import ROOT, modules_outside_the_base

PROJECT = Path(__file__).parent / "project"
Manage = Callable[..., "subprocess.CompletedProcess[str]"]


def _ask(statement: str, name: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(SQL(statement).format(Identifier(name)))


@pytest.fixture(scope="module")
def manage() -> Iterator[Manage]:
    """Run the project's manage.py on its own database."""
    database = f"{os.environ['TASKMASTER_TEST_DATABASE']}_base_{os.getpid()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
        "PYTHONPATH": str(ROOT),
        "TASKMASTER_TASK_MODULES": "shop.tasks",
        "HIDDEN_MODULES": ",".join(modules_outside_the_base()),
        "SHOP_DATABASE": database,
    }

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    _ask("CREATE DATABASE {}", database)
    try:
        migrated = run("migrate", "-v", "0")
        assert migrated.returncode == 0, migrated.stderr
        yield run
    finally:
        _ask("DROP DATABASE {} WITH (FORCE)", database)


def test_the_packages_of_every_extra_are_hidden() -> None:
    hidden = modules_outside_the_base()
    assert {"grpc", "google", "psutil", "uvloop", "rest_framework", "kubernetes"} <= hidden
    assert {"channels", "drf_spectacular", "cryptography", "rich"} <= hidden
    base = {"django", "django_tasks", "django_filters", "psycopg", "psycopg_pool"}
    assert hidden.isdisjoint(base)


def test_the_system_check_and_the_migrations_are_clean(manage: Manage) -> None:
    checked = manage("makemigrations", "--check")
    assert (checked.returncode, checked.stdout) == (0, "No changes detected\n"), checked.stderr
    checked = manage("check", "--fail-level", "WARNING")
    assert checked.returncode == 0, checked.stderr


def test_enqueue_and_the_pages_of_the_admin_work(manage: Manage) -> None:
    visited = manage("shell", "-v", "0", stdin=(PROJECT / "visit.py").read_text())
    assert visited.returncode == 0, visited.stderr
    found = json.loads(visited.stdout)
    assert found["enqueued"] == "READY"
    assert found["operation"] == [302, 200]
    pages = found["pages"]
    assert [status for url, status in pages.items() if not url.endswith("/add/")] == [200] * 9
    assert {url for url, status in pages.items() if url.endswith("/add/") and status == 200} == {
        "/admin/taskmaster_tasks/task/add/",
        "/admin/taskmaster_workers/jointoken/add/",
        "/admin/taskmaster_workers/workerpool/add/",
    }
    # Other objects are created by TaskMaster only, so their add form is forbidden.
    assert set(pages.values()) == {200, 403}


def test_the_command_line_submits_and_lists(manage: Manage) -> None:
    submitted = manage("taskmaster", "submit", "shop.tasks.add", "--args", "[20, 22]")
    assert submitted.returncode == 0, submitted.stderr
    listed = manage("taskmaster", "list", "--name", "shop.tasks.add")
    assert listed.returncode == 0, listed.stderr
    assert "shop.tasks.add" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runcoordinator",), "runcoordinator needs grpcio, {}[server]."),
        (("runworker",), "runworker needs grpcio, {}[worker]."),
        (("taskmaster", "list", "--json"), "--json needs djangorestframework, {}[api]."),
        (("taskmaster", "certs", "x"), "taskmaster certs needs cryptography, {}[server]."),
    ],
)
def test_a_command_names_the_extra_that_it_needs(
    manage: Manage, arguments: tuple[str, ...], message: str
) -> None:
    refused = manage(*arguments)
    expected = message.format("which is not installed. Install django-taskmaster")
    assert (refused.returncode, refused.stderr) == (1, f"CommandError: {expected}\n")
