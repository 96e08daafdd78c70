"""The whole of TaskMaster for a browser: web, coordinator and workers that can be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password

from tests.system.fleet import end
from tests.system.programs import Program, Site, until
from tests.system.server import Server

USER, PASSWORD = "ada", "countess of lovelace"
MODULES = "examples.tasks,tests.system.sample_tasks"
WORKERS = ("worker-1", "worker-2")


class Fleet(Site):
    """Web, coordinator and two workers of four processes each."""

    def __init__(self, folder: Path, server: Server) -> None:
        environment = {
            "DATABASE_URL": server.url,
            "TASKMASTER_TASK_MODULES": MODULES,
            # What tests leave running is nothing to wait for at the end.
            "TASKMASTER_SHUTDOWN_GRACE_S": "1",
        }
        super().__init__(folder, server.token, environment)
        self.server = server
        self.url = f"http://127.0.0.1:{self.web_port}"

    def run_named_worker(self, name: str) -> Program:
        """Starts a worker; returns when it is connected."""
        address = f"127.0.0.1:{self.coordinator_port}"
        command = ("manage.py", "runworker", "--coordinator", address, "--name", name)
        program = self.run(name, *command, "--concurrency", "4")
        until(lambda: program.wrote("worker ready"), f"{name} is ready")
        return program

    def run_missing(self) -> None:
        """Starts what is not there: a test may have killed it."""
        starts = {
            "coordinator": self.run_coordinator,
            "web": self.run_web,
            **{name: (lambda name=name: self.run_named_worker(name)) for name in WORKERS},
        }
        for name, start in starts.items():
            program = self.programs.get(name)
            if program is None or program.process.poll() is not None:
                start()

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.programs[name].process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def submit(self, **task: Any) -> int:
        """Stores a task and returns its id."""
        answer = self.post("/api/tasks/", task)
        assert answer.status == 201, answer
        return int(answer.body["id"])

    def status(self, task_id: int) -> str:
        """Where a task stands."""
        [status] = self.server.ask("SELECT status FROM tasks_task WHERE id = %s", task_id)
        return str(status)

    def until_status(self, task_id: int, *wanted: str) -> None:
        """Waits until a task stands there."""
        until(lambda: self.status(task_id) in wanted, f"task {task_id} is {' or '.join(wanted)}")

    def close(self) -> None:
        """Ends what still runs; what a test killed is not asked again."""
        for program in reversed(self.programs.values()):
            end(program.process)


@contextmanager
def running_fleet(folder: Path, server: Server) -> Iterator[Fleet]:
    """A fleet on this server, and a superuser who may log in."""
    password = make_password(PASSWORD)
    server.ask("UPDATE auth_user SET password = %s WHERE username = %s", password, USER)
    fleet = Fleet(folder, server)
    try:
        fleet.run_missing()
        yield fleet
    finally:
        fleet.close()
