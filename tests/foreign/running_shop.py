"""Run the shop with all of TaskMaster's processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.foreign.browser import Visitor
from tests.foreign.project import Project
from tests.system.fleet import end, free_port
from tests.waiting import wait_until

MOUNT = "/ops/taskmaster"
PASSWORD = "correct horse battery"


class Shop(NamedTuple):
    """The project with all of TaskMaster's processes running."""

    project: Project
    visitor: Visitor
    token: str
    logs: dict[str, Path]

    def enqueue(self, call: str) -> int:
        """Enqueue a call of the shop's tasks and return its id."""
        return int(self.project.shell(f"from tasks import tasks\nprint(tasks.{call}.id)"))

    def wait_finished(self, task_id: int) -> dict[str, object]:
        """Wait for the end of a task and return the task."""
        where = f"{MOUNT}/api/tasks/{task_id}/"
        headers = {"Authorization": f"Token {self.token}"}

        def task() -> dict[str, object]:
            found: dict[str, object] = self.visitor.get(where, **headers).json
            return found

        wait_until(lambda: task()["status"] in ("complete", "failed"), f"task {task_id} ends")
        return task()


@contextmanager
def running(project: Project, logs: Path) -> Iterator[Shop]:
    """Run a coordinator, a worker that is started in another folder, and the web.

    At the end each must exit with code 0, without a traceback in its log in the folder `logs`.
    """
    port, grpc_port = free_port(), free_port()
    project.shell(
        "from django.contrib.auth import get_user_model\n"
        f"get_user_model().objects.create_superuser('ada', password={PASSWORD!r})"
    )
    address = f"127.0.0.1:{grpc_port}"
    commands = {
        "coordinator": (
            project.command("runcoordinator", "--port", str(grpc_port)),
            project.folder,
        ),
        "worker": (
            project.command("runworker", "--coordinator", address, "--concurrency", "2"),
            Path("/"),
        ),
        "web": (
            [
                *(str(project.python), "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)),
                "shop.asgi:application",
            ],
            project.folder,
        ),
    }
    processes = {}
    paths = {name: logs / f"{name}.log" for name in commands}
    for name, (command, cwd) in commands.items():
        with paths[name].open("w") as log:
            processes[name] = subprocess.Popen(
                command,
                cwd=cwd,
                env=project.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
    visitor = Visitor(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _healthy(visitor), "the web answers")
        wait_until(lambda: "worker ready" in paths["worker"].read_text(), "the worker is ready")
        asked = {"username": "ada", "password": PASSWORD}
        token = visitor.send(f"{MOUNT}/api/token/", asked, "").json["token"]
        yield Shop(project, visitor, token, paths)
    finally:
        codes = {name: end(processes[name]) for name in ("worker", "coordinator", "web")}
    texts = {name: path.read_text() for name, path in paths.items()}
    assert codes == {"worker": 0, "coordinator": 0, "web": 0}, texts
    assert not [text for text in texts.values() if "Traceback" in text], texts


def _healthy(visitor: Visitor) -> bool:
    try:
        return visitor.get(f"{MOUNT}/healthz").status == 200
    except OSError:
        return False
