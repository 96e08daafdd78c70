"""Test TaskMaster's wheel in a project with its own apps, users, settings and pages.

In a run of the suite the environment borrows the packages of this one. With
TASKMASTER_TEST_INSTALL=1 everything is installed from a registry, beside proto-plus;
TASKMASTER_TEST_PYTHON names another Python for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.foreign.browser import addresses
from tests.foreign.project import Environment, Project, build_wheel
from tests.foreign.running_shop import MOUNT, PASSWORD, Shop, running
from tests.waiting import wait_until

INSTALL = os.environ.get("TASKMASTER_TEST_INSTALL") == "1"
PYTHON = os.environ.get("TASKMASTER_TEST_PYTHON", sys.executable)
DATABASE = "taskmaster_test_shop"

pytestmark = pytest.mark.timeout(900 if INSTALL else 240)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Create a database for the shop on the server of the suite."""
    part = connection.settings_dict
    server = {name: part[name.upper()] for name in ("host", "port", "user", "password")}
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {DATABASE}")
        yield "postgresql://{user}:{password}@{host}:{port}/".format(**server) + DATABASE
        admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: str) -> Project:
    """Create the shop with its tables."""
    folder = tmp_path_factory.mktemp("foreign")
    environment = Environment(folder / "venv", PYTHON)
    wheel = build_wheel(folder / "dist")
    if INSTALL:
        environment.install(f"{wheel}[server,worker,site]", "proto-plus")
    else:
        environment.borrow()
        environment.install("--no-deps", "--no-index", str(wheel))
    made = Project(folder / "shop", environment.python, database)
    made.create()
    made.manage("makemigrations", "accounts", "tasks", "workers")
    made.manage("migrate", "-v0")
    return made


@pytest.fixture(scope="module")
def shop(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with running(project, tmp_path_factory.mktemp("logs")) as shop:
        yield shop


def test_system_checks_pass_and_no_migration_is_missing(project: Project) -> None:
    assert "no issues" in project.manage("check", "--fail-level", "WARNING")
    assert "No changes detected" in project.manage("makemigrations", "--check", "--dry-run")
    assert project.shell("import taskmaster; print(taskmaster.__file__)").endswith(
        "/site-packages/taskmaster/__init__.py"
    )


@pytest.mark.parametrize(
    "command", ["runcoordinator", "runworker", "taskmaster submit --shell true"]
)
def test_a_wrong_setting_is_reported_without_a_traceback(project: Project, command: str) -> None:
    done = subprocess.run(
        project.command(*command.split()),
        cwd=project.folder,
        env={**project.environment, "TASKMASTER_LOOKAHEAD_S": "soon"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "TASKMASTER_LOOKAHEAD_S is 'soon'; it must be of type float." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_of_the_project_runs_when_the_transaction_commits(shop: Shop) -> None:
    code = """
from django.db import transaction
from tasks.models import Order
from tasks.tasks import ship
class Undo(Exception): pass
try:
    with transaction.atomic():
        lost = ship.enqueue(Order.objects.create(sku="lost").pk).id
        raise Undo
except Undo:
    pass
with transaction.atomic():
    order = Order.objects.create(sku="teapot")
    kept = ship.enqueue(order.pk).id
print(lost, kept, order.pk)
"""
    lost, kept, order = shop.project.shell(code).split()
    task = shop.wait_finished(int(kept))
    assert (task["status"], task["result"], task["queue"]) == ("complete", "teapot", "mail")
    shipped = f"from tasks.models import Order; print(Order.objects.get(pk={order}).shipped)"
    assert shop.project.shell(shipped) == "True"
    gone = f"{MOUNT}/api/tasks/{lost}/"
    assert shop.visitor.get(gone, Authorization=f"Token {shop.token}").status == 404


def test_a_worker_finds_the_project_s_modules_from_any_folder(shop: Shop) -> None:
    found = shop.wait_finished(shop.enqueue("where.enqueue()"))["result"]
    assert isinstance(found, dict)
    assert found["workers"] == str(shop.project.folder / "workers" / "models.py")
    assert found["cwd"] == "/"
    if INSTALL:
        assert found["proto"] == "proto.message"


def test_the_api_works_below_the_prefix_with_the_project_s_settings(shop: Shop) -> None:
    visitor, token = shop.visitor, shop.token
    links = visitor.get(f"{MOUNT}/api/", Authorization=f"Token {token}").json
    assert links["tasks"] == f"{visitor.base}{MOUNT}/api/tasks/"
    made = visitor.send(f"{MOUNT}/api/tasks/", {"name": "tasks.tasks.where"}, token)
    assert made.status == 201, made
    assert made.json["created_at"].startswith("20"), made.json["created_at"]
    refused = visitor.send(f"{MOUNT}/api/tasks/", {"name": "no.such"}, token)
    assert (refused.status, refused.json["type"]) == (400, "urn:taskmaster:unknown-task-name")
    assert visitor.get(f"{MOUNT}/api/tasks/").status == 401
    missing = visitor.get(f"{MOUNT}/api/tasks/7000000/", Authorization=f"Token {token}")
    assert (missing.status, missing.json["title"]) == (404, "Not Found")
    assert visitor.get(f"{MOUNT}/metrics", Authorization=f"Token {token}").status == 200
    # The shop's own API keeps the shop's settings.
    prices = visitor.get("/prices/")
    assert (prices.status, "<html>" in prices.text) == (200, True), prices


def test_the_schema_describes_only_this_api_with_its_prefix(shop: Shop) -> None:
    schema = shop.visitor.get(f"{MOUNT}/api/schema/?format=json", Accept="application/json").json
    assert schema["info"]["title"] == "TaskMaster"
    assert schema["servers"] == [{"url": MOUNT}]
    assert "/api/tasks/" in schema["paths"]
    assert not [path for path in schema["paths"] if "prices" in path]
    docs = shop.visitor.get(f"{MOUNT}/api/docs/")
    assert docs.status == 200
    assert "TaskMaster" in docs.text


def test_pages_link_to_nothing_outside_the_prefix(shop: Shop) -> None:
    visitor = shop.visitor
    visitor.log_in("/backoffice/login/", "ada", PASSWORD)
    task_id = shop.enqueue("where.enqueue()")
    shop.wait_finished(task_id)
    for path in (f"{MOUNT}/", f"{MOUNT}/tasks/{task_id}/"):
        page = visitor.get(path)
        assert page.status == 200
        assert "The shop's own page" not in page.text
        allowed = (f"{MOUNT}/", "/backoffice/", "/assets/")
        assert not [each for each in addresses(page.text) if not each.startswith(allowed)]
        assets = [each for each in addresses(page.text) if each.startswith("/assets/")]
        assert "/assets/taskmaster/tokens.css" in assets
        assert {visitor.get(each.partition("#")[0]).status for each in assets} == {200}


def test_the_live_stream_works_below_the_prefix(shop: Shop) -> None:
    with shop.visitor.events(f"{MOUNT}/api/logs/stream", shop.token) as stream:
        task_id = shop.enqueue("where.enqueue()")
        seen = []
        for line in stream:
            seen.append(line.decode())
            if f'"task_id": {task_id}' in seen[-1] and '"complete"' in seen[-1]:
                break
    assert any(line.startswith("event: stream-open") for line in seen)


def test_taskmaster_appears_in_the_project_s_admin(shop: Shop) -> None:
    visitor = shop.visitor
    visitor.log_in("/backoffice/login/", "ada", PASSWORD)
    front = visitor.get("/backoffice/")
    assert "Django administration" in front.text
    assert "TaskMaster</a>" not in front.text
    for path in (
        "taskmaster_tasks/task/",
        "taskmaster_tasks/task/add/",
        "taskmaster_tasks/task/create-many/",
        "taskmaster_tasks/operation/",
        "taskmaster_tasks/event/",
        "taskmaster_workers/worker/",
        "taskmaster_workers/workerpool/",
        "taskmaster_workers/jointoken/add/",
        "taskmaster_coordinator/coordinator/",
    ):
        assert visitor.get(f"/backoffice/{path}").status == 200, path
    tasks = visitor.get("/backoffice/taskmaster_tasks/task/").text
    assert "/assets/taskmaster/tokens.css" in tasks
    made = visitor.post("/backoffice/taskmaster_workers/jointoken/add/", name="dock")
    assert (made.status, 'id="join-token"' in made.text) == (200, True), made.text[-2_000:]


def test_log_lines_have_the_project_s_format(shop: Shop) -> None:
    log = shop.logs["coordinator"].read_text()
    assert "SHOP INFO taskmaster.coordinator" in log
    assert "SHOP INFO taskmaster.workers.daemon" in shop.logs["worker"].read_text()


def test_nothing_is_written_into_the_project(shop: Shop) -> None:
    before = shop.project.files()
    shop.wait_finished(shop.enqueue("where.enqueue()"))
    body = {"count": 1, "pool": "default"}
    assert shop.visitor.send(f"{MOUNT}/api/workers/scale/", body, shop.token).status == 200
    pool = f"{MOUNT}/api/pools/default/"
    headers = {"Authorization": f"Token {shop.token}"}

    def is_registered() -> int:
        found: int = shop.visitor.get(pool, **headers).json["registered"]
        return found

    wait_until(lambda: is_registered() == 1, "a worker of the pool is registered")
    shop.visitor.send(f"{MOUNT}/api/workers/scale/", {**body, "count": 0}, shop.token)
    wait_until(lambda: is_registered() == 0, "the pool is empty again")
    assert shop.project.files() == before


def test_apps_can_have_the_names_of_taskmaster_s_folders(tmp_path: Path, project: Project) -> None:
    """`startapp` refuses a name that can already be imported."""
    # With proto-plus the name is taken, but not by TaskMaster.
    for name in ("coordinator",) if INSTALL else ("coordinator", "proto"):
        made = tmp_path / name
        made.mkdir()
        project.manage("startapp", name, str(made))
        assert (made / "models.py").exists()
